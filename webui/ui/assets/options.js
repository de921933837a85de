// The settings of the program: what they are called, their controls, and changes, which count at once.
"use strict";

(() => {
  const { one, t, ask, send } = emulsion;
  const { make } = emulsion.elements;
  const MOST_STOPS = 400; // of a slider; wider ranges are typed

  const label = (name) => known(`setting.${name}.label`) ?? name.replaceAll("_", " ");
  const info = (name) => known(`setting.${name}.info`) ?? "";
  const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

  function known(key) {
    const text = t(key);
    return text === key ? null : text;
  }

  // ---- changes ----

  let line = Promise.resolve(); // one change after the other: answers come in the order of the wishes
  let unanswered = []; // changes on their way

  const save = (changes) =>
    tell(changes, () =>
      ask("options", {
        method: "PUT",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(changes),
      }),
    );
  const reset = (wanted) => tell({}, () => send("options/reset", wanted));

  async function tell(changes, act) {
    unanswered.push(changes);
    const mine = line.then(act);
    line = mine.catch(() => {});
    try {
      await mine;
    } finally {
      unanswered = unanswered.filter((one) => one !== changes);
    }
    return accept(await mine);
  }

  // Whoever shows settings hears of changes by the event "emulsion:options" with {values}.
  function accept({ values: said, fields }) {
    const values = Object.assign({}, said, ...unanswered); // what was changed since is not taken back for a moment
    adopt(values, true);
    document.dispatchEvent(new CustomEvent("emulsion:options", { detail: { values } }));
    if (Object.keys(fields).length) emulsion.settings.fill({ values: fields, quiet: true });
    return values;
  }

  // Takes over the settings that the scripts read. `chosen`: the reader has just changed them.
  function adopt(values, chosen) {
    const { language, theme } = emulsionDefaults;
    for (const name of Object.keys(emulsionDefaults)) if (name in values) emulsionDefaults[name] = values[name];
    if (values.theme !== theme) emulsion.applyTheme(true);
    if (values.language === language) return;
    if (chosen) emulsion.chooseLanguage(values.language === "auto" ? "" : values.language);
    else emulsion.showLanguage();
  }

  // ---- controls ----

  // The words of a choice: translated, or the name of a language or file as it is.
  function choices(setting, menus = {}) {
    const { name } = setting;
    if (menus[name]) {
      const first = name === "checkpoint" ? [["", t("setting.checkpoint.none")]] : [];
      return [...first, ...menus[name].map(([text, value]) => [value, text])];
    }
    const own = (value) => window.gradio_config?.i18n_translations?.[value]?.["language.name"];
    const slug = (value) => value.toLowerCase().replaceAll(/[^a-z0-9]+/g, "_");
    return setting.choices.map((value) => [value, known(`setting.${name}.${slug(value)}`) ?? own(value) ?? value]);
  }

  // A control for a setting: {element, input, show(value)}. `change(value)` is called when the reader is done with it.
  function control(setting, change, menus) {
    const { kind, name } = setting;
    if (name === "quick_settings") return emulsion.quick.chooser(setting, change);
    if (setting.choices.length || menus?.[name]) return selection(setting, change, menus);
    if (kind === "bool") return tick(change);
    if (kind === "int" || kind === "float") return numeric(setting, change);
    if (kind === "list" || kind === "map") return lines(kind, change);
    const input = make("input", { type: "text", className: "em-entry", spellcheck: false });
    if (name === "background") Object.assign(input, { type: "color", className: "em-option-colour" });
    input.onchange = () => {
      const wrong = kind === "folder" && leadsOut(input.value) ? t("options.no_folder") : null;
      change(wrong ? null : input.value, wrong);
    };
    return { element: input, input, show: (value) => (input.value = value) };
  }

  // Whether a folder's name is not one inside the outputs folder; the server judges in the end.
  const leadsOut = (text) => /^\s*[\\/]|:|(^|[\\/])\s*\.\.\s*($|[\\/])/.test(text);

  function selection(setting, change, menus) {
    const select = make("select", { className: "em-select" });
    select.onchange = () => change(select.value);
    const show = (value) => {
      const offered = choices(setting, menus);
      if (!offered.some(([one]) => one === value)) offered.push([value, value]); // a file that is gone
      emulsion.elements.fill(select, offered, value);
    };
    return { element: select, input: select, show };
  }

  function tick(change) {
    const input = make("input", { type: "checkbox", className: "em-switch" });
    input.setAttribute("role", "switch");
    input.onchange = () => change(input.checked);
    return { element: input, input, show: (value) => (input.checked = value) };
  }

  function numeric(setting, change) {
    const { low, high, kind } = setting;
    const width = high - low;
    const step = kind === "int" ? 1 : width <= 2 ? 0.01 : width <= 20 ? 0.1 : 0.5;
    const input = make("input", { type: "number", className: "em-entry em-option-number", step: "any", inputMode: "decimal" });
    if (kind === "int") Object.assign(input, { step: "1", inputMode: "numeric" });
    const slider = make("input", { type: "range", min: low, max: high, step, tabIndex: -1, ariaHidden: "true" });
    const draw = (value) => {
      slider.value = value;
      slider.style.setProperty("--range_progress", `${width ? ((slider.value - low) / width) * 100 : 0}%`);
    };
    slider.oninput = () => (draw(slider.value), (input.value = slider.value));
    slider.onchange = () => change(Number(slider.value));
    input.oninput = () => draw(input.value);
    input.onchange = () => {
      const wrong = misfit(setting, input.value);
      change(wrong ? null : Number(input.value), wrong);
    };
    const sliding = width / step <= MOST_STOPS;
    const element = make("div", { className: "em-option-numeric" }, sliding && slider, input);
    return { element, input, show: (value) => ((input.value = value), draw(value)) };
  }

  // Why a typed number cannot be taken, in words; null where it can.
  function misfit({ low, high, kind }, text) {
    const value = Number(text);
    const about = { low: low.toLocaleString(emulsion.locale()), high: high.toLocaleString(emulsion.locale()) };
    if (!text.trim() || !Number.isFinite(value)) return t("options.no_number", about);
    if (kind === "int" && !Number.isInteger(value)) return t("options.no_whole_number", about);
    return value < low || value > high ? t("options.out_of_range", about) : null;
  }

  // One entry a line; of maps "name = value".
  function lines(kind, change) {
    const input = make("textarea", { className: "em-entry", rows: 3, spellcheck: false });
    input.placeholder = t(kind === "map" ? "options.map_lines" : "options.list_lines");
    input.onchange = () => {
      const found = input.value.split("\n").map((line) => line.trim()).filter(Boolean);
      if (kind === "list") return change(found);
      const pairs = found.map((line) => /^(.*?\S)\s*=\s*(.*)$/.exec(line));
      if (pairs.includes(null)) return change(null, t("options.map_lines"));
      return change(Object.fromEntries(pairs.map(([, name, value]) => [name, value])));
    };
    const show = (value) => {
      input.value = (kind === "list" ? value : Object.entries(value).map((pair) => pair.join(" = "))).join("\n");
    };
    return { element: input, input, show };
  }

  // ---- what changed since the server started ----

  async function opened() {
    try {
      const page = await ask("options/page");
      adopt(page.values, false);
      emulsion.quick.draw(page);
    } catch {
      // the page works with what it was built with
    }
  }

  emulsion.onAppear("#em-quick", opened);
  emulsion.options = { label, info, known, same, save, reset, choices, control, opened };
})();
