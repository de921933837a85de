// Closed folds say what in them is switched on: nobody should wonder why a picture took a second pass.
"use strict";

(() => {
  const { one, onAppear } = emulsion;
  const WAIT = 400; // milliseconds after the last change
  const ON = "✓";
  const stem = (file) => (file ?? "").replace(/\.[^.]+$/, "");
  // What each fold shows of the fields, "" for nothing.
  const SHOWN = {
    "em-hires-fold": ({ hires, hires_upscaler }) => (hires ? hires_upscaler : ""),
    "em-refiner": ({ refiner_checkpoint }) => stem(refiner_checkpoint),
    "em-tiles": ({ tiled }) => (tiled ? ON : ""),
    "em-variation": ({ variation_strength }) => (variation_strength > 0 ? String(variation_strength) : ""),
    "em-soft": ({ soft_inpaint }) => (soft_inpaint ? ON : ""),
    "em-aesthetic": ({ aesthetic_embedding }) => stem(aesthetic_embedding),
  };
  let timer = 0;

  async function mark() {
    if (one("dialog[open]")) return later(); // the fields cannot be asked for
    const values = await emulsion.fields.values();
    for (const [id, shown] of Object.entries(SHOWN)) {
      const head = one(`#${id} .label-wrap > span`);
      const text = shown(values);
      if (head && text) head.dataset.on = text;
      else if (head) delete head.dataset.on;
    }
  }

  function later() {
    clearTimeout(timer);
    timer = setTimeout(mark, WAIT);
  }

  onAppear("body.em-ready", later);
  onAppear("#em-main", (main) => {
    for (const event of ["input", "change", "click", "focusout"]) main.addEventListener(event, later);
  });
  document.addEventListener("emulsion:filled", later);
})();
