// Above the cards: kinds, search, order, switches, folders, and what is being read behind the page.
"use strict";

(() => {
  const { t, send, complain } = emulsion;
  const { make, menu, sign, soon } = emulsion.elements;
  const { KINDS } = emulsion.cards;
  const TABS = ["checkpoints", "loras", "embeddings", "hypernetworks", "vae"]; // the others stand in a menu
  const NO_BASE = ["checkpoints", "diffusion_models"]; // kinds that are the base themselves
  const SORTS = [
    ["name", "library.sort.name"],
    ["-date", "library.sort.newest"],
    ["-used", "library.sort.used"],
    ["-rank", "library.sort.rank"],
    ["-size", "library.sort.size"],
    ["size", "library.sort.small"],
  ];
  const TYPING = 200; // milliseconds

  const toggle = (key, icon, onclick) =>
    make(
      "button",
      { type: "button", className: "em-button em-toggle", i18nLabel: key, i18nTitle: key, onclick },
      sign(icon),
    );

  // The controls of one view (see library.js): `state` is what it shows, `acts` what it does.
  class Bar {
    constructor(state, acts) {
      Object.assign(this, { state, acts });
      this.tabs = make("div", { className: "em-kinds", role: "tablist", i18nLabel: "library.kinds" });
      this.tabs.append(...state.kinds.filter((kind) => TABS.includes(kind)).map((kind) => this.tab(kind)));
      this.tabs.onkeydown = (event) => this.walk(event);
      const others = state.kinds.filter((kind) => !TABS.includes(kind)).map((kind) => [kind, { i18n: KINDS[kind] }]);
      const other = () => this.more.value && acts.choose(this.more.value);
      this.more = menu([["", { i18n: "library.more" }], ...others], "", { i18nLabel: "library.more", onchange: other });
      const data = { i18nPlaceholder: "library.search" };
      this.search = make("input", { type: "search", className: "em-entry", i18nLabel: "library.search", data });
      this.search.oninput = soon(() => acts.set({ text: this.search.value }), TYPING);
      const sorts = SORTS.map(([sort, key]) => [sort, { i18n: key }]);
      const sorted = () => acts.set({ sort: this.order.value });
      this.order = menu(sorts, state.sort, { i18nLabel: "library.sort", onchange: sorted });
      this.star = toggle("library.favourites", "star", () => acts.set({ favourites: !state.favourites }));
      this.fit = make("button", { type: "button", className: "em-button em-toggle", i18n: "library.fitting" });
      this.fit.onclick = () => acts.set({ fitting: !state.fitting });
      this.folders = make("div", { className: "em-folders", role: "group", i18nLabel: "library.folders" });
      this.count = make("span", { className: "em-library-count", role: "status" });
      this.status = make("span", { className: "em-library-status" });
      const trash = make("button", { type: "button", className: "em-link", i18n: "library.trash" });
      trash.onclick = () => emulsion.trash.open();
      const refresh = toggle("button.refresh", "refresh", acts.refresh);
      this.elements = [
        make("div", { className: "em-library-top" }, this.tabs, others.length > 0 && this.more, !state.aside && trash),
        make("div", { className: "em-library-tools" }, this.search, this.order, this.star, this.fit, refresh),
        this.folders,
        make("div", { className: "em-library-line" }, this.count, make("span", { className: "em-space" }), this.status),
      ];
    }

    tab(kind) {
      const element = make("button", {
        type: "button",
        role: "tab",
        className: "em-kind",
        i18n: KINDS[kind],
        data: { kind },
      });
      element.onclick = () => this.acts.choose(kind);
      return element;
    }

    // Arrow keys go from tab to tab.
    walk(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const tabs = [...this.tabs.children];
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    }

    draw() {
      const { kind, favourites, fitting } = this.state;
      const reachable = TABS.includes(kind) ? kind : this.tabs.firstChild.dataset.kind;
      for (const tab of this.tabs.children) {
        tab.setAttribute("aria-selected", String(tab.dataset.kind === kind));
        tab.tabIndex = tab.dataset.kind === reachable ? 0 : -1;
      }
      this.more.value = TABS.includes(kind) ? "" : kind;
      this.more.classList.toggle("em-on", Boolean(this.more.value));
      this.star.setAttribute("aria-pressed", String(favourites));
      this.fit.setAttribute("aria-pressed", String(fitting));
      this.fit.hidden = NO_BASE.includes(kind);
    }

    drawFolders(folders) {
      const chip = (folder, words) => {
        const element = make("button", { type: "button", className: "em-folder", ...words });
        element.onclick = () => this.acts.set({ folder });
        element.setAttribute("aria-pressed", String(this.state.folder === folder));
        return element;
      };
      const chips = folders.map(({ name, count }) => chip(name, { textContent: `${name.split("/").pop()} ${count}`, title: name }));
      this.folders.replaceChildren(chip("", { i18n: "library.all_folders" }), ...chips);
      this.folders.hidden = !folders.length;
    }

    drawCount() {
      const { total, hidden, base } = this.state;
      const parts = [t("library.count", { count: total.toLocaleString(emulsion.locale()) })];
      if (hidden) parts.push(t("library.hidden", { count: hidden, base: base ?? "" }));
      this.count.textContent = parts.join(" · ");
      if (!hidden) return;
      const show = make("button", { type: "button", className: "em-link", i18n: "library.show_hidden" });
      show.onclick = () => this.acts.set({ fitting: false });
      this.count.append(" ", show);
    }

    // `status` is what /ui/library/status says.
    drawStatus(status) {
      const { state, unread, unhashed, bytes_left } = status;
      const said = {
        reading: () => t("library.reading", { count: unread }),
        hashing: () => t("library.hashing", { count: unhashed, size: emulsion.elements.bytes(bytes_left) }),
        waiting: () => t("library.waiting"),
        stopped: () => (unread || unhashed ? t("library.stopped") : ""),
      };
      this.status.textContent = said[state]?.() ?? "";
      if (!this.status.textContent) return;
      const stopped = state === "stopped";
      const key = stopped ? "library.go_on" : "library.stop";
      const button = make("button", { type: "button", className: "em-link", i18n: key });
      button.onclick = () => send(stopped ? "library/refresh" : "library/stop").then(this.acts.follow, complain);
      this.status.append(" ", button);
    }
  }

  emulsion.libraryBar = { Bar, SORTS, NO_BASE };
})();
