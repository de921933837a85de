// Sets fields of the studio from outside: the server checks the values and knows the newest files.
"use strict";

(() => {
  const { input, complain } = emulsion;
  let wanted = "{}";
  let answer = null; // resolves the promise of the call under way

  // {field: value} for checkpoint, vae, sampler, schedule, steps, guidance_scale, eta. Resolves with the checked values,
  // or with null after telling what is wrong.
  function set(values) {
    return new Promise((resolve) =>
      emulsion.turns.press("em-choose", () => ([wanted, answer] = [JSON.stringify(values), resolve])),
    );
  }

  function done(report) {
    const { values, error } = JSON.parse(report || "{}");
    if (error) complain({ parts: error });
    else if (!values) complain(new TypeError());
    answer?.(values ?? null);
    answer = null;
    document.dispatchEvent(new CustomEvent("emulsion:chosen"));
    emulsion.turns.over("em-choose");
  }

  // The checkpoint or VAE as its menu shows it: "name [hash]", or the word for an automatic one.
  const shown = (field) => input(`em-${field}`)?.value ?? "";

  // Whether a menu shows this file.
  function isShown(field, name) {
    const text = shown(field);
    return text === name || (text.startsWith(`${name} [`) && text.endsWith("]"));
  }

  emulsion.choosing = { set, done, taken: () => wanted, shown, isShown };
})();
