// How a picture was made: all that a file says, whichever program wrote it, and what of it can be taken over.
"use strict";

(() => {
  const { one, onAppear, t, toast, complain } = emulsion;
  let shown = null; // {file, info, url}
  let turn = 0; // the newest file wins

  const active = () => emulsion.tabs.current() === "picture_info";
  const node = (kind, values) => Object.assign(document.createElement(kind), values);

  // Shows a file, or one that is on its way; `info` is what /ui/picture-info said of it, where that is known already.
  async function show(wanted, info = null) {
    emulsion.tabs.open("picture_info");
    const asked = ++turn;
    one("#em-info")?.classList.add("em-waiting");
    try {
      const file = await wanted;
      const said = info ?? (await emulsion.settings.infoOf(file));
      const seen = said.format === "TIFF" ? await emulsion.canvasFiles.showable(file) : file;
      if (asked !== turn) return;
      if (shown) URL.revokeObjectURL(shown.url);
      shown = { file, info: said, url: URL.createObjectURL(seen) };
      draw();
    } catch (error) {
      if (asked === turn) complain(error);
    } finally {
      if (asked === turn) one("#em-info")?.classList.remove("em-waiting");
    }
  }

  // ---- drawing ----

  const isPicture = () => Boolean(shown.info.width);

  function draw() {
    if (!shown || !one("#em-info-said")) return;
    const { info, file, url } = shown;
    one("#em-info").classList.add("em-has-info");
    one("#em-info-said").hidden = false;
    const image = one("#em-info-picture");
    image.hidden = !isPicture();
    if (isPicture()) image.src = url;
    else image.removeAttribute("src");
    image.alt = file.name;
    one("#em-info-program").textContent = info.program ?? t("info.unknown_program");
    const size = isPicture() ? `${info.width} × ${info.height}` : "";
    one("#em-info-facts").textContent = [file.name, info.format, size].filter(Boolean).join(" · ");
    drawActions(info);
    const readable = !info.settings.startsWith("{"); // a workflow that was not understood stands below
    const enlarged = Object.entries(info.postprocessing).map(([name, value]) => `${name}: ${value}`).join(", ");
    const apart = info.settings.includes("Postprocess") ? "" : enlarged; // in PNG it is a text of its own
    const text = [readable ? info.settings : "", apart].filter(Boolean).join("\n\n");
    one("#em-info-text-box").hidden = !text;
    one("#em-info-text").textContent = text;
    drawLeftOut(info.left_out);
    drawItems(itemsOf(info));
  }

  function drawActions(info) {
    const filling = Boolean(info.request_json);
    for (const button of document.querySelectorAll("[data-info-send]")) {
      const { infoSend } = button.dataset;
      button.hidden = infoSend === "txt2img" ? !filling : !isPicture() || !emulsion.tabs.has(infoSend);
    }
    one("#em-info-describe").hidden = filling || !isPicture();
    const none = one("#em-info-none");
    none.hidden = filling || Object.keys(info.extras).length > 0;
    none.textContent = Object.keys(info.items).length ? t("info.not_understood") : t("read.nothing");
  }

  // The metadata as they are stored; a file that is a workflow or a text is one such item.
  function itemsOf(info) {
    const items = Object.entries(info.items);
    if (!items.length && info.infotext.startsWith("{")) items.push([shown.file.name, info.infotext]);
    return items;
  }

  function drawLeftOut(entries) {
    one("#em-info-left-out").hidden = !entries.length;
    const rows = entries.map(({ name, value, reason }) => {
      const row = document.createElement("tr");
      row.append(node("th", { textContent: name, scope: "row" }));
      row.append(node("td", { textContent: value }), emulsion.say(node("td"), reason));
      return row;
    });
    one("#em-info-left-out tbody").replaceChildren(...rows);
  }

  function drawItems(items) {
    one("#em-info-items").hidden = !items.length;
    one("#em-info-items .em-info-list").replaceChildren(...items.map(([name, text]) => item(name, text)));
  }

  function item(name, text) {
    const box = document.createElement("details");
    const head = node("summary", { textContent: name });
    const length = t("info.characters", { count: text.length.toLocaleString(emulsion.locale()) });
    head.append(node("span", { className: "em-info-length", textContent: length }));
    const copyButton = node("button", { type: "button", className: "em-link", textContent: t("button.copy") });
    const body = node("pre", { tabIndex: 0 });
    copyButton.onclick = () => copy(text, copyButton, body);
    box.ontoggle = () => (body.textContent ||= pretty(text)); // long ones are laid out when they are asked for
    const row = node("div", { className: "em-info-item-row" });
    row.append(copyButton);
    box.append(head, row, body);
    return box;
  }

  function pretty(text) {
    if (!/^\s*[{[]/.test(text) || /\d{16}/.test(text)) return text; // parsing would round long numbers, such as seeds
    try {
      return JSON.stringify(JSON.parse(text), null, 1);
    } catch {
      return text;
    }
  }

  async function copy(text, button, body) {
    try {
      await navigator.clipboard.writeText(text);
      button.textContent = t("button.copied");
      setTimeout(() => (button.textContent = t("button.copy")), 1500);
    } catch {
      getSelection().selectAllChildren(body);
      toast([t("error.copy")]);
    }
  }

  // ---- taking over ----

  function sendTo(tab) {
    const { file, info, url } = shown;
    if (tab === "txt2img") {
      emulsion.settings.applyInfo(info, file);
      return emulsion.tabs.open(tab);
    }
    const size = { width: info.width, height: info.height };
    return emulsion.studio.sendTo(tab, { url, name: file.name, ...size, options: info.extras });
  }

  // ---- files in ----

  document.addEventListener("emulsion:file", (event) => {
    if (!active()) return;
    event.preventDefault();
    show(event.detail.file);
  });
  document.addEventListener("paste", (event) => {
    if (!active() || event.target.closest?.("input, textarea")) return;
    const file = event.clipboardData?.files[0];
    const text = event.clipboardData?.getData("text/plain");
    if (file) show(file);
    else if (text?.trim()) show(new File([text], t("info.pasted"), { type: "text/plain" }));
  });
  document.addEventListener("emulsion:language", draw);
  onAppear("#em-info", draw);
  onAppear("#em-info-file", (field) => {
    field.onclick = (event) => event.stopPropagation();
    field.onchange = () => {
      if (field.files[0]) show(field.files[0]);
      field.value = "";
    };
  });
  onAppear("#em-info-drop", (zone) => (zone.onclick = () => one("#em-info-file").click())); // and its button's click
  onAppear("#em-info-copy", (button) => {
    button.onclick = () => copy(one("#em-info-text").textContent, button, one("#em-info-text"));
  });
  onAppear("[data-info-send]", (button) => (button.onclick = () => sendTo(button.dataset.infoSend)));
  onAppear("#em-info-describe", (button) => (button.onclick = () => emulsion.describe(shown.file, button)));

  emulsion.pictureInfo = { show };
})();
