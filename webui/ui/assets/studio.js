// What belongs to the studio as a whole: its source picture goes to the server before a job is sent, and finished
// pictures go to its other tabs.
"use strict";

(() => {
  const { one, input, onAppear, setInput, t, ask, toast, address } = emulsion;
  const place = emulsionDefaults.places; // of fields among the values that are sent
  const CANVAS_MODES = { img2img: "sketch", inpaint: "mask" };
  const sent = {}; // what: {revision, id} of the last upload
  let once = null; // {mode, image, width, height, seed} of a finished picture that the next job starts from

  async function upload(blob) {
    const headers = { "Content-Type": "application/octet-stream" };
    return (await ask("uploads", { method: "POST", headers, body: blob })).id;
  }

  // The id of the canvas's picture or mask; nothing is sent twice.
  async function uploaded(what, make) {
    const revision = emulsion.canvas.revision();
    if (sent[what]?.revision === revision) return sent[what].id;
    const blob = await make();
    const id = blob ? await upload(blob) : "";
    sent[what] = { revision, id };
    return id;
  }

  // The values of all fields, with those filled in that only the page's scripts know.
  async function prepare(values) {
    const tab = emulsion.tabs.current();
    const changed = [...values];
    const set = (name, value) => (changed[place[name]] = value);
    for (const [name, value] of [["mode", tab], ["source_image", ""], ["source_mask", ""]]) set(name, value);
    try {
      if (once) {
        for (const [name, value] of Object.entries(once)) set(name, value);
        once = null;
      } else if (tab in CANVAS_MODES && emulsion.canvas?.has()) {
        set("source_image", await uploaded(`picture in ${tab}`, emulsion.canvas.picture));
        if (tab === "inpaint") set("source_mask", await uploaded("mask", emulsion.canvas.mask));
      }
    } catch (error) {
      const { found, wanted, remedy } = error.parts ?? { found: t("error.connection") };
      toast([found, wanted, remedy], { bad: true });
    }
    return changed;
  }

  // ---- finished pictures ----

  const blobOf = async (picture) => (await fetch(address(`jobs/${picture.job}/pictures/${picture.index}`))).blob();

  async function sendTo(tab) {
    const picture = emulsion.pictures.shown();
    if (!picture) return;
    try {
      await emulsion.canvas.setPicture(await blobOf(picture), { name: picture.name });
    } catch {
      return toast([t("error.connection")], { bad: true });
    }
    setInput(input("em-width"), picture.width);
    setInput(input("em-height"), picture.height);
    emulsion.tabs.open(tab);
    one("#em-source")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  // Enlarges the shown picture by the settings of the second pass.
  async function enlarge() {
    const picture = emulsion.pictures.shown();
    if (!picture) return;
    try {
      const { width, height, seed } = picture;
      once = { mode: "hires", source_image: await upload(await blobOf(picture)), width, height, seed, count: 1, batch_size: 1 };
      one("#em-generate").click();
    } catch (error) {
      once = null;
      toast([error.parts?.found ?? t("error.connection")], { bad: true });
    }
  }

  function follow() {
    const canvas = one("#em-canvas");
    if (canvas) canvas.dataset.mode = CANVAS_MODES[emulsion.tabs.current()] ?? canvas.dataset.mode;
  }

  onAppear("#em-canvas", follow);
  document.addEventListener("emulsion:tab", follow);
  onAppear("[data-send-to]", (button) => (button.onclick = () => sendTo(button.dataset.sendTo)));
  onAppear("#em-enlarge", (button) => (button.onclick = enlarge));

  emulsion.studio = { prepare, sendTo, enlarge };
})();
