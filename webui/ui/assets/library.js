// The library: pages of cards with search, order and folders, in a tab of its own and in a drawer beside the studio.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, stored, store, complain } = emulsion;
  const { make, sign, soon } = emulsion.elements;
  const { KINDS, way, isOn, use, draw } = emulsion.cards;
  const { Bar, SORTS, NO_BASE } = emulsion.libraryBar;
  const PAGE = 60; // cards that are asked for at once
  const AHEAD = "800px"; // how far below the screen the next page is asked for
  const WATCH = 1500; // between two looks at what is being read
  const views = new Set();

  class View {
    // `name` tells what is remembered for it; `kinds` may be chosen; `aside`: the studio is seen beside it.
    constructor(root, { name, kinds, aside = false }) {
      Object.assign(this, {
        root,
        name,
        kinds,
        aside,
        cards: new Map(),
        asked: 0,
        total: 0,
        loaded: 0,
        checkpoint: null,
      });
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
      this.bar = new Bar(this, {
        choose: (kind) => this.choose(kind),
        set: (changes) => this.set(changes),
        refresh: () => this.refresh(),
        follow: () => this.follow(),
      });
      this.grid = make("div", { className: "em-models", role: "list" });
      this.empty = make("div", { className: "em-library-empty", hidden: true });
      this.end = make("div", { className: "em-library-end", ariaHidden: "true" });
      this.root.classList.add("em-library");
      this.root.replaceChildren(...this.bar.elements, this.grid, this.empty, this.end);
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
      if (this.checkpoint !== this.current() || this.stale || !this.loaded) this.load();
      else this.mark();
      this.follow();
    }

    current() {
      return emulsion.choosing.shown("checkpoint");
    }

    choose(kind) {
      this.bar.search.value = "";
      this.set({ kind, folder: "", text: "" });
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
      this.checkpoint = this.current();
      this.stale = false;
      this.bar.draw();
      const page = await this.page(0);
      if (!page) return;
      this.cards.clear();
      this.loaded = 0;
      Object.assign(this, { total: page.total, hidden: page.hidden, base: page.base });
      this.grid.replaceChildren();
      this.root.scrollTop = 0;
      this.add(page.cards);
      this.bar.drawFolders(page.folders);
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
      this.empty.replaceChildren(
        make("p", { said: words }),
        make("button", { type: "button", className: "em-button", i18n: "library.again", onclick: () => this.load() }),
      );
      this.empty.hidden = false;
      [this.loaded, this.bar.count.textContent] = [0, ""];
    }

    async refresh() {
      try {
        this.bar.drawStatus(await send("library/refresh"));
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
        changed: (fresh) => views.forEach((view) => view.put(fresh)),
        gone: () => changed(),
      });
    }

    async edit(card, changes) {
      try {
        const headers = { "Content-Type": "application/json" };
        const parameters = new URLSearchParams({ checkpoint: this.current(), language: emulsion.locale() });
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
        if (card && way(card) !== "none")
          element.querySelector(".em-model-main").setAttribute("aria-pressed", String(isOn(card)));
      }
    }

    drawLine() {
      this.bar.drawCount();
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
        this.bar.drawStatus(status);
      } catch {
        again = true; // no connection: it is asked again
      }
      if (again) this.timer = setTimeout(() => this.follow(), WATCH);
    }

    translate() {
      for (const element of [...this.grid.children]) element.replaceWith(draw(this.cards.get(element.dataset.id), this.acts()));
      if (this.loaded) this.drawLine();
      this.stale = true; // some words are the server's
      if (this.visible()) this.show();
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
  document.addEventListener(
    "emulsion:tab",
    ({ detail }) => detail.name === "library" && tab && setTimeout(() => tab.show(), 0),
  );

  const mark = soon(() => views.forEach((view) => view.mark()), 150);
  document.addEventListener("input", (event) => emulsion.prompt.isPrompt(event.target) && mark());
  document.addEventListener("emulsion:chosen", mark);
  document.addEventListener("emulsion:language", () => views.forEach((view) => view.translate()));
  document.addEventListener(
    "visibilitychange",
    () => document.hidden || views.forEach((view) => view.visible() && view.follow()),
  );

  emulsion.library = { View, changed };
})();
