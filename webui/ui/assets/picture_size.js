// The size of a pass that starts from a picture: the picture's own with what it grows by, until another one is typed.
"use strict";

(() => {
  const { one, input, onAppear, setInput, t } = emulsion;
  const SIDE = 8; // sides are multiples of it, so proportions are not exact
  const LARGEST_SHARE = 1.5; // of the checkpoint's native side; as webui/engine/recommended.py has it
  const FACTORS = [1.5, 2];
  const SIDES = ["left", "right", "up", "down"]; // in the order of `told`
  const [GROWTH, MOST] = [0.25, 1024]; // by a share of the picture's side; pixels, the end of the sliders
  let told = null; // [width, height, left, right, up, down] of the fields, once one of them has changed
  let before = null; // the picture's size, grown, when it was looked at last
  let ofWords = null; // what stood in the fields before a picture gave its size; txt2img goes on with it
  let given = null; // the size that a picture gave last

  const starts = () => ["img2img", "inpaint"].includes(emulsion.tabs.current());
  const native = () => Number.parseInt(one("#em-preset input")?.value ?? "", 10) || 512;

  const current = () => told ?? [...["em-width", "em-height"].map((id) => Number(input(id)?.value)), 0, 0, 0, 0];

  // The picture's size with what outpainting adds, or null.
  function grown() {
    const size = emulsion.canvas.size();
    if (!size) return null;
    const [left, right, up, down] = emulsion.tabs.current() === "inpaint" ? current().slice(2) : [0, 0, 0, 0];
    return [size[0] + left + right, size[1] + up + down];
  }

  const scaled = (size, scale) => size.map((side) => Math.max(16, Math.round((side * scale) / SIDE) * SIDE));

  // Not far above what the checkpoint knows.
  function fitting(size) {
    const share = Math.sqrt(size[0] * size[1]) / native();
    return scaled(size, share > LARGEST_SHARE ? 1 / share : 1);
  }

  const same = (one, other) => Boolean(one && other) && one[0] === other[0] && one[1] === other[1];

  function set([width, height]) {
    told = [width, height, ...current().slice(2)]; // before Gradio says so: the next change may come first
    setInput(input("em-width"), width);
    setInput(input("em-height"), height);
  }

  function give(size) {
    if (!same(current(), given)) ofWords = current().slice(0, 2);
    given = size;
    set(size);
  }

  // Making from words goes on at its own size, and from the picture at the picture's.
  function change() {
    const [left, entered] = starts() ? [ofWords, given] : [given, ofWords];
    const making = starts() || emulsion.tabs.current() === "txt2img";
    if (making && left && entered && same(current(), left)) set(entered);
    follow();
  }

  // After a change: a size that was the picture's stays the picture's.
  function follow() {
    const now = grown();
    const values = current();
    if (starts() && now && before && !same(now, before)) {
      if (same(values, scaled(before, 1))) give(scaled(now, 1));
      else if (same(values, fitting(before))) give(fitting(now));
    }
    if (now) before = now;
    draw();
  }

  // Outpainting at a side, or no more. Its sliders lie in a fold, which is built when it is opened.
  function grow(side) {
    const [size, place] = [emulsion.canvas.size(), SIDES.indexOf(side)];
    const wanted = Math.min(MOST, scaled(size, GROWTH)[place < 2 ? 0 : 1]);
    emulsion.settings.fill({ values: { [`outpaint_${side}`]: current()[2 + place] ? 0 : wanted }, quiet: true });
  }

  function drawSides() {
    for (const button of document.querySelectorAll("[data-grow]")) {
      button.disabled = !emulsion.canvas.has();
      button.setAttribute("aria-pressed", String(current()[2 + SIDES.indexOf(button.dataset.grow)] > 0));
    }
  }

  function draw() {
    drawSides();
    const root = one("#em-picture-size");
    if (!root) return;
    const size = grown();
    root.hidden = !size;
    if (!size) return;
    const values = current();
    const offers = new Map([fitting(size), scaled(size, 1)].map((offer) => [offer.join(" × "), offer]));
    for (const factor of FACTORS) offers.set(`× ${factor}`, scaled(size, factor));
    one("#em-picture-sizes").replaceChildren(...[...offers].map(([words, offer]) => chip(words, offer)));
    const note = one("#em-picture-proportions");
    note.hidden = [0, 1].some((i) => !(Math.abs((values[1 - i] * size[i]) / size[1 - i] - values[i]) > SIDE));
    note.textContent = note.hidden ? "" : t("size.proportions", { width: size[0], height: size[1] });
  }

  function chip(words, offer) {
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: words });
    button.title = offer.join(" × ");
    button.setAttribute("aria-pressed", String(same(current(), offer)));
    button.onclick = () => give(offer);
    return button;
  }

  // Gradio hands over what stands in the fields.
  function changed(found) {
    told = found.map(Number);
    follow();
  }

  onAppear("#em-picture-size", draw);
  onAppear("[data-grow]", (button) => {
    button.onclick = () => grow(button.dataset.grow);
    drawSides();
  });
  document.addEventListener("emulsion:canvas", ({ detail }) => detail.what === "picture" && follow());
  document.addEventListener("emulsion:tab", change);
  document.addEventListener("emulsion:language", draw);

  emulsion.pictureSize = {
    changed,
    // For a new picture, whatever stood in the fields; `whole`: however large it is.
    take: (whole = false) => emulsion.canvas.has() && give(whole ? scaled(grown(), 1) : fitting(grown())),
  };
})();
