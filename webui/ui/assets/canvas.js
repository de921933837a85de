// The source picture with its mask and its sketch. What it holds does not hang on any element: it outlives closed
// folds, other tabs, a new language, and a reload. canvas_view.js shows it, canvas_tools.js paints.
"use strict";

(() => {
  const { t, toast, complain } = emulsion;
  const { isBlank } = emulsion.paint;
  const files = emulsion.canvasFiles;
  const KEEP_AFTER = 300; // milliseconds of quiet until the browser keeps what was painted
  let picture = null;
  let mode = "image"; // or "sketch", "mask"
  let revision = 0;
  let opening = 0; // the newest request for a picture wins
  let waiting = 0;

  // ---- changes ----

  // `drawn`: the screen shows it already.
  function changed(what, drawn = false) {
    revision++;
    clearTimeout(waiting);
    waiting = setTimeout(keepNow, KEEP_AFTER);
    document.dispatchEvent(new CustomEvent("emulsion:canvas", { detail: { what, drawn } }));
  }

  function keepNow() {
    if (!waiting) return;
    clearTimeout(waiting);
    waiting = 0;
    files.keep(picture);
  }

  function show(found) {
    picture = found;
    changed("picture");
    keepNow(); // writing a file takes longer than a page has that is being left
  }

  // ---- picture ----

  // Shows a picture, without strokes or, where it has the size of the last one and `keepMask` is true, with its mask.
  // Rejects with an Error in the reader's language.
  async function setPicture(source, { name = "", keepMask = false } = {}) {
    const turn = ++opening;
    const found = await files.open(source, name);
    if (turn !== opening) return;
    if (keepMask && picture?.width === found.width && picture?.height === found.height) found.mask = picture.mask;
    show(found);
  }

  function clear() {
    opening++;
    if (picture) show(null);
  }

  const painted = (found) => Boolean(found) && !(isBlank(found.mask) && isBlank(found.sketch));

  // The same for what a person drops, sends or takes away: strokes that go with it can be had back, a mask that stays
  // can be wiped. `whole`: the size of the pass becomes the picture's however large it is. Returns whether it worked.
  async function replace(source, { whole = false, ...options } = {}) {
    const before = picture;
    try {
      if (source) {
        await setPicture(source, options);
        emulsion.pictureSize?.take(whole);
      } else clear();
    } catch (error) {
      complain(error);
      return false;
    }
    if (before === picture || !painted(before)) return true;
    const { mask } = before;
    if (picture?.mask === mask && !isBlank(mask)) {
      const wipe = () => picture?.mask === mask && step(mask, emulsion.paint.wipe);
      toast([t("canvas.kept")], { action: t("canvas.wipe_mask"), act: wipe });
    } else toast([t("canvas.replaced")], { action: t("canvas.undo"), act: () => (opening++, show(before)) });
    return true;
  }

  const flat = () => mode === "sketch" && !isBlank(picture.sketch);

  // The picture's own bytes, unless strokes have to go into it or it lies on its side.
  async function pictureFile() {
    if (!picture) throw new Error(t("canvas.no_picture"));
    return flat() || !picture.upright ? files.pictureFile(picture, flat()) : picture.blob;
  }

  // ---- mask ----

  const mask = async () => (picture && !isBlank(picture.mask) ? files.maskFile(picture.mask) : null);

  // Does one thing to a layer, as one step.
  function step(layer, act) {
    const made = emulsion.paint.begin(layer);
    act(made);
    const any = emulsion.paint.finish(made);
    if (any) changed("strokes");
    return any;
  }

  const setValues = (valueOf) => step(picture.mask, (made) => emulsion.paint.rewrite(made, valueOf));

  // White is repainted; a file with transparent parts is read by its alpha. Rejects like setPicture.
  async function setMask(source) {
    const target = picture;
    if (!target) throw new Error(t("canvas.no_picture"));
    const { value, scaled } = await files.openMask(source, target.width, target.height);
    if (target !== picture) return;
    setValues(() => value);
    if (scaled) toast([t("canvas.mask_scaled", { width: target.width, height: target.height })]);
  }

  // Transparent pixels of the picture become the mask. False, with words, where there are none.
  function maskFromAlpha() {
    if (!picture) return false;
    const { bitmap, width } = picture;
    const alphas = new Uint8Array(width * bitmap.height);
    const read = files.reader(bitmap);
    for (let top = 0; top < bitmap.height; top += 256) {
      const data = read(top, Math.min(256, bitmap.height - top));
      for (let i = 3, at = top * width; i < data.length; i += 4, at++) alphas[at] = data[i];
    }
    const any = alphas.some((alpha) => alpha < 255);
    if (any) setValues(() => (x, y) => 255 - alphas[y * width + x]);
    else toast([t("canvas.no_alpha")]);
    return any;
  }

  function invertMask() {
    if (picture) setValues(() => (x, y, old) => 255 - old);
  }

  // ---- strokes ----

  const layer = () => (mode === "image" ? null : (picture?.[mode] ?? null)); // that the tools paint into

  const clearStrokes = () => Boolean(layer()) && step(layer(), emulsion.paint.wipe);

  function back(move) {
    if (!layer() || !move(layer())) return false;
    changed("strokes");
    return true;
  }

  const undo = () => back(emulsion.paint.undo);
  const redo = () => back(emulsion.paint.redo);

  function setMode(name) {
    if (name === mode || !["image", "sketch", "mask"].includes(name)) return;
    mode = name;
    document.dispatchEvent(new CustomEvent("emulsion:canvas-mode"));
  }

  // ---- start ----

  document.addEventListener("visibilitychange", () => document.hidden && keepNow());
  window.addEventListener("pagehide", keepNow);

  const ready = files.recall().then((found) => {
    if (found && !opening) show(found);
  });

  emulsion.canvas = {
    ...{ setPicture, clear, picture: pictureFile, mask, setMask, maskFromAlpha, invertMask },
    ...{ undo, redo, clearStrokes, setMode, ready, replace, changed, layer },
    has: () => Boolean(picture),
    size: () => (picture ? [picture.width, picture.height] : null),
    name: () => picture?.name ?? "",
    mode: () => mode,
    revision: () => revision,
    current: () => picture, // for canvas_view.js and canvas_tools.js
  };
})();
