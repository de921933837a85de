// Which tab is open: the style of the page shows what belongs to it by `data-tab` of the body.
"use strict";

(() => {
  const { one, onAppear, t, stored, store } = emulsion;
  const KEY = "emulsion.tab";

  function show(name) {
    document.body.dataset.tab = name;
    store("sessionStorage", KEY, name);
    document.dispatchEvent(new CustomEvent("emulsion:tab", { detail: { name } }));
  }

  // On narrow screens Gradio moves tabs into a menu, where they have nothing but their text.
  function button(name) {
    const inMenu = [...document.querySelectorAll("#em-tabs .overflow-dropdown button")];
    return one(`#em-tab-${name}-button`) ?? inMenu.find((entry) => entry.textContent.trim() === t(`tab.${name}`));
  }

  // Opens a tab as a click on it would.
  const open = (name) => button(name)?.click();

  document.body.dataset.tab = "txt2img";
  onAppear("#em-tabs", () => {
    const kept = stored("sessionStorage", KEY);
    if (kept && kept !== "txt2img") setTimeout(() => open(kept), 0);
  });

  emulsion.tabs = { show, open, has: (name) => Boolean(button(name)), current: () => document.body.dataset.tab };
})();
