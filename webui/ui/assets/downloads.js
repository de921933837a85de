// Downloads of model files: begun here, carried out by the server, looked at while the tab is open.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, toast, complain } = emulsion;
  const { make, button, fill, bytes } = emulsion.elements;
  const { KINDS } = emulsion.cards;
  const WATCH = 700; // milliseconds between two looks while something goes on
  const UNDER_WAY = ["waiting", "running"];
  const checksums = new Map(); // id -> what was given with it, for another try
  const finished = new Set(); // ids that were announced
  let timer = 0;
  let first = true;
  let known = []; // as the server said last

  async function add(wish) {
    const { id } = await send("downloads", wish);
    checksums.set(id, wish.sha256 ?? "");
    look();
    return id;
  }

  async function submit(event) {
    event.preventDefault();
    const form = event.target;
    const wish = Object.fromEntries(new FormData(form));
    form.source.value = form.sha256.value = ""; // at once: what is typed meanwhile is the next one
    try {
      await add(wish);
    } catch (error) {
      if (!form.source.value) Object.assign(form.source, { value: wish.source }), (form.sha256.value = wish.sha256);
      complain(error);
    }
  }

  async function look() {
    clearTimeout(timer);
    let again = true;
    try {
      const { downloads, kinds } = await ask("downloads");
      if (first)
        fill(
          one("#em-download-kind"),
          [["", { i18n: "models.kind.automatic" }], ...kinds.map((kind) => [kind, { i18n: KINDS[kind] }])],
          "",
        );
      announce(downloads);
      first = false;
      known = downloads;
      draw();
      again = downloads.some(({ state }) => UNDER_WAY.includes(state));
    } catch {
      // no connection: it is asked again
    }
    if (again && emulsion.tabs.current() === "models") timer = setTimeout(look, WATCH);
  }

  const draw = () => one("#em-download-list")?.replaceChildren(...known.map(row));

  // The library hears of files that have arrived since the last look.
  function announce(downloads) {
    const done = downloads.filter(({ id, state }) => state === "done" && !finished.has(id));
    done.forEach(({ id }) => finished.add(id));
    if (first || !done.length) return;
    toast(done.map(({ name }) => t("models.arrived", { name })));
    one("#em-refresh")?.click();
    emulsion.library.changed();
  }

  function described(view) {
    const { state, done, whole, speed } = view;
    if (state === "waiting") return t("models.state.waiting");
    if (state === "cancelled") return t("models.state.cancelled");
    if (state === "failed") return emulsion.said(view.error);
    const size = whole ? t("models.of", { done: bytes(done), whole: bytes(whole) }) : bytes(done);
    if (state === "done")
      return [
        t("models.state.done", { kind: t(KINDS[view.kind] ?? "models.kind.automatic") }),
        bytes(done),
        ...view.notes.map(emulsion.said),
      ].join(" · ");
    return [size, speed > 0 ? t("models.speed", { speed: bytes(speed) }) : ""].filter(Boolean).join(" · ");
  }

  function row(view) {
    const { id, state, done, whole } = view;
    const remove = (forget) =>
      ask(`downloads/${encodeURIComponent(id)}`, { method: "DELETE" }).then(look, forget ? () => {} : complain);
    const again = async () => {
      try {
        await add({ source: view.source, kind: view.kind, sha256: checksums.get(id) ?? "" });
        await remove(true);
      } catch (error) {
        complain(error);
      }
    };
    const bar = make("progress", { max: 1, i18nLabel: "models.progress" });
    if (whole) bar.value = done / whole;
    const item = make(
      "li",
      { className: `em-job em-${state}`, data: { download: id } },
      make(
        "div",
        { className: "em-job-words" },
        make("strong", { textContent: view.name || view.source }),
        make("small", { textContent: described(view) }),
      ),
      state === "failed" || state === "cancelled" ? button(done > 0 ? "models.resume" : "models.again", again) : null,
      UNDER_WAY.includes(state)
        ? button("button.cancel", () => remove(false))
        : make("button", {
            type: "button",
            className: "em-close",
            i18nLabel: "models.forget",
            i18nTitle: "models.forget",
            textContent: "×",
            onclick: () => remove(false),
          }),
    );
    if (state === "running") item.append(bar);
    return item;
  }

  onAppear("#em-download-form", (form) => {
    form.onsubmit = submit;
    if (emulsion.tabs.current() === "models") look();
  });
  document.addEventListener(
    "emulsion:tab",
    ({ detail }) => detail.name === "models" && setTimeout(() => one("#em-download-form") && look(), 0),
  );

  document.addEventListener("emulsion:language", draw);

  emulsion.downloads = { add };
})();
