// The library: pages of cards with search, order and folders, in a tab of its own and in a drawer beside the studio.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, stored, store, complain } = emulsion;
  const { make, menu, sign, soon } = emulsion.elements;
  const { KINDS, way, isOn, use, draw } = emulsion.cards;
  const TABS = ["checkpoints", "loras", "embeddings", "hypernetworks", "vae"];
  const PAGE = 60; // cards that are asked for at once
  const AHEAD = "800px"; // how far below the screen the next page is asked for
  const TYPING = 200; // milliseconds
  const WATCH = 1500; // between two looks at what is being read
  const SORTS = [
    ["name", "library.sort.name"],
    ["-date", "library.sort.newest"],
    ["-used", "library.sort.used"],
    ["-rank", "library.sort.rank"],
    ["-size", "library.sort.size"],
    ["size", "library.sort.small"],
  ];
  const NO_BASE = ["checkpoints", "diffusion_models"]; // kinds that are the base themselves
  const views = new Set();

  class View {
    // `name` tells what is remembered for it; `kinds` may be chosen; `aside`: the studio is seen beside it.
    constructor(root, { name, kinds, aside = false }) {
      Object.assign(this, { root, name, kinds, aside, cards: new Map(), asked: 0, total: 0, loaded: 0, checkpoint: null });
      const kept = JSON.parse(stored("localStorage", `emulsion.library.${name}`) ?? "{}");
      this.kind = kinds.includes(kept.kind) ? kept.kind : kinds.includes("loras") ? "loras" : kinds[0];
      this.sort = SORTS.some(([sort]) => sort === kept.sort) ? kept.sort : "name";
      this.fitting = kept.fitting !== false;
      Object.assign(this, { text: "", folder: "", favourites: false, base: null, hidden: 0 });
      this.build();
      views.add(this);
    }

    keep() {
      const { kind, sort, fitting } = this;
      store("localStorage", `emulsion.library.${this.name}`, JSON.stringify({ kind, sort, fitting }));
    }

    build() {
      const tab = (kind) => make("button", { type: "button", role: "tab", className: "em-kind", i18n: KINDS[kind], data: { kind }, onclick: () => this.choose(kind) });
      this.tabs = make("div", { className: "em-kinds", role: "tablist", i18nLabel: "library.kinds" }, ...this.kinds.filter((kind) => TABS.includes(kind)).map(tab));
      this.tabs.onkeydown = (event) => this.walk(event);
      const others = this.kinds.filter((kind) => !TABS.includes(kind)).map((kind) => [kind, { i18n: KINDS[kind] }]);
      this.more = menu([["", { i18n: "library.more" }], ...others], "", { i18nLabel: "library.more", onchange: () => this.more.value && this.choose(this.more.value) });
      this.search = make("input", { type: "search", className: "em-entry", i18nLabel: "library.search", onkeydown: (event) => event.key === "Enter" && event.preventDefault() });
      this.search.placeholder = t("library.search");
      const typed = soon(() => this.set({ text: this.search.value }), TYPING);
      this.search.oninput = typed;
      this.order = menu(SORTS.map(([sort, key]) => [sort, { i18n: key }]), this.sort, { i18nLabel: "library.sort", onchange: () => this.set({ sort: this.order.value }) });
      this.star = make("button", { type: "button", className: "em-button em-toggle", "aria-pressed": "false", i18nLabel: "library.favourites", i18nTitle: "library.favourites", onclick: () => this.set({ favourites: !this.favourites }) }, sign("star"));
      this.fit = make("button", { type: "button", className: "em-button em-toggle", i18n: "library.fitting", onclick: () => this.set({ fitting: !this.fitting }) });
      const again = make("button", { type: "button", className: "em-button em-toggle", i18nLabel: "button.refresh", i18nTitle: "button.refresh", onclick: () => this.refresh() }, sign("refresh"));
      this.folders = make("div", { className: "em-folders", role: "group", i18nLabel: "library.folders" });
      this.count = make("span", { className: "em-library-count", role: "status" });
      this.status = make("span", { className: "em-library-status" });
      this.grid = make("div", { className: "em-models", role: "list" });
      this.empty = make("div", { className: "em-library-empty", hidden: true });
      this.end = make("div", { className: "em-library-end", ariaHidden: "true" });
      const trash = make("button", { type: "button", className: "em-link", i18n: "library.trash", onclick: () => emulsion.trash.open() });
      this.root.classList.add("em-library");
      this.root.replaceChildren(
        make("div", { className: "em-library-top" }, this.tabs, others.length > 0 && this.more, !this.aside && trash),
        make("div", { className: "em-library-tools" }, this.search, this.order, this.star, this.fit, again),
        this.folders,
        make("div", { className: "em-library-line" }, this.count, make("span", { className: "em-space" }), this.status),
        this.grid,
        this.empty,
        this.end,
      );
      const scrolled = this.aside ? this.root : null; // the drawer scrolls by itself, the tab with the page
      const seen = (entries) => entries.at(-1).isIntersecting && this.next(); // the last one tells how it is now
      this.watcher = new IntersectionObserver(seen, { root: scrolled, rootMargin: AHEAD });
      this.watcher.observe(this.end);
    }

    // ---- what is wanted ----

    visible() {
      return Boolean(this.root.offsetParent) || this.root.closest(".em-drawer.em-open");
    }

    // Called when it comes into sight: loads what may be old.
    show() {
      if (this.checkpoint !== this.base_of() || this.stale || !this.loaded) this.load();
      else this.mark();
      this.follow();
    }

    base_of() {
      return emulsion.choosing.shown("checkpoint");
    }

    choose(kind) {
      this.search.value = "";
      this.set({ kind, folder: "", text: "" });
    }

    walk(event) {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      const tabs = [...this.tabs.children];
      const next = tabs[(tabs.indexOf(document.activeElement) + step + tabs.length) % tabs.length];
      next.focus();
      next.click();
    }

    set(changes) {
      Object.assign(this, changes);
      this.keep();
      this.load();
    }

    parameters(offset) {
      const { text, folder, sort } = this;
      const fitting = this.fitting && !NO_BASE.includes(this.kind) ? "1" : "0";
      return new URLSearchParams({
        ...{ text, folder, sort: sort.replace("-", ""), descending: sort.startsWith("-") ? "1" : "0", fitting },
        ...{ favourites: this.favourites ? "1" : "0", checkpoint: this.checkpoint, language: emulsion.locale() },
        ...{ offset: String(offset), limit: String(PAGE) },
      });
    }

    // ---- loading ----

    // From the beginning. Old cards stay until the new ones are there.
    async load() {
      this.checkpoint = this.base_of();
      this.stale = false;
      this.drawTools();
      const page = await this.page(0);
      if (!page) return;
      this.cards.clear();
      this.loaded = 0;
      Object.assign(this, { total: page.total, hidden: page.hidden, base: page.base });
      this.grid.replaceChildren();
      this.root.scrollTop = 0;
      this.add(page.cards);
      this.drawFolders(page.folders);
      this.drawLine();
    }

    async next() {
      if (this.busy || !this.loaded || this.loaded >= this.total) return;
      const page = await this.page(this.loaded);
      if (page) this.add(page.cards);
    }

    async page(offset) {
      const mine = ++this.asked;
      this.busy = true;
      try {
        const page = await ask(`library/${this.kind}?${this.parameters(offset)}`);
        return mine === this.asked ? page : null;
      } catch (error) {
        if (mine === this.asked) this.fail(error);
        return null;
      } finally {
        if (mine === this.asked) this.busy = false;
      }
    }

    add(cards) {
      this.loaded += cards.length;
      const fresh = cards.filter((card) => !this.cards.has(card.id)); // files may come in between two pages
      for (const card of fresh) this.cards.set(card.id, card);
      this.grid.append(...fresh.map((card) => draw(card, this.acts())));
      if (cards.length) {
        this.watcher.unobserve(this.end); // it tells only when something changes: the screen may not be full yet
        this.watcher.observe(this.end);
      }
    }

    fail(error) {
      this.grid.replaceChildren();
      const words = error.status ? (error.parts?.found ?? error.message) : t("error.connection");
      this.empty.replaceChildren(make("p", { textContent: words }), make("button", { type: "button", className: "em-button", i18n: "library.again", onclick: () => this.load() }));
      this.empty.hidden = false;
      [this.loaded, this.count.textContent] = [0, ""];
    }

    async refresh() {
      try {
        this.drawStatus(await send("library/refresh"));
      } catch (error) {
        return complain(error);
      }
      one("#em-refresh")?.click();
      changed(this);
      await this.load();
      this.follow();
    }

    // ---- drawing ----

    acts() {
      return {
        use: (card, event) => (way(card) === "none" ? this.open(card) : this.use(card, event)),
        open: (card) => this.open(card),
        star: (card) => this.edit(card, { favourite: !card.favourite }),
      };
    }

    async use(card, event) {
      await use(card, { negative: event.ctrlKey || event.metaKey || event.shiftKey, aside: this.aside });
      views.forEach((view) => view.mark());
    }

    open(card) {
      emulsion.details.open(card, {
        changed: (fresh) => (views.forEach((view) => view.put(fresh))),
        gone: () => changed(),
      });
    }

    async edit(card, changes) {
      try {
        const headers = { "Content-Type": "application/json" };
        const parameters = new URLSearchParams({ checkpoint: this.base_of(), language: emulsion.locale() });
        const body = JSON.stringify(changes);
        const fresh = await ask(`library/${card.kind}/${card.id}?${parameters}`, { method: "PUT", headers, body });
        views.forEach((view) => view.put(fresh));
      } catch (error) {
        complain(error);
      }
    }

    // A changed card in the place of the old one.
    put(card) {
      if (!this.cards.has(card.id)) return;
      this.cards.set(card.id, card);
      const old = this.element(card.id);
      const focused = old?.contains(document.activeElement) && document.activeElement.className;
      const element = draw(card, this.acts());
      old?.replaceWith(element);
      if (focused) element.querySelector(`.${focused.split(" ")[0]}`)?.focus();
    }

    element(id) {
      return this.grid.querySelector(`[data-id="${CSS.escape(id)}"]`);
    }

    // Which cards are in use now.
    mark() {
      if (!this.visible()) return;
      for (const element of this.grid.children) {
        const card = this.cards.get(element.dataset.id);
        if (card && way(card) !== "none") element.querySelector(".em-model-main").setAttribute("aria-pressed", String(isOn(card)));
      }
    }

    drawTools() {
      for (const tab of this.tabs.children) {
        tab.setAttribute("aria-selected", String(tab.dataset.kind === this.kind));
        tab.tabIndex = tab.dataset.kind === this.kind ? 0 : -1;
      }
      if (!this.tabs.querySelector("[aria-selected=true]") && this.tabs.firstChild) this.tabs.firstChild.tabIndex = 0;
      this.more.value = TABS.includes(this.kind) ? "" : this.kind;
      this.more.classList.toggle("em-on", Boolean(this.more.value));
      this.star.setAttribute("aria-pressed", String(this.favourites));
      this.fit.setAttribute("aria-pressed", String(this.fitting));
      this.fit.hidden = NO_BASE.includes(this.kind);
    }

    drawFolders(folders) {
      const chip = (name, text, title) => {
        const button = make("button", { type: "button", className: "em-folder", textContent: text, title, onclick: () => this.set({ folder: name }) });
        button.setAttribute("aria-pressed", String(this.folder === name));
        return button;
      };
      const chips = folders.map(({ name, count }) => chip(name, `${name.split("/").pop()} ${count}`, name));
      this.folders.replaceChildren(chip("", t("library.all_folders")), ...chips);
      this.folders.hidden = !folders.length;
    }

    drawLine() {
      const parts = [t("library.count", { count: this.total.toLocaleString(emulsion.locale()) })];
      if (this.hidden) parts.push(t("library.hidden", { count: this.hidden, base: this.base ?? "" }));
      this.count.textContent = parts.join(" · ");
      if (this.hidden) this.count.append(" ", make("button", { type: "button", className: "em-link", i18n: "library.show_hidden", onclick: () => this.set({ fitting: false }) }));
      this.empty.hidden = this.total > 0;
      if (this.total > 0) return;
      const searched = this.text || this.folder || this.favourites;
      const key = this.hidden ? "library.none_fit" : searched ? "library.none_found" : "library.none";
      this.empty.replaceChildren(sign("files"), make("p", { textContent: t(key, { folder: this.kind }) }));
    }

    // ---- what goes on behind the page ----

    async follow() {
      clearTimeout(this.timer);
      if (!this.visible() || document.hidden) return;
      let again = false;
      try {
        const status = await ask("library/status");
        again = ["reading", "hashing", "waiting"].includes(status.state);
        if (this.unread > 0 && status.unread < this.unread && (status.unread === 0 || this.loaded < PAGE)) this.load();
        this.unread = status.unread;
        this.drawStatus(status);
      } catch {
        again = true; // no connection: it is asked again
      }
      if (again) this.timer = setTimeout(() => this.follow(), WATCH);
    }

    drawStatus({ state, unread, unhashed, bytes_left }) {
      const said = {
        reading: () => t("library.reading", { count: unread }),
        hashing: () => t("library.hashing", { count: unhashed, size: emulsion.elements.bytes(bytes_left) }),
        waiting: () => t("library.waiting"),
        stopped: () => (unread || unhashed ? t("library.stopped") : ""),
      };
      this.status.textContent = said[state]?.() ?? "";
      const key = state === "stopped" ? "library.go_on" : "library.stop";
      if (!this.status.textContent) return;
      const wish = state === "stopped" ? "library/refresh" : "library/stop";
      const act = () => send(wish).then((status) => (this.drawStatus(status), this.follow()), complain);
      this.status.append(" ", make("button", { type: "button", className: "em-link", i18n: key, onclick: act }));
    }

    translate() {
      this.search.placeholder = t("library.search");
      if (this.loaded) this.load();
    }
  }

  // Files came or went: what is seen is loaded again now, the rest when it is looked at.
  function changed(except = null) {
    document.dispatchEvent(new CustomEvent("emulsion:library"));
    for (const view of views) {
      if (view === except) continue;
      view.stale = true;
      if (view.visible()) view.show();
    }
  }

  // ---- the tab ----

  let tab = null;
  onAppear("#em-library", (root) => {
    tab = new View(root, { name: "tab", kinds: Object.keys(KINDS) });
    if (emulsion.tabs.current() === "library") tab.show();
  });
  document.addEventListener("emulsion:tab", ({ detail }) => detail.name === "library" && tab && setTimeout(() => tab.show(), 0));

  const mark = soon(() => views.forEach((view) => view.mark()), 150);
  document.addEventListener("input", (event) => emulsion.prompt.isPrompt(event.target) && mark());
  document.addEventListener("emulsion:chosen", mark);
  document.addEventListener("emulsion:language", () => views.forEach((view) => view.translate()));
  document.addEventListener("visibilitychange", () => document.hidden || views.forEach((view) => view.visible() && view.follow()));

  emulsion.library = { View, changed };
})();
