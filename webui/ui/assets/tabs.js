// Which tab is open: the style of the page shows what belongs to it by `data-tab` of the body.
"use strict";

(() => {
  const { one, onAppear, stored, store } = emulsion;
  const KEY = "emulsion.tab";

  function show(name) {
    document.body.dataset.tab = name;
    store("sessionStorage", KEY, name);
    document.dispatchEvent(new CustomEvent("emulsion:tab", { detail: { name } }));
  }

  // Opens a tab as a click on it would.
  function open(name) {
    one(`#em-tab-${name}-button`)?.click();
  }

  document.body.dataset.tab = "txt2img";
  onAppear("#em-tabs", () => {
    const kept = stored("sessionStorage", KEY);
    if (kept && kept !== "txt2img") setTimeout(() => open(kept), 0);
  });

  emulsion.tabs = { show, open, current: () => document.body.dataset.tab };
})();
