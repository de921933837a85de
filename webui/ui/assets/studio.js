// What belongs to the studio as a whole: its source picture goes to the server before a job is sent, and finished
// pictures go to its other tabs.
"use strict";

(() => {
  const { one, onAppear, t, ask, complain, address } = emulsion;
  const place = emulsionDefaults.places; // of fields among the values that are sent
  const CANVAS_MODES = { img2img: "sketch", inpaint: "mask" };
  const sent = {}; // what: {revision, id} of the last upload
  let once = null; // {mode, image, width, height, seed} of a finished picture that the next job starts from
  let failure = null; // why the last job was not sent
  let enlarging = false;
  let sending = 0; // the newest picture that was sent to the canvas wins

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

  // The values of all fields, with those filled in that only the page's scripts know. Throws where a picture does not
  // reach the server: without it the job would be another one.
  async function prepare(values) {
    const tab = emulsion.tabs.current();
    const changed = [...values.slice(0, -1), once ? "" : emulsion.script.value()]; // the script comes last
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
      failure = error;
      throw error;
    }
    return changed;
  }

  function notSent() {
    emulsion.jobs.notSent(failure);
    failure = null;
  }

  // ---- finished pictures ----

  async function blobOf(picture) {
    const answer = await fetch(picture.url).catch(() => null);
    if (!answer?.ok) throw new Error(t(answer ? "studio.gone" : "error.connection"));
    return answer.blob();
  }

  function shownPicture() {
    const picture = emulsion.pictures.shown();
    return picture && { ...picture, url: address(`jobs/${picture.job}/pictures/${picture.index}`) };
  }

  const isPainted = ({ infotext = "" }) => /, Mask blur: /.test(infotext);

  // Takes a picture {url, name, width, height} to a tab; without one, the finished picture that is shown. Tabs without
  // the canvas hear of it by the event "emulsion:send" with {to, url, name, options}. A person who goes elsewhere while
  // a large picture is on its way is not fetched back.
  async function sendTo(tab, picture = shownPicture()) {
    if (!picture) return;
    if (!(tab in CANVAS_MODES)) {
      const detail = { to: tab, url: picture.url, name: picture.name, options: picture.options };
      document.dispatchEvent(new CustomEvent("emulsion:send", { detail }));
      return emulsion.tabs.open(tab);
    }
    const turn = ++sending;
    const from = emulsion.tabs.current();
    try {
      const keepMask = tab === "inpaint" && isPainted(picture); // the next round of the same place
      const blob = await blobOf(picture);
      if (turn !== sending) return;
      if (!(await emulsion.canvas.replace(blob, { name: picture.name, keepMask, whole: true }))) return;
    } catch (error) {
      return complain(error);
    }
    if (turn !== sending || emulsion.tabs.current() !== from) return;
    emulsion.tabs.open(tab);
    one("#em-source")?.scrollIntoView({ block: "nearest", behavior: "smooth" });
  }

  // Enlarges the shown picture by the settings of the second pass.
  async function enlarge() {
    const picture = shownPicture();
    if (!picture || enlarging) return;
    enlarging = true;
    one("#em-enlarge")?.setAttribute("aria-busy", "true");
    try {
      const { width, height, seed } = picture;
      const source_image = await upload(await blobOf(picture));
      once = { mode: "hires", source_image, width, height, seed, count: 1, batch_size: 1 };
      one("#em-generate").click();
    } catch (error) {
      once = null;
      complain(error);
    }
    enlarging = false;
    one("#em-enlarge")?.removeAttribute("aria-busy");
  }

  function follow() {
    const canvas = one("#em-canvas");
    if (canvas) canvas.dataset.mode = CANVAS_MODES[emulsion.tabs.current()] ?? canvas.dataset.mode;
  }

  onAppear("#em-canvas", follow);
  document.addEventListener("emulsion:tab", follow);
  onAppear("[data-send-to]", (button) => (button.onclick = () => sendTo(button.dataset.sendTo)));
  onAppear("#em-enlarge", (button) => (button.onclick = ({ detail }) => detail < 2 && enlarge())); // a double click is one

  emulsion.studio = { prepare, notSent, sendTo, enlarge };
})();
