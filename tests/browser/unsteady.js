// Makes the page as slow as a machine under load, at random: what comes late comes in another order too. Tests of
// `python -m pytest tests/browser --unsteady 1` run with it; "SEED" is their number.
"use strict";

(() => {
  const later = window.setTimeout.bind(window);
  let state = (Number("SEED") || 1) >>> 0;

  // Mulberry32, by Tommy Ettinger: numbers from 0 to 1.
  function random() {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  }

  // Milliseconds: mostly few, now and then many.
  const delay = () => (random() < 0.15 ? 300 + 900 * random() : 60 * random());
  const pause = () => new Promise((after) => later(after, delay()));

  function slowed(owner, name) {
    const quick = owner[name];
    owner[name] = async function (...words) {
      await pause();
      const result = await quick.apply(this, words);
      await pause();
      return result;
    };
  }

  slowed(window, "fetch");
  slowed(window, "createImageBitmap");
  slowed(Blob.prototype, "arrayBuffer");
  window.setTimeout = (act, wait = 0, ...words) => later(act, wait + (wait < 20 ? 20 * random() : delay()), ...words);
})();
