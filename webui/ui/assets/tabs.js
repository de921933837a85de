// Which tab is open: the style of the page shows what belongs to it by `data-tab` of the body.
"use strict";

(() => {
  const { one, onAppear, stored, store } = emulsion;
  const KEY = "emulsion.tab";

  const button = (name) => one(`#em-tab-${name}-button`);

  function show(name) {
    document.body.dataset.tab = name;
    store("sessionStorage", KEY, name);
    mark();
    document.dispatchEvent(new CustomEvent("emulsion:tab", { detail: { name } }));
  }

  function mark() {
    for (const one of document.querySelectorAll(".em-tabs [role=tab]")) {
      const chosen = one.dataset.opens === document.body.dataset.tab;
      one.setAttribute("aria-selected", String(chosen));
      one.tabIndex = chosen ? 0 : -1;
      if (chosen) one.scrollIntoView({ block: "nearest", inline: "nearest" });
    }
  }

  // Opens a tab as a click on it would.
  const open = (name) => button(name)?.click();

  // Arrow keys go from tab to tab, as in every list of tabs.
  function onKey(event) {
    const tabs = [...event.currentTarget.querySelectorAll("[role=tab]")];
    const place = tabs.indexOf(document.activeElement);
    const next = { ArrowRight: place + 1, ArrowLeft: place - 1, Home: 0, End: tabs.length - 1 }[event.key];
    if (place < 0 || !tabs[next]) return;
    event.preventDefault();
    tabs[next].focus();
    tabs[next].click();
  }

  document.body.dataset.tab = "txt2img";
  onAppear(".em-tabs", (bar) => {
    bar.onclick = (event) => event.target.dataset.opens && show(event.target.dataset.opens);
    bar.onkeydown = onKey;
    mark();
    const kept = stored("sessionStorage", KEY);
    if (kept && kept !== "txt2img") setTimeout(() => open(kept), 0);
  });

  emulsion.tabs = { show, open, has: (name) => Boolean(button(name)), current: () => document.body.dataset.tab };
})();
