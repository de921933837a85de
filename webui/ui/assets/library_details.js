// Everything about one file of the library, and what people note about it.
"use strict";

(() => {
  const { t, ask, toast, complain } = emulsion;
  const { make, button, labelled, menu, sign, bytes, day, copy, dialog } = emulsion.elements;
  const { KINDS, IN_PROMPTS, way, isOn, use, picture, rememberVae } = emulsion.cards;
  const MOST_WORDS = 60; // chips of trigger words
  const JSON_TYPE = { "Content-Type": "application/json" };
  let current = null; // {card, acts, element, parts}
  let turn = 0; // the last one that was asked for is opened

  const address = (card, more = "") => {
    const parameters = new URLSearchParams({
      checkpoint: emulsion.choosing.shown("checkpoint"),
      language: emulsion.locale(),
    });
    return `library/${card.kind}/${card.id}${more}?${parameters}`;
  };

  // `acts`: changed(card) and gone().
  async function open(card, acts) {
    const asked = ++turn;
    let whole;
    try {
      whole = await ask(address(card));
    } catch (error) {
      return asked === turn && complain(error);
    }
    if (asked !== turn) return;
    current?.element.close();
    const body = make("div", { className: "em-details-body" });
    const mine = { card: whole, acts, body };
    current = mine;
    current.element = dialog("em-library-details", head(), body);
    current.element.setAttribute("aria-label", whole.name);
    current.element.addEventListener("close", () => leave(mine));
    draw();
  }

  // What was typed and not saved can still be.
  function leave(mine) {
    if (current === mine) current = null;
    const wanted = mine.gone || mine.saving ? {} : changes(mine);
    if (!Object.keys(wanted).length) return;
    toast([t("library.unsaved", { name: mine.card.name })], { action: t("library.save"), act: () => keep(wanted, mine) });
  }

  const head = () =>
    make(
      "div",
      { className: "em-details-head" },
      make(
        "div",
        {},
        make("h2", { textContent: current.card.title || current.card.name }),
        make("small", { textContent: current.card.file }),
      ),
      make("button", {
        type: "button",
        className: "em-close",
        i18nLabel: "button.close",
        textContent: "×",
        onclick: () => current.element.close(),
      }),
    );

  function draw() {
    const { card, body } = current;
    body.replaceChildren(
      make("div", { className: "em-details-left" }, picture(card, true), previewButtons(card)),
      make(
        "div",
        { className: "em-details-right" },
        ...warnings(card),
        chips(card),
        actions(card),
        words(card),
        vaeChoice(card),
        form(card),
        factsOf(card),
        metadata(card),
      ),
      make(
        "div",
        { className: "em-details-foot" },
        button("library.delete", () => remove(card), { className: "em-button em-quiet em-delete" }),
        make("span", { className: "em-space" }),
        button("library.save", save, { className: "em-button em-strong" }),
      ),
    );
  }

  // ---- parts ----

  const warnings = (card) =>
    [card.why_not, card.misplaced && t("library.misplaced", { place: card.place }), !card.read && t("library.unread")]
      .filter(Boolean)
      .map((words) => make("p", { className: "em-hint", said: words }));

  function chips(card) {
    const rank = card.rank && t("library.rank", { rank: card.rank });
    const texts = [card.variant || t(KINDS[card.kind]), card.family, rank, card.recipe?.label, bytes(card.size)];
    return make(
      "div",
      { className: "em-marks" },
      ...texts.filter(Boolean).map((text) => make("span", { className: "em-mark", textContent: text })),
    );
  }

  function actions(card) {
    const row = make("div", { className: "em-actions" });
    const redraw = () => row.replaceWith(actions(card));
    if (way(card) === "prompt") {
      const main = button(
        isOn(card) ? "library.remove" : "library.add",
        () => use(card, { aside: true }).then(redraw),
        { className: "em-button em-strong" },
      );
      row.append(main);
      if (card.kind === "embeddings")
        row.append(button("library.add_negative", () => use(card, { negative: true, aside: true }).then(redraw)));
    } else if (way(card) === "field") {
      row.append(
        button("library.choose", () => use(card, { aside: true }).then(redraw), {
          className: "em-button em-strong",
          disabled: isOn(card),
        }),
      );
    }
    if (card.recipe)
      row.append(
        button("library.recipe.use", () => emulsion.speed.apply(card.recipe), { title: emulsion.said(card.recipe.note) }),
        make("span", { className: "em-soft", textContent: emulsion.speed.told(card.recipe) }),
      );
    const wish = () => keep({ favourite: !card.favourite });
    const star = make(
      "button",
      { type: "button", className: "em-button em-starred", onclick: wish },
      sign("star"),
      make("span", { i18n: "library.favourite" }),
    );
    star.setAttribute("aria-pressed", String(card.favourite));
    row.append(star);
    return row;
  }

  function words(card) {
    if (!IN_PROMPTS.includes(card.kind) || !card.words.length) return null;
    const chip = (text) => {
      const element = make("button", { type: "button", className: "em-folder", textContent: text });
      const show = () => element.setAttribute("aria-pressed", String(emulsion.words.hasWords(text)));
      element.onclick = () => (emulsion.words.toggleWords(text), show());
      show();
      return element;
    };
    const list = make("div", { className: "em-folders" }, ...card.words.slice(0, MOST_WORDS).map(chip));
    return make("section", {}, make("h3", { i18n: "library.words" }), list);
  }

  // Which VAE "Automatic" means with this checkpoint.
  function vaeChoice(card) {
    if (card.kind !== "checkpoints") return null;
    const select = menu([["", { i18n: "library.vae.automatic" }]], "", { disabled: true });
    const load = async () => {
      const { vae } = await ask(`vae?${new URLSearchParams({ checkpoint: card.file })}`);
      const { cards } = await ask(
        `library/vae?${new URLSearchParams({ limit: "500", checkpoint: card.file, fitting: "1" })}`,
      );
      const files = cards.map((one) => [one.file, one.file]);
      const other = vae && vae !== "None" && !files.some(([name]) => name === vae) ? [[vae, vae]] : [];
      const choices = [
        ["", { i18n: "library.vae.automatic" }],
        ["None", { i18n: "choice.vae_none" }],
        ...files,
        ...other,
      ];
      emulsion.elements.fill(select, choices, vae ?? "");
      select.disabled = false;
    };
    load().catch(complain);
    select.onchange = () => rememberVae(card.file, select.value || null);
    return labelled("library.vae.with", select);
  }

  // ---- notes ----

  function form(card) {
    const text = (name, rows) => make("textarea", { name, rows, value: card[name], className: "em-entry" });
    const weight = make("input", {
      name: "weight",
      type: "number",
      step: "0.05",
      min: "-10",
      max: "10",
      className: "em-entry",
      value: card.weight ?? "",
    });
    const tags = make("input", { name: "tags", className: "em-entry", value: card.tags.join(", ") });
    const prompts = IN_PROMPTS.includes(card.kind);
    const element = make(
      "form",
      { className: "em-notes-form" },
      make("h3", { i18n: "library.notes_title" }),
      prompts && labelled("library.activation", text("activation", 2)),
      prompts &&
        make(
          "div",
          { className: "em-two" },
          labelled("library.weight", weight),
          labelled("library.negative", text("negative", 1)),
        ),
      labelled("library.description", text("description", 3)),
      labelled("library.notes", text("notes", 2)),
      labelled("library.tags", tags),
    );
    element.onsubmit = (event) => (event.preventDefault(), save());
    current.form = element;
    return element;
  }

  // What was changed in the form.
  function changes({ card, form } = current) {
    const said = Object.fromEntries(new FormData(form));
    const found = {};
    for (const name of ["activation", "negative", "description", "notes"])
      if (name in said && said[name] !== card[name]) found[name] = said[name];
    const tags = said.tags
      .split(/[,，]/)
      .map((tag) => tag.trim())
      .filter(Boolean);
    if (tags.join() !== card.tags.join()) found.tags = tags;
    const weight = said.weight ? Number(said.weight) : null;
    if ("weight" in said && weight !== card.weight) found.weight = weight;
    return found;
  }

  async function save() {
    const mine = current;
    const wanted = changes();
    mine.saving = true;
    const kept = !Object.keys(wanted).length || (await keep(wanted, mine));
    mine.saving = false;
    if (kept) mine.element.close();
    else if (current !== mine) leave(mine); // it was closed meanwhile
  }

  // Sends changes, and shows what the server made of them; whether it worked.
  async function keep(wanted, mine = current) {
    try {
      fresh(mine, await ask(address(mine.card), { method: "PUT", headers: JSON_TYPE, body: JSON.stringify(wanted) }));
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  }

  // The dialog with what is known now. What was typed and not saved stays.
  function fresh(mine, card) {
    mine.acts.changed(card);
    if (current !== mine) return void (mine.card = card);
    const unsaved = Object.keys(changes()).map((name) => [name, current.form.elements[name].value]);
    const { name: typing, selectionStart, selectionEnd } = current.form.contains(document.activeElement) ? document.activeElement : {};
    current.card = card;
    draw();
    for (const [name, value] of unsaved) current.form.elements[name].value = value;
    const field = typing && current.form.elements[typing];
    field?.focus();
    if (field && field.type !== "number") field.setSelectionRange(selectionStart, selectionEnd);
  }

  // ---- preview ----

  function previewButtons(card) {
    const shown = emulsion.pictures.shown();
    const file = make("input", { type: "file", accept: "image/png,image/jpeg,image/webp,image/avif", hidden: true });
    file.onchange = () => file.files[0] && setPreview(file.files[0], { "Content-Type": "application/octet-stream" });
    const fromShown = () => setPreview(JSON.stringify({ job: shown.job, index: shown.index }), JSON_TYPE);
    return make(
      "div",
      { className: "em-details-preview" },
      button("library.preview.shown", fromShown, {
        disabled: !shown,
        i18nTitle: shown ? null : "library.preview.none",
      }),
      button("library.preview.file", () => file.click()),
      file,
    );
  }

  async function setPreview(body, headers) {
    const mine = current;
    try {
      fresh(mine, await ask(address(mine.card, "/preview"), { method: "PUT", headers, body }));
    } catch (error) {
      complain(error);
    }
  }

  // ---- facts ----

  function line(key, value, copied = false) {
    if (value === null || value === undefined || value === "") return [];
    const shown = make("dd", {}, make(copied ? "code" : "span", { textContent: String(value) }));
    if (copied)
      shown.append(
        make("button", {
          type: "button",
          className: "em-link",
          i18n: "button.copy",
          onclick: () => copy(String(value)),
        }),
      );
    return [make("dt", { i18n: key }), shown];
  }

  function factsOf(card) {
    const rows = [
      ...line("library.fact.insert", card.insert, true),
      ...line("library.fact.sha256", card.sha256, true),
      ...line("library.fact.short_hash", card.short_hash, true),
      ...line("library.fact.old_hash", card.old_hash, true),
      ...line("library.fact.data_hash", card.data_hash, true),
      ...line("library.fact.family", [card.family, card.variant].filter(Boolean).join(", ")),
      ...line("library.fact.author", card.author),
      ...line("library.fact.licence", card.licence),
      ...line("library.fact.alias", card.alias),
      ...line("library.fact.used", card.uses ? t("library.fact.uses", { count: card.uses, day: day(card.used) }) : ""),
      ...line("library.fact.modified", day(card.modified)),
      ...line("library.fact.path", card.path, true),
    ];
    return make(
      "details",
      { className: "em-more", open: true },
      make("summary", { i18n: "library.facts" }),
      make("dl", {}, ...rows),
    );
  }

  function metadata(card) {
    const said = { ...card.details, ...card.metadata };
    const rows = Object.entries(said).flatMap(([name, value]) => [
      make("dt", { textContent: name }),
      make("dd", { textContent: typeof value === "string" ? value : JSON.stringify(value) }),
    ]);
    return (
      rows.length > 0 &&
      make(
        "details",
        { className: "em-more em-metadata" },
        make("summary", { i18n: "library.metadata" }),
        make("dl", {}, ...rows),
      )
    );
  }

  // ---- deleting ----

  async function remove(card) {
    const mine = current;
    const { acts, element } = mine;
    if (mine.gone) return; // a second press
    mine.gone = true;
    try {
      const { trash } = await ask(address(card), { method: "DELETE" });
      element.close();
      acts.gone();
      toast([t("library.deleted", { name: card.name })], {
        action: t("library.undo"),
        act: () => emulsion.trash.restore(trash, acts.gone),
      });
    } catch (error) {
      mine.gone = false;
      complain(error);
    }
  }

  emulsion.details = { open };
})();
