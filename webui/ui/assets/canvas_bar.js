// The canvas's buttons, sliders and keys, and how pictures get onto it: dropped, pasted or chosen.
"use strict";

(() => {
  const { one, onAppear, t, complain } = emulsion;
  const canvas = emulsion.canvas;
  const view = emulsion.canvasView;
  const tools = emulsion.canvasTools;
  const LARGEST = 1024;
  const TOOL_KEYS = { b: "brush", e: "eraser", r: "rectangle", l: "lasso", g: "fill" };
  const NEEDS_PICTURE = ["remove", "wipe", "shown", "invert", "upload", "alpha", "out", "in", "fit", "actual", "pick"];
  const el = (name) => one(`#em-canvas-${name}`);
  let fileIsMask = false; // what the next chosen file is

  // ---- files ----

  function choose(isMask) {
    fileIsMask = isMask;
    el("file").value = "";
    el("file").click();
  }

  async function take(file, isMask = false) {
    if (!file) return;
    if (!isMask) return canvas.replace(file);
    try {
      await canvas.setMask(file);
    } catch (error) {
      complain(error);
    }
  }

  const carriesPicture = (event) => event.dataTransfer?.types.includes("Files");

  function drag(event) {
    if (!carriesPicture(event)) return;
    event.preventDefault();
    one("#em-canvas").classList.toggle("em-canvas-over", event.type === "dragover");
  }

  function drop(event) {
    drag(event);
    if (carriesPicture(event)) take(event.dataTransfer.files[0]);
  }

  function paste(event) {
    const file = [...(event.clipboardData?.files ?? [])].find(({ type }) => type.startsWith("image/"));
    if (!file || !hasKeys()) return;
    event.preventDefault();
    take(file);
  }

  // ---- sliders: the size's grows by shares, so that small brushes can be set exactly ----

  const sizeAt = (share) => Math.round(LARGEST ** (share / 100));
  const shareOf = (size) => (100 * Math.log(size)) / Math.log(LARGEST);
  const percent = (value) => `${Math.round(value * 100)}%`;

  function show() {
    const root = one("#em-canvas");
    if (!root) return;
    const [picture, layer] = [canvas.current(), canvas.layer()];
    const { brush } = tools;
    Object.assign(root.dataset, { mode: canvas.mode(), state: picture ? "filled" : "empty" });
    root.classList.toggle("em-canvas-picking", tools.picking());
    root.classList.toggle("em-canvas-hand", tools.panning() || !layer);
    root.classList.toggle("em-canvas-moved", !view.view.fitted);
    for (const button of root.querySelectorAll("[data-tool]")) {
      button.setAttribute("aria-pressed", String(button.dataset.tool === tools.tool()));
      button.disabled = !picture;
    }
    for (const name of NEEDS_PICTURE) el(name).disabled = !picture;
    el("undo").disabled = !layer?.done;
    el("redo").disabled = !layer || layer.done === layer.history.length;
    el("shown").setAttribute("aria-pressed", String(view.view.maskShown));
    el("pick").setAttribute("aria-pressed", String(tools.picking()));
    el("colour").value = brush.colour;
    for (const [name, value, words] of [
      ["size", shareOf(brush.size), `${brush.size} px`],
      ["hardness", brush.hardness * 100, percent(brush.hardness)],
      ["opacity", brush.opacity * 100, percent(brush.opacity)],
    ]) {
      el(name).value = value;
      el(name).setAttribute("aria-valuetext", words);
      el(name).style.setProperty("--range_progress", `${value}%`);
      el(`${name}-value`).textContent = words;
    }
    showFacts();
  }

  function showFacts() {
    const picture = canvas.current();
    if (!el("facts")) return;
    const facts = picture ? [`${picture.width} × ${picture.height}`, picture.name] : [];
    el("facts").textContent = facts.filter(Boolean).join(" · ");
    el("scale").textContent = picture ? percent(view.view.scale) : "";
    one("#em-canvas").classList.toggle("em-canvas-moved", !view.view.fitted);
  }

  function toggleMask() {
    view.view.maskShown = !view.view.maskShown;
    view.redraw();
    show();
  }

  // ---- keys: while the canvas has the focus, or the pointer is over it and no field is typed in ----

  const typing = (element) => element?.matches?.("textarea, select, [contenteditable], input:not([type=range])");

  function hasKeys() {
    const [root, focus] = [one("#em-canvas"), document.activeElement];
    if (!root?.offsetParent || one("dialog[open]") || typing(focus)) return false;
    return root.contains(focus) || tools.hovered();
  }

  // Returns what a key does, or nothing.
  function meaning(event) {
    const { key, shiftKey, ctrlKey, metaKey, altKey } = event;
    const letter = key.toLowerCase();
    if (tools.busy()) return key === "Escape" ? () => tools.abort() : null;
    if (ctrlKey || metaKey) {
      if (altKey || !canvas.layer()) return null;
      if (letter === "z") return shiftKey ? canvas.redo : canvas.undo;
      return letter === "y" ? canvas.redo : null;
    }
    const onButton = document.activeElement?.matches("button, input, a, summary");
    if (key === " " && !onButton) return () => tools.setPanning(true);
    if (altKey || !canvas.has()) return null;
    const { brush, setBrush } = tools;
    const painting = {
      "[": () => setBrush({ size: Math.min(brush.size - 1, brush.size / 1.15) }),
      "]": () => setBrush({ size: Math.max(brush.size + 1, brush.size * 1.15) }),
      "{": () => setBrush({ hardness: brush.hardness - 0.1 }),
      "}": () => setBrush({ hardness: brush.hardness + 0.1 }),
    };
    const [closer, farther] = [() => view.zoom(1.25), () => view.zoom(0.8)];
    const looking = { 0: view.fit, 1: view.actualSize, "+": closer, "=": closer, "-": farther };
    const moving = { ArrowLeft: [40, 0], ArrowRight: [-40, 0], ArrowUp: [0, 40], ArrowDown: [0, -40] };
    if (canvas.layer() && painting[key]) return painting[key];
    if (canvas.layer() && TOOL_KEYS[letter]) return () => tools.setTool(TOOL_KEYS[letter]);
    if (looking[key]) return looking[key];
    return moving[key] && document.activeElement === el("stage") ? () => view.pan(...moving[key]) : null;
  }

  function keydown(event) {
    if (event.isComposing || event.keyCode === 229 || event.defaultPrevented || !hasKeys()) return;
    const act = meaning(event);
    if (!act) return;
    event.preventDefault();
    event.stopPropagation();
    act();
  }

  // ---- start ----

  const sliders = {
    size: ({ value }) => tools.setBrush({ size: sizeAt(value) }),
    hardness: ({ value }) => tools.setBrush({ hardness: value / 100 }),
    opacity: ({ value }) => tools.setBrush({ opacity: value / 100 }),
    colour: ({ value }) => tools.setBrush({ colour: value }),
  };
  const buttons = {
    ...{ undo: canvas.undo, redo: canvas.redo, wipe: canvas.clearStrokes, invert: canvas.invertMask },
    ...{ shown: toggleMask, alpha: canvas.maskFromAlpha, upload: () => choose(true) },
    ...{ choose: () => choose(false), empty: () => choose(false), remove: () => canvas.replace(null) },
    ...{ out: () => view.zoom(0.8), in: () => view.zoom(1.25), fit: view.fit, actual: view.actualSize },
    pick: () => tools.setPicking(!tools.picking()),
  };

  let seen = false; // whether the canvas has been on the page before
  function attach() {
    const root = one("#em-canvas");
    if (seen) root.dataset.mode = canvas.mode(); // Gradio has built it anew
    seen = true;
    canvas.setMode(root.dataset.mode);
    new MutationObserver(() => canvas.setMode(root.dataset.mode)).observe(root, { attributeFilter: ["data-mode"] });
    for (const [name, act] of Object.entries(buttons)) el(name).onclick = () => act();
    for (const [name, act] of Object.entries(sliders)) el(name).oninput = () => act(el(name));
    for (const button of root.querySelectorAll("[data-tool]")) {
      button.onclick = () => tools.setTool(button.dataset.tool);
    }
    el("file").onchange = () => take(el("file").files[0], fileIsMask);
    root.addEventListener("dragover", drag);
    root.addEventListener("dragleave", drag);
    root.addEventListener("drop", drop);
    show();
  }

  onAppear("#em-canvas-file", attach); // the last of its elements: all others are there
  for (const name of ["canvas", "canvas-mode", "canvas-tool"]) document.addEventListener(`emulsion:${name}`, show);
  document.addEventListener("emulsion:canvas-view", showFacts);
  document.addEventListener("paste", paste);
  window.addEventListener("keydown", keydown, true); // before the page's own keys
  window.addEventListener("keyup", (event) => event.key === " " && tools.panning() && tools.setPanning(false), true);
  window.addEventListener("blur", () => tools.panning() && tools.setPanning(false));
})();
