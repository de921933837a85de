// All fields of the studio at once, read by the page's scripts.
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

  emulsion.fields = { values, taken };
})();
