// Above the gallery: search and filters, how many pictures there are, what to do with the chosen ones, and the look for
// new pictures while the gallery is open.
"use strict";

(() => {
  const { one, onAppear, t, ask, complain } = emulsion;
  const { history } = emulsion;
  const TYPING = 250; // milliseconds of quiet before a search
  const LOOK = { busy: 2000, idle: 8000 }; // milliseconds between looks for new pictures
  const MENUS = ["checkpoint", "lora", "sampler", "folder"];
  const DAY = 86400;
  let opened = false;
  let typing = 0;
  let looking = 0;
  let scrolled = 0; // of the window, when the tab was left
  let failed = false;
  let turn = 0; // the newest search wins
  let fresh = 0; // new pictures above the screen

  const active = () => emulsion.tabs.current() === "history";
  const fields = () => [...document.querySelectorAll("#em-history-filters [data-filter]")];

  // ---- filters ----

  // Dates are whole days of the reader's own clock.
  function seconds(date, days) {
    const [year, month, day] = date.split("-").map(Number);
    const time = Math.floor(new Date(year, month - 1, day).getTime() / 1000);
    return Math.max(1, time + days * DAY);
  }

  function wishes() {
    const values = { text: one("#em-history-text").value.trim() };
    for (const field of fields()) {
      const { filter } = field.dataset;
      values[filter] = field.value;
      if (field.value && filter === "after") values.after = seconds(field.value, 0);
      if (field.value && filter === "before") values.before = seconds(field.value, 1);
    }
    values.favourites = one("#em-history-favourites").getAttribute("aria-pressed") === "true";
    return values;
  }

  async function look() {
    const mine = ++turn;
    clearTimeout(typing);
    emulsion.historyGrid.chooseNone();
    setFresh(0);
    const count = fields().filter((field) => field.value).length;
    one("#em-history-active").hidden = !count;
    one("#em-history-active").textContent = count;
    one("#em-history-clear").hidden = !Object.values(wishes()).some(Boolean);
    const head = one(".em-history-head").getBoundingClientRect();
    if (head.top <= 0 && emulsion.historyGrid.scrolled()) scrollTo({ top: 0, behavior: "instant" });
    try {
      await history.choose(wishes());
      failed = false;
    } catch (error) {
      if (mine !== turn) return;
      failed = true;
      complain(error);
    }
    draw();
  }

  function clear() {
    one("#em-history-text").value = "";
    for (const field of fields()) field.value = "";
    one("#em-history-favourites").setAttribute("aria-pressed", "false");
    look();
  }

  async function fillMenus() {
    const choices = await ask("history/choices");
    for (const name of MENUS) {
      const menu = one(`#em-history-filters [data-filter=${name}]`);
      const kept = menu.value;
      menu.replaceChildren(menu.options[0], ...choices[name].map((value) => new Option(value, value)));
      menu.value = choices[name].includes(kept) ? kept : "";
    }
  }

  function showFilters(visible) {
    one("#em-history-filters").hidden = !visible;
    one("#em-history-filters-button").setAttribute("aria-expanded", String(visible));
  }

  // ---- words ----

  const { counted } = emulsion.historyActions;

  function draw() {
    const total = history.total();
    const empty = failed || total === 0;
    one("#em-history-empty").hidden = !empty;
    one("#em-history-count").textContent = total ? counted(total) : "";
    if (!empty) return;
    const act = one("#em-history-empty-act");
    const filtered = history.filtered();
    one("#em-history-empty-text").textContent = failed
      ? t("history.failed")
      : filtered
        ? t("history.nothing")
        : t("history.empty");
    act.textContent = failed ? t("history.again") : filtered ? t("history.clear") : t("history.make");
    act.onclick = failed ? look : filtered ? clear : () => emulsion.tabs.open("txt2img");
  }

  // The day of the topmost row stands beside the number while one scrolls.
  function drawDay({ detail }) {
    const picture = history.picture(detail.place);
    const total = history.total();
    if (!total) return;
    const count = counted(total);
    const day = picture && new Date(picture.made * 1000).toLocaleDateString(emulsion.locale(), { dateStyle: "medium" });
    one("#em-history-count").textContent = day ? `${count} · ${day}` : count;
    if (!emulsion.historyGrid.scrolled()) setFresh(0);
  }

  function setFresh(count) {
    fresh = count;
    const button = one("#em-history-news");
    button.hidden = !count;
    if (count) button.textContent = t("history.news", { count });
  }

  function drawChosen() {
    const chosen = emulsion.historyGrid.chosen();
    const box = one("#em-history-chosen");
    box.hidden = !chosen.length;
    one("#em-history-chosen-count").textContent = t("history.chosen_count", { count: chosen.length });
    box.querySelector("[data-chosen=compare]").disabled = chosen.length !== 2;
    const favourites = chosen.length > 0 && chosen.every((picture) => picture.favourite);
    const button = box.querySelector("[data-chosen=favourite]");
    button.textContent = favourites ? t("history.unfavourite") : t("history.favourite");
  }

  const WITH_CHOSEN = {
    compare: (chosen) => emulsion.historyCompare.open(...chosen),
    favourite: (chosen) => emulsion.historyActions.favour(chosen),
    zip: (chosen) => emulsion.historyActions.zip(chosen),
    delete: (chosen) => emulsion.historyActions.throwAway(chosen.map((picture) => picture.id)),
    none: () => emulsion.historyGrid.chooseNone(),
  };

  async function rebuild() {
    const button = one("#em-history-rebuild");
    button.disabled = true;
    emulsion.toast([t("history.rebuilding")]);
    try {
      await history.rebuild();
      await fillMenus();
      emulsion.toast([t("history.rebuilt", { count: history.total().toLocaleString(emulsion.locale()) })]);
    } catch (error) {
      complain(error);
    }
    button.disabled = false;
    draw();
  }

  // ---- opening the tab, and looking for new pictures while it is open ----

  async function show() {
    clearTimeout(looking);
    if (!active() || !one("#em-history")) return;
    if (!opened) {
      opened = true;
      showFilters(innerWidth > 900);
      fillMenus().catch(() => {}); // the search below tells what is wrong
      await look();
    } else {
      requestAnimationFrame(() => scrollTo({ top: scrolled, behavior: "instant" }));
      emulsion.historyGrid.redraw();
      await history.news().catch(() => {});
    }
    later();
  }

  function later() {
    clearTimeout(looking);
    if (!active()) return;
    looking = setTimeout(async () => {
      if (!document.hidden && !one("dialog[open]")) await history.news().catch(() => {}); // the next look may work
      later();
    }, emulsion.jobs.busy() ? LOOK.busy : LOOK.idle);
  }

  document.addEventListener("emulsion:tab", show);
  document.addEventListener("visibilitychange", () => document.hidden || (opened && show()));
  document.addEventListener("emulsion:history", ({ detail }) => {
    if (detail.total) draw();
    if (!detail.shift) return;
    if (emulsion.historyGrid.scrolled()) setFresh(fresh + detail.shift);
    fillMenus().catch(() => {}); // the old ones stay
  });
  document.addEventListener("emulsion:history-moved", drawDay);
  document.addEventListener("emulsion:history-chosen", drawChosen);
  document.addEventListener("emulsion:language", () => {
    if (!opened) return;
    draw();
    drawChosen();
  });
  const remember = () => {
    if (active() && emulsion.historyGrid.visible()) scrolled = scrollY;
  };
  addEventListener("scroll", remember, { passive: true });
  onAppear("#em-history", show);
  onAppear("#em-history-text", (field) => {
    field.oninput = () => {
      clearTimeout(typing);
      typing = setTimeout(look, TYPING);
    };
  });
  onAppear("#em-history-filters [data-filter]", (field) => (field.onchange = look));
  onAppear("#em-history-clear", (button) => (button.onclick = clear));
  onAppear("#em-history-trash", (button) => (button.onclick = emulsion.historyActions.openTrash));
  onAppear("#em-history-rebuild", (button) => (button.onclick = rebuild));
  onAppear("#em-history-news", (button) => (button.onclick = () => scrollTo({ top: 0, behavior: "smooth" })));
  onAppear("#em-history-filters-button", (button) => {
    button.onclick = () => showFilters(one("#em-history-filters").hidden);
  });
  for (const [id, act] of [
    ["em-history-favourites", look],
    ["em-history-select", (pressed) => emulsion.historyGrid.setChoosing(pressed)],
  ]) {
    onAppear(`#${id}`, (button) => {
      button.onclick = () => {
        const pressed = button.getAttribute("aria-pressed") !== "true";
        button.setAttribute("aria-pressed", String(pressed));
        act(pressed);
      };
    });
  }
  onAppear("[data-chosen]", (button) => {
    button.onclick = () => WITH_CHOSEN[button.dataset.chosen](emulsion.historyGrid.chosen());
  });
})();
