// Settings of a picture into the fields: from copied text, a chosen file, or a picture or workflow that is dropped.
"use strict";

(() => {
  const { one, onAppear, t, ask, toast, complain } = emulsion;
  const MEGABYTES = 64;
  const LOOKS_LIKE = /(^|\n)\s*Steps: *\d+,[^\n]*(Sampler|Seed|CFG scale|Size):/;
  const STUDIO = ["txt2img", "img2img", "inpaint"];
  let reading = 0; // the newest file wins
  let pending = {}; // what is being filled in
  let last = null; // where it comes from: {file, info}, {undo} or {after}

  // Hands anything to the server that `filling.py` understands. `source`: {file, info} of a file, {undo} to offer taking it
  // back, {after} to be called when a quiet filling is done.
  function fill(wanted, source = null) {
    emulsion.turns.press("em-fill", () => ([pending, last] = [wanted, source]));
  }

  // Hands a text to the server, which fills the fields.
  const apply = (text) => fill({ infotext: text });

  // The same for what /ui/picture-info said of a file.
  function applyInfo(info, file) {
    const { program, infotext, request_json, left_out } = info;
    fill({ program, infotext, request_json, left_out: left_out.map((one) => one.name) }, { file, info });
  }

  const taken = () => JSON.stringify(pending);

  // The server's answer, "" where none came.
  function filled(report) {
    if (report) tell(JSON.parse(report));
    else complain(new TypeError());
    emulsion.turns.over("em-fill");
  }

  function tell({ notes, error, quiet, script }) {
    if (error) return toast([error.found, error.wanted, error.remedy], { bad: true });
    document.dispatchEvent(new Event("emulsion:filled"));
    if (quiet) return last?.after?.();
    if (!STUDIO.includes(emulsion.tabs.current())) emulsion.tabs.open("txt2img");
    if (script) emulsion.script.restore(script.script, script.arguments);
    const source = last;
    if (source?.undo) return toast(notes, { action: t("button.undo"), act: source.undo });
    if (!source?.info.left_out.length) return toast(notes ?? []);
    toast(notes ?? [], { action: t("read.show_all"), act: () => emulsion.pictureInfo.show(source.file, source.info) });
  }

  // What a file says of how it was made; throws what `complain` tells.
  async function infoOf(file) {
    if (file.size > MEGABYTES * 2 ** 20) throw new Error(t("read.too_large", { megabytes: MEGABYTES }));
    const headers = { "Content-Type": "application/octet-stream" };
    return ask("picture-info", { method: "POST", headers, body: file });
  }

  async function applyFile(file) {
    const asked = ++reading;
    try {
      const info = await infoOf(file);
      if (asked !== reading) return;
      if (info.request_json) return applyInfo(info, file);
      const more = Object.keys(info.items).length > 0; // all that the file says, though none of it was understood
      const act = () => emulsion.pictureInfo.show(file, info);
      toast([t("read.nothing")], { bad: true, ...(more && { action: t("read.show_all"), act }) });
    } catch (error) {
      complain(error);
    }
  }

  // A text that was typed or pasted: an infotext, or a workflow.
  function applyText(text) {
    if (text.trim().startsWith("{")) applyFile(new File([text], "workflow.json", { type: "application/json" }));
    else apply(text);
  }

  // A file that came to no field of its own. Panels that take files say so by ending the event.
  function received(file) {
    const event = new CustomEvent("emulsion:file", { detail: { file }, cancelable: true });
    if (document.dispatchEvent(event)) applyFile(file);
  }

  // ---- the dialog ----

  function open() {
    const dialog = document.createElement("dialog");
    dialog.className = "em-dialog";
    dialog.innerHTML =
      '<form method="dialog"><h2></h2><p></p><textarea rows="6"></textarea><input type="file" hidden ' +
      'accept="image/*,text/plain,application/json,.json"><div class="em-dialog-row">' +
      '<button type="button" class="em-button" data-act="file"></button><span class="em-space"></span>' +
      '<button type="button" class="em-button" data-act="cancel"></button>' +
      '<button type="submit" class="em-button em-strong" data-act="apply"></button></div></form>';
    const [text, file] = [dialog.querySelector("textarea"), dialog.querySelector("input")];
    const button = (name) => dialog.querySelector(`[data-act=${name}]`);
    dialog.querySelector("h2").textContent = t("read.title");
    dialog.querySelector("p").textContent = t("read.explain");
    text.setAttribute("aria-label", t("read.label"));
    text.placeholder = t("read.placeholder");
    button("file").textContent = t("button.choose_picture");
    button("cancel").textContent = t("button.cancel");
    button("apply").textContent = t("button.apply");
    button("file").onclick = () => file.click();
    button("cancel").onclick = () => dialog.close();
    file.onchange = () => {
      dialog.close();
      if (file.files[0]) applyFile(file.files[0]);
    };
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      dialog.close(); // first: while it is open, no other part of the page can be pressed
      if (text.value.trim()) applyText(text.value);
    };
    dialog.onclose = () => dialog.remove();
    dialog.onclick = (event) => {
      if (event.target === dialog) dialog.close(); // beside the form
    };
    document.body.append(dialog);
    dialog.showModal();
    text.focus();
  }

  // ---- dropping and pasting ----

  let cover = null;

  // Fields of other tabs that take files themselves are left alone.
  const TAKERS = "[data-testid*='upload'], .image-container, .upload-container, .em-canvas, .em-takes";
  const forOthers = (event) => event.target.closest?.(TAKERS);
  const carriesFile = (event) => event.dataTransfer?.types.includes("Files") && !forOthers(event);

  function showCover(visible) {
    if (visible === Boolean(cover)) return;
    cover?.remove();
    cover = null;
    if (!visible) return;
    cover = Object.assign(document.createElement("div"), { className: "em-cover", textContent: t("read.drop") });
    document.body.append(cover);
  }

  document.addEventListener("dragover", (event) => {
    if (!carriesFile(event)) return showCover(false);
    event.preventDefault();
    showCover(true);
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || showCover(false));
  document.addEventListener("drop", (event) => {
    showCover(false);
    if (!carriesFile(event)) return;
    event.preventDefault();
    if (event.dataTransfer.files[0]) received(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!emulsion.prompt.isPrompt(event.target) || !LOOKS_LIKE.test(text)) return;
    toast([t("read.offer")], { action: t("button.read"), act: () => apply(text) });
  });
  onAppear("#em-read", (button) => (button.onclick = open));

  emulsion.settings = { fill, apply, applyInfo, applyFile, infoOf, taken, filled, open };
})();
