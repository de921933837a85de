// Puts a picture into words by a captioner of the user's, and the words into the prompt.
"use strict";

(() => {
  const { one, input, setInput, onAppear, t, ask, complain, toast, stored, store, tasks } = emulsion;
  const STUDIO = ["txt2img", "img2img", "inpaint"];
  const KEY = "emulsion.captioner";
  let captioners = null; // names of those that are installed, once they were asked for

  // The prompt as typing would change it: the browser's undo brings the old one back, and so does the message's button.
  function write(text) {
    const field = input("em-prompt");
    const before = field.value;
    const put = (words) => {
      if (!field.offsetParent) return setInput(field, words); // the reader has gone on to another tab
      emulsion.prompt.edit(field, (value) => ({ start: 0, end: value.length, text: words, from: 0, to: words.length }), 1);
    };
    put(text);
    const undo = before.trim() ? { action: t("button.undo"), act: () => put(before) } : {};
    toast([t("describe.done")], undo);
  }

  // Where no captioner is installed, the message has the command that fetches one.
  function refused(error) {
    const act = () => navigator.clipboard?.writeText(emulsion.said(error)).then(() => toast([t("button.copied")]), () => toast([t("error.copy")]));
    toast([error], { bad: true, action: t("button.copy"), act });
  }

  // Describes a picture (a Blob) while `button` waits.
  async function describe(blob, button) {
    const from = emulsion.tabs.current();
    button.disabled = true;
    button.textContent = t("describe.working");
    try {
      const headers = { "Content-Type": "application/octet-stream" };
      const { id } = await ask("uploads", { method: "POST", headers, body: blob });
      const view = await tasks.follow(await tasks.start("caption", { images: [id], captioner: chosen() }));
      const [caption] = view.outcome?.captions ?? [];
      if (view.state === "failed") return refused(view.error);
      if (!caption) return toast([t("describe.nothing")], { bad: true });
      if (emulsion.tabs.current() === from && !STUDIO.includes(from)) emulsion.tabs.open("txt2img");
      write(caption);
    } catch (error) {
      complain(error);
    } finally {
      button.disabled = false;
      button.textContent = t("describe.button");
    }
  }

  // The captioner that the reader chose, as long as it is there; else the server's first.
  const chosen = () => (captioners?.includes(stored("localStorage", KEY)) ? stored("localStorage", KEY) : "");

  function follow() {
    const button = one("#em-describe");
    if (!button || !emulsion.canvas) return;
    button.closest(".em-describe").hidden = !emulsion.canvas.has();
    if (emulsion.canvas.has()) offer();
  }

  // Where there are several captioners, one can be chosen.
  async function offer() {
    const select = one("#em-describe-by");
    if (captioners || !select) return;
    captioners = [];
    captioners = await ask("extras").then((choices) => choices.captioners, () => null); // null: asked again next time
    if (!captioners) return;
    select.replaceChildren(...captioners.map((name) => new Option(name, name)));
    select.value = chosen() || captioners[0];
    select.hidden = captioners.length < 2;
    select.onchange = () => store("localStorage", KEY, select.value);
  }

  onAppear("#em-describe", (button) => {
    button.onclick = async () => describe(await emulsion.canvas.picture(), button);
    follow();
    emulsion.canvas?.ready?.then(follow);
  });
  document.addEventListener("emulsion:canvas", follow);

  emulsion.describe = describe;
})();
