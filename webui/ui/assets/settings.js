// Settings of a picture into the fields: from copied text, a chosen file, or a picture dropped onto the page.
"use strict";

(() => {
  const { one, onAppear, t, ask, toast } = emulsion;
  const MEGABYTES = 64;
  const LOOKS_LIKE = /(^|\n)\s*Steps: *\d+,[^\n]*(Sampler|Seed|CFG scale|Size):/;
  let pending = "";

  // Hands a text to the server, which fills the fields.
  function apply(text) {
    pending = text;
    one("#em-fill").click();
  }

  const taken = () => pending;

  function filled(report) {
    const { notes, error } = JSON.parse(report || "{}");
    if (error) toast([error.found, error.wanted, error.remedy], { bad: true });
    else toast(notes ?? []);
  }

  async function applyFile(file) {
    if (file.size > MEGABYTES * 2 ** 20) return toast([t("read.too_large", { megabytes: MEGABYTES })], { bad: true });
    try {
      const text = file.type.startsWith("text/") ? await file.text() : await infotextOf(file);
      if (text) apply(text);
      else toast([t("read.nothing")], { bad: true });
    } catch (error) {
      const { found, wanted, remedy } = error.parts ?? { found: t("error.connection") };
      toast([found, wanted, remedy], { bad: true });
    }
  }

  async function infotextOf(file) {
    const headers = { "Content-Type": "application/octet-stream" };
    return (await ask("settings", { method: "POST", headers, body: file })).infotext;
  }

  // ---- the dialog ----

  function open() {
    const dialog = document.createElement("dialog");
    dialog.className = "em-dialog";
    dialog.innerHTML =
      '<form method="dialog"><h2></h2><p></p><textarea rows="6"></textarea><input type="file" hidden ' +
      'accept="image/png,image/jpeg,image/webp,image/avif,text/plain"><div class="em-dialog-row">' +
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
      if (text.value.trim()) apply(text.value);
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
  const forOthers = (event) => event.target.closest?.("[data-testid*='upload'], .image-container, .upload-container, .em-canvas");
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
    if (event.dataTransfer.files[0]) applyFile(event.dataTransfer.files[0]);
  });
  document.addEventListener("paste", (event) => {
    const text = event.clipboardData?.getData("text/plain") ?? "";
    if (!emulsion.prompt.isPrompt(event.target) || !LOOKS_LIKE.test(text)) return;
    toast([t("read.offer")], { action: t("button.read"), act: () => apply(text) });
  });
  onAppear("#em-read", (button) => (button.onclick = open));

  emulsion.settings = { apply, taken, filled, open };
})();
