// All fields of the studio at once: read by the page's scripts, and filled by the server.
"use strict";

(() => {
  const { one } = emulsion;
  let waiting = []; // those who asked for the values

  // The values of all fields by name, as they are sent with a request. To be asked for before a dialog opens: while one is
  // open, no other part of the page can be pressed.
  function values() {
    return new Promise((resolve) => {
      waiting.push(resolve);
      one("#em-take").click();
    });
  }

  function taken(list) {
    const found = Object.fromEntries(emulsionDefaults.fields.map((name, place) => [name, list[place]]));
    waiting.forEach((resolve) => resolve(found));
    waiting = [];
  }

  // Fills the fields by what `filling.py` understands; the message offers to take it back.
  // Without `words` it says what the server says of it.
  async function replace(wanted, words = null) {
    const before = await values();
    const script = JSON.parse(emulsion.script.value() || '{"script": "", "arguments": {}}');
    const undo = () => {
      emulsion.settings.fill({ values: before, quiet: true });
      emulsion.script.restore(script.script, script.arguments);
    };
    if (!words) return emulsion.settings.fill(wanted, { undo });
    const after = () => emulsion.toast([words], { action: emulsion.t("button.undo"), act: undo });
    return emulsion.settings.fill({ ...wanted, quiet: true }, { after });
  }

  emulsion.fields = { values, taken, replace };
})();
