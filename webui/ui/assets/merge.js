// The checkpoint merger: a form whose recipe becomes a job, and how that goes.
"use strict";

(() => {
  const { one, onAppear, t, ask, complain } = emulsion;
  const { make, button, labelled, menu, fill, soon } = emulsion.elements;
  const METHODS = {
    "Weighted sum": ["merge.method.sum", "merge.explain.sum"],
    "Add difference": ["merge.method.add", "merge.explain.add"],
    "Train difference": ["merge.method.train", "merge.explain.train"],
    "Cosine A": ["merge.method.cosine_a", "merge.explain.cosine"],
    "Cosine B": ["merge.method.cosine_b", "merge.explain.cosine"],
    "No interpolation": ["merge.method.none", "merge.explain.none"],
  };
  const PRECISIONS = {
    keep: "merge.precision.keep",
    fp32: "merge.precision.fp32",
    fp16: "merge.precision.fp16",
    bf16: "merge.precision.bf16",
    fp8: "merge.precision.fp8",
  };
  const STAGES = { hashing: "merge.stage.hashing", comparing: "merge.stage.comparing", merging: "merge.stage.merging" };
  // Curves over the depth of a block, 0 at the picture's side and 1 in the middle of the network.
  const CURVES = {
    deep: ["merge.blocks.deep", (depth) => depth],
    outer: ["merge.blocks.outer", (depth) => 1 - depth],
    input: ["merge.blocks.input", (depth, place) => (place < 12 ? 1 : 0)],
    output: ["merge.blocks.output", (depth, place) => (place > 12 ? 1 : 0)],
    rising: ["merge.blocks.rising", (depth, place) => place / 24],
    falling: ["merge.blocks.falling", (depth, place) => 1 - place / 24],
  };
  const FOUND = 20; // LoRAs that are offered for what is typed
  let parts = null;
  let methods = [];
  let running = null; // id of the job
  let last = null; // what was said of it last

  const curve = (name) =>
    Array.from({ length: 25 }, (_, place) => Number(CURVES[name][1](1 - Math.abs(place - 12) / 12, place).toFixed(2)));

  // ---- the form ----

  function build(form) {
    const model = (letter) => menu([], "", { name: letter, required: true });
    parts = {
      form,
      method: menu([], "", { name: "method", onchange: follow }),
      models: ["A", "B", "C"].map(model),
      about: make("p", { className: "em-soft", id: "em-merge-about" }),
      alpha: make("input", { type: "range", min: "0", max: "1", step: "0.01", value: "0.5", i18nLabel: "merge.alpha" }),
      number: make("input", {
        type: "number",
        min: "-10",
        max: "10",
        step: "0.01",
        value: "0.5",
        className: "em-entry",
        i18nLabel: "merge.alpha",
      }),
      curve: menu([], "", { onchange: takeCurve }),
      blocks: make("input", {
        className: "em-entry",
        i18nLabel: "merge.blocks.numbers",
        i18nTitle: "merge.blocks.explain",
        spellcheck: false,
      }),
      vae: menu([], ""),
      precision: menu([], ""),
      name: make("input", {
        className: "em-entry",
        required: true,
        maxLength: 150,
        autocomplete: "off",
        spellcheck: false,
      }),
      loras: make("div", { className: "em-rows" }),
      known: make("datalist", { id: "em-merge-known" }),
      discard: make("input", { className: "em-entry", spellcheck: false }),
      metadata: make("input", { type: "checkbox", checked: true }),
      recipe: make("input", { type: "checkbox", checked: true }),
      start: make("button", { type: "submit", className: "em-button em-strong", i18n: "merge.start" }),
    };
    parts.blocks.dataset.i18nPlaceholder = "merge.blocks.placeholder";
    parts.alpha.oninput = () => (parts.number.value = parts.alpha.value);
    parts.number.oninput = () => (parts.alpha.value = parts.number.value);
    parts.name.oninput = () => (parts.named = Boolean(parts.name.value));
    parts.models.forEach((select) => (select.onchange = suggest));
    const tick = (key, box) => make("label", { className: "em-tick" }, box, make("span", { i18n: key }));
    parts.strength = make(
      "div",
      { className: "em-strength" },
      labelled("merge.alpha", make("div", { className: "em-alpha" }, parts.alpha, parts.number)),
    );
    form.replaceChildren(
      labelled("merge.method", parts.method),
      parts.about,
      ...parts.models.map((select, place) =>
        labelled(["merge.model.a", "merge.model.b", "merge.model.c"][place], select),
      ),
      parts.strength,
      make(
        "div",
        { className: "em-pair-row" },
        labelled("merge.vae", parts.vae),
        labelled("merge.precision", parts.precision),
      ),
      make(
        "div",
        { className: "em-field" },
        make("span", { i18n: "merge.loras" }),
        parts.loras,
        button("merge.loras.add", () => addLora(), { className: "em-button em-less" }),
        parts.known,
      ),
      make(
        "details",
        { className: "em-more" },
        make("summary", { i18n: "merge.more" }),
        make(
          "div",
          { className: "em-rows" },
          make(
            "div",
            { className: "em-pair-row" },
            labelled("merge.blocks", parts.curve),
            labelled("merge.blocks.numbers", parts.blocks),
          ),
          labelled("merge.discard", parts.discard),
          tick("merge.copy_metadata", parts.metadata),
          tick("merge.write_recipe", parts.recipe),
        ),
      ),
      labelled("merge.name", parts.name),
      make(
        "div",
        { className: "em-dialog-row" },
        parts.start,
        make("span", { className: "em-soft", i18n: "merge.note" }),
      ),
    );
    form.onsubmit = start;
  }

  // All files of a kind; a page of cards has a largest size.
  async function files(kind) {
    const found = [];
    for (;;) {
      const { total, cards } = await ask(
        `library/${kind}?${new URLSearchParams({ limit: "500", offset: String(found.length) })}`,
      );
      found.push(...cards.map((card) => card.file));
      if (!cards.length || found.length >= total) return [...new Set(found)].map((name) => [name, name]);
    }
  }

  async function load() {
    try {
      const [choices, checkpoints, vaes] = await Promise.all([ask("merge"), files("checkpoints"), files("vae")]);
      methods = choices.methods;
      fill(
        parts.method,
        methods.map(({ name }) => [name, METHODS[name] ? { i18n: METHODS[name][0] } : name]),
        parts.method.value || "Weighted sum",
      );
      parts.models.forEach((select, place) =>
        fill(select, checkpoints, select.value || checkpoints[Math.min(place, checkpoints.length - 1)]?.[0]),
      );
      fill(parts.vae, [["", { i18n: "merge.vae.none" }], ...vaes], parts.vae.value);
      fill(
        parts.precision,
        choices.precisions.map((name) => [name, PRECISIONS[name] ? { i18n: PRECISIONS[name] } : name]),
        parts.precision.value || "fp16",
      );
      fill(
        parts.curve,
        [["", { i18n: "merge.blocks.none" }], ...Object.entries(CURVES).map(([name, [key]]) => [name, { i18n: key }])],
        parts.curve.value,
      );
      parts.start.disabled = !checkpoints.length;
      follow();
    } catch (error) {
      complain(error);
    }
  }

  const chosen = () => methods.find(({ name }) => name === parts.method.value) ?? { models: 2, alpha: true };

  // Shows what the method takes.
  function follow() {
    const { models, alpha } = chosen();
    parts.models.forEach((select, place) => {
      select.closest("label").hidden = place >= models;
      select.required = place < models;
    });
    parts.strength.hidden = !alpha;
    const explained = METHODS[parts.method.value]?.[1];
    parts.about.textContent = explained ? t(explained) : "";
    suggest();
  }

  const bare = (name) =>
    name
      .split("/")
      .pop()
      .replace(/\.(safetensors|ckpt)$/, "");

  // A name made of the models' names, until somebody writes another.
  function suggest() {
    if (parts.named) return;
    const { models } = chosen();
    parts.name.value =
      parts.models
        .slice(0, models)
        .map((select) => bare(select.value))
        .join("-") + (models > 1 ? "-merge" : "-new");
  }

  function takeCurve() {
    parts.blocks.value = parts.curve.value ? curve(parts.curve.value).join(", ") : "";
  }

  function addLora() {
    const name = make("input", {
      className: "em-entry",
      i18nLabel: "merge.loras.name",
      list: "em-merge-known",
      autocomplete: "off",
      spellcheck: false,
    });
    const weight = make("input", {
      type: "number",
      step: "0.05",
      min: "-10",
      max: "10",
      value: "1",
      className: "em-entry em-short",
      i18nLabel: "library.weight",
    });
    const close = make("button", {
      type: "button",
      className: "em-close",
      i18nLabel: "merge.loras.drop",
      textContent: "×",
      onclick: () => row.remove(),
    });
    const row = make("div", { className: "em-lora-row" }, name, weight, close);
    name.dataset.i18nPlaceholder = "merge.loras.name";
    name.oninput = soon(() => offer(name.value), 200);
    parts.loras.append(row);
    offer("");
    name.focus();
  }

  async function offer(text) {
    try {
      const { cards } = await ask(`library/loras?${new URLSearchParams({ text, limit: String(FOUND) })}`);
      parts.known.replaceChildren(...cards.map((card) => make("option", { value: card.name })));
    } catch {
      // a name can be typed without being offered
    }
  }

  function recipe() {
    const { models, alpha } = chosen();
    const loras = [...parts.loras.children]
      .map((row) => [...row.querySelectorAll("input")].map((input) => input.value))
      .filter(([name]) => name.trim())
      .map(([name, strength]) => ({ name: name.trim(), strength: Number(strength) }));
    return {
      ...{
        method: parts.method.value,
        models: parts.models.slice(0, models).map((select) => select.value),
        name: parts.name.value,
      },
      ...(alpha ? { alpha: Number(parts.number.value), blocks: parts.blocks.value } : {}),
      ...{ vae: parts.vae.value, loras, precision: parts.precision.value, discard: parts.discard.value },
      ...{ copy_metadata: parts.metadata.checked, write_recipe: parts.recipe.checked },
    };
  }

  // ---- the job ----

  async function start(event) {
    event.preventDefault();
    try {
      running = await emulsion.tasks.start("merge", recipe());
    } catch (error) {
      return complain(error);
    }
    parts.start.disabled = true;
    const job = running;
    try {
      draw(await emulsion.tasks.follow(job, draw));
    } catch (error) {
      complain(error);
    }
    parts.start.disabled = false;
  }

  function draw(view) {
    last = view;
    const outcome = one("#em-merge-outcome");
    const { state } = view;
    const bar = make("progress", { max: 1, i18nLabel: "models.progress" });
    if (view.progress > 0) bar.value = view.progress;
    const words = {
      waiting: () => t("models.state.waiting"),
      running: () => t(STAGES[view.stage] ?? "status.working"),
      cancelled: () => t("status.cancelled"),
      failed: () => emulsion.said(view.error),
      done: () => t("merge.done", { name: view.outcome.name }),
    }[state]();
    const lines = [
      make("strong", { textContent: words }),
      ...view.notes.map((note) => make("small", { said: note })),
    ];
    const item = make(
      "div",
      { className: `em-job em-${state}`, role: state === "failed" ? "alert" : "status" },
      make("div", { className: "em-job-words" }, ...lines),
    );
    if (state === "waiting" || state === "running")
      item.append(
        button("button.cancel", () => emulsion.tasks.interrupt(view.id).catch(complain)),
        bar,
      );
    if (state === "done")
      item.append(button("library.choose", () => emulsion.choosing.set({ checkpoint: view.outcome.name })));
    outcome.replaceChildren(item);
    if (state !== "done" || running !== view.id) return;
    running = null;
    parts.named = false;
    one("#em-refresh")?.click();
    emulsion.library.changed();
    load();
  }

  const appear = () => emulsion.tabs.current() === "models" && parts && load();
  onAppear("#em-merge-form", (form) => {
    build(form);
    appear();
  });
  document.addEventListener("emulsion:tab", () => setTimeout(appear, 0));
  document.addEventListener("emulsion:language", () => {
    if (!parts) return;
    follow();
    if (last) draw(last);
  });

  emulsion.merge = { recipe, curve };
})();
