// Gradio's hidden buttons, pressed one after the other: of two events of one moment Gradio sends both, and their answers
// may come in the other order; one that comes while another is under way it may drop.
"use strict";

(() => {
  const { one, onAppear } = emulsion;
  const PATIENCE = 30_000; // milliseconds that an answer is waited for before the next press
  const lines = new Map(); // button's id: what to do before each press, the first of which is under way
  const timers = new Map();

  // Presses a button when the presses before are over; `before()` hands over what this one is about. The button's
  // events say `over(id)`.
  function press(id, before = () => {}) {
    const line = lines.get(id) ?? [];
    lines.set(id, [...line, before]);
    if (!line.length) begin(id);
  }

  // The same for a question about what the fields hold: one more press answers all that came meanwhile.
  function pressOnce(id) {
    if ((lines.get(id) ?? []).length < 2) press(id);
  }

  function begin(id) {
    const button = one(`#${id}`);
    if (!button) return void onAppear(`#${id}`, () => begin(id));
    lines.get(id)[0]();
    timers.set(id, setTimeout(() => over(id), PATIENCE));
    button.click();
  }

  function over(id) {
    clearTimeout(timers.get(id));
    const line = (lines.get(id) ?? []).slice(1);
    lines.set(id, line);
    if (line.length) begin(id);
  }

  emulsion.turns = { press, pressOnce, over };
})();
