// Scripts: plots, matrices, lists of prompts. Their fields are made from what the server declares; Generate sends them
// along with the studio's, and the line below them says what it would cost.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, stored, store, tabs } = emulsion;
  const { make } = emulsion.elements;
  const KEY = "emulsion.script";
  const TALL = ["lines"]; // arguments that are long texts
  const MOST_SHOWN = 5; // names of chosen pictures
  const LETTERS = ["x", "y", "z"];
  // The first one switches the others: what is read from pictures themselves.
  const OWN = ["use_infotext", "prompt", "negative_prompt", "seed", "guidance_scale", "sampler", "steps", "checkpoint"];
  const state = remembered(); // {name, title, tabs, given: {script: {argument: value}}}
  let known = null; // {scripts, axes, menus} as the server says
  let asked = 0; // how often the cost was asked for: late answers are left out
  let turn = 0; // the same of the list of scripts
  let timer = 0;

  function remembered() {
    try {
      const found = JSON.parse(stored("sessionStorage", KEY) ?? "null");
      if (found && typeof found.given === "object") return found;
    } catch {
      // written by something else: as if there were none
    }
    return { name: "", title: "", tabs: [], given: {} };
  }

  function changed() {
    store("sessionStorage", KEY, JSON.stringify(state));
    mark();
    later(300);
  }

  const tab = () => (tabs.current() === "txt2img" ? "txt2img" : "img2img");
  const active = () => Boolean(state.name) && state.tabs.includes(tab());
  const given = () => (state.given[state.name] ??= {});
  const script = (name = state.name) => known?.scripts.find((one) => one.name === name);
  const axisOf = (letter) => known.axes.find((axis) => axis.name === valueOf(`${letter}_type`));
  const option = (key) => script().options.find((one) => one.key === key);
  const valueOf = (key) => given()[key] ?? option(key)?.default;

  // A text of this program by its key, or the words of an extension.
  function words(key, otherwise) {
    const text = t(key);
    return text === key ? otherwise : text;
  }

  // What Generate sends along: the script with its arguments as JSON, or nothing.
  function value() {
    return active() ? JSON.stringify({ script: state.name, arguments: given() }) : "";
  }

  // ---- fields ----

  async function load() {
    const mine = ++turn;
    const found = await ask(`scripts?language=${encodeURIComponent(emulsion.locale())}`).catch(emulsion.complain);
    if (!found || mine !== turn) return;
    known = found;
    if (state.name) adopt(state.name);
    draw();
  }

  function draw() {
    const select = one("#em-script-name");
    if (!known || !select) return;
    const here = known.scripts.filter((found) => found.tabs.includes(tab()));
    select.replaceChildren(
      make("option", { value: "", i18n: "script.none" }),
      ...here.map((found) => make("option", { value: found.name, textContent: nameOf(found) })),
    );
    select.value = active() ? state.name : "";
    select.onchange = () => choose(select.value);
    drawFields();
    mark();
    later(0);
  }

  const nameOf = (found) => words(`script.name.${found.slug}`, found.name);

  function choose(name) {
    adopt(name);
    draw(); // nothing, while the fold was never opened
    changed();
  }

  function adopt(name) {
    const found = script(name);
    const taken = known ? found : { tabs: [tab()] }; // at its word until the list is here
    Object.assign(state, { name: taken ? name : "", title: found ? nameOf(found) : name, tabs: taken?.tabs ?? [] });
  }

  function drawFields() {
    const about = one("#em-script-about");
    const found = active() ? script() : null;
    about.textContent = found ? words(`script.about.${found.slug}`, "") : "";
    about.hidden = !about.textContent;
    one("#em-script-fields").replaceChildren(...(found ? fieldsOf(found) : []));
  }

  function fieldsOf(found) {
    const axes = LETTERS.filter((letter) => found.options.some((each) => each.key === `${letter}_type`));
    const plain = found.options.filter((each) => !/^[xyz]_(type|values)$/.test(each.key));
    const checks = plain.filter((each) => each.control === "checkbox");
    const others = plain.filter((each) => each.control !== "checkbox");
    return [
      ...axes.map(axisRow),
      axes.length > 1 && make("div", { className: "em-script-swap" }, swapper("x", "y"), swapper("y", "z")),
      others.length > 0 && make("div", { className: "em-script-row" }, ...others.map(field)),
      checks.length > 0 && make("div", { className: "em-script-checks" }, ...checks.map(check)),
    ].filter(Boolean);
  }

  // A script as a picture's settings or a preset name it: chosen in its fold, with these arguments and all others as
  // usual; "" for none. It counts at once, and no more if the list of scripts turns out to be without it.
  function restore(name, args) {
    if (name) state.given[name] = { ...args };
    choose(name);
    if (name && !known) load();
  }

  const labelOf = (each) => words(`script.option.${each.key}`, each.label);
  const helpOf = (each) => words(`script.help.${each.key}`, each.help);

  function check(each) {
    const box = make("input", { type: "checkbox", className: "em-script-box", checked: valueOf(each.key) });
    box.dataset.argument = each.key;
    box.disabled = OWN.slice(1).includes(each.key) && Boolean(option(OWN[0])) && !valueOf(OWN[0]);
    box.onchange = () => {
      put(each.key, box.checked);
      if (each.key !== OWN[0]) return;
      drawFields();
      one(`#em-script-fields [data-argument=${OWN[0]}]`).focus();
    };
    return make("label", { className: "em-script-check", title: helpOf(each) }, box, make("span", { textContent: labelOf(each) }));
  }

  function field(each) {
    if (each.control === "pictures") return pictures(each);
    const control = controlOf(each);
    control.dataset.argument = each.key;
    const wide = each.control === "text";
    return make(
      "label",
      { className: wide ? "em-field em-wide" : "em-field", title: helpOf(each) },
      make("span", { textContent: labelOf(each) }),
      control,
      TALL.includes(each.key) && fileButton(control),
    );
  }

  function controlOf(each) {
    if (each.control === "menu") {
      const select = make("select", { className: "em-select" });
      for (const choice of each.choices) select.add(new Option(words(`script.choice.${choice.toLowerCase()}`, choice), choice));
      select.value = valueOf(each.key);
      select.onchange = () => put(each.key, select.value);
      return select;
    }
    if (each.control === "text") {
      const area = make("textarea", { className: TALL.includes(each.key) ? "em-entry em-tall" : "em-entry", rows: 1 });
      area.value = valueOf(each.key);
      area.placeholder = helpOf(each);
      area.oninput = () => put(each.key, area.value);
      return area;
    }
    const { minimum: min, maximum: max, step } = each;
    const number = make("input", { type: "number", className: "em-entry", min, max, step: step ?? "any" });
    number.value = valueOf(each.key);
    number.oninput = () => put(each.key, number.value === "" ? each.default : Number(number.value));
    return number;
  }

  // Lines may come from a text file.
  function fileButton(area) {
    const file = make("input", { type: "file", accept: "text/plain,.txt", hidden: true });
    const open = make("button", { type: "button", className: "em-link", i18n: "script.file", onclick: () => file.click() });
    file.onchange = async () => {
      if (!file.files[0]) return;
      area.value = await file.files[0].text();
      area.oninput();
      file.value = "";
    };
    return make("span", {}, open, file);
  }

  // Pictures from this computer: they are sent at once, and the argument holds a line "blob:… name" for each.
  function pictures(each) {
    const lines = () => valueOf(each.key).split("\n").filter(Boolean);
    const file = make("input", { type: "file", accept: "image/*", multiple: true, hidden: true });
    const open = make("button", { type: "button", className: "em-button", i18n: "script.choose_pictures" });
    const clear = make("button", { type: "button", className: "em-link", i18n: "script.clear_pictures" });
    const said = make("span", { className: "em-script-sent", role: "status" });
    const box = make(
      "div",
      { className: "em-script-drop em-wide", title: helpOf(each), data: { argument: each.key } },
      make("span", { className: "em-script-label", textContent: labelOf(each) }),
      make("div", {}, open, clear, file),
      said,
    );

    function show() {
      const names = lines().map((line) => line.slice(line.indexOf(" ") + 1));
      const shown = names.slice(0, MOST_SHOWN).join(", ") + (names.length > MOST_SHOWN ? " …" : "");
      said.textContent = names.length ? `${t("script.pictures", { count: names.length })}: ${shown}` : helpOf(each);
      clear.hidden = !names.length;
    }

    async function take(chosen) {
      const images = [...chosen].filter((one) => one.type.startsWith("image/"));
      const found = [];
      open.disabled = true;
      try {
        for (const [index, image] of images.entries()) {
          said.textContent = t("script.sending", { done: index + 1, all: images.length });
          const headers = { "Content-Type": "application/octet-stream" };
          const { id } = await ask("uploads", { method: "POST", headers, body: image }).catch((error) => {
            if (error.parts) error.parts = { ...error.parts, found: `${image.name}: ${error.parts.found}` };
            throw error;
          });
          found.push(`${id} ${image.name.replace(/[\r\n]/g, " ")}`);
        }
      } catch (error) {
        emulsion.complain(error);
      }
      open.disabled = false;
      put(each.key, [...lines(), ...found].join("\n")); // others may have come meanwhile
      show();
    }

    open.onclick = () => file.click();
    clear.onclick = () => {
      put(each.key, "");
      show();
    };
    file.onchange = async () => {
      await take(file.files);
      file.value = "";
    };
    box.ondragover = (event) => event.preventDefault();
    box.ondrop = (event) => {
      event.preventDefault();
      event.stopPropagation();
      take(event.dataTransfer.files);
    };
    show();
    return box;
  }

  function put(key, wanted) {
    given()[key] = wanted;
    changed();
  }

  // ---- axes ----

  function axisRow(letter) {
    const label = (part) => t(`script.option.${letter}_${part}`);
    const type = make("select", { className: "em-select", data: { argument: `${letter}_type` } });
    const usable = known.axes.filter((axis) => !axis.problem && ["", tab()].includes(axis.tab));
    for (const axis of usable) type.add(new Option(words(`script.axis.${axis.slug}`, axis.name), axis.name));
    const off = make("optgroup", { label: t("script.unavailable") });
    for (const axis of known.axes.filter((one) => one.problem)) {
      const text = words(`script.axis.${axis.slug}`, axis.name);
      off.append(make("option", { value: axis.name, textContent: text, title: emulsion.said(axis.problem), disabled: true }));
    }
    type.append(off);
    type.value = valueOf(`${letter}_type`);
    if (!type.value) type.value = "Nothing";
    const values = make("textarea", { className: "em-entry", rows: 1, data: { argument: `${letter}_values` } });
    values.value = valueOf(`${letter}_values`);
    values.setAttribute("aria-label", label("values"));
    const add = make("select", { className: "em-select", ariaLabel: t("script.add") });
    const all = make("button", { type: "button", className: "em-button", i18n: "script.all", i18nTitle: "script.all.title" });
    const row = make(
      "div",
      { className: "em-axis" },
      make("label", { className: "em-field" }, make("span", { textContent: label("type") }), type),
      make("label", { className: "em-field em-axis-values" }, make("span", { textContent: label("values") }), values),
      make("div", { className: "em-axis-more" }, add, all),
    );

    function fit() {
      const axis = axisOf(letter) ?? known.axes[0];
      const menu = known.menus[axis.menu] ?? [];
      row.toggleAttribute("data-empty", axis.name === "Nothing");
      values.placeholder = t(`script.values.${axis.menu && axis.kind === "choice" ? "choice" : axis.kind}`);
      add.replaceChildren(make("option", { value: "", i18n: "script.add" }));
      for (const [text, name] of menu) add.add(new Option(text, name));
      add.hidden = all.hidden = !menu.length;
    }

    const write = (text) => {
      values.value = text;
      put(`${letter}_values`, text);
    };
    type.onchange = () => {
      given()[`${letter}_type`] = type.value;
      write("");
      fit();
      if (type.value !== "Nothing") values.focus();
    };
    values.oninput = () => put(`${letter}_values`, values.value);
    add.onchange = () => {
      if (add.value) write([values.value.trim().replace(/,$/, ""), quoted(add.value)].filter(Boolean).join(", "));
      add.value = "";
    };
    all.onclick = () => write(known.menus[axisOf(letter).menu].map(([, name]) => quoted(name)).join(", "));
    fit();
    return row;
  }

  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

  function swapper(first, second) {
    const text = `${first.toUpperCase()} ⇄ ${second.toUpperCase()}`;
    const swap = make("button", { type: "button", className: "em-link", textContent: text, i18nTitle: "script.swap" });
    swap.onclick = () => {
      for (const part of ["type", "values"]) {
        const [one, other] = [`${first}_${part}`, `${second}_${part}`];
        [given()[one], given()[other]] = [valueOf(other), valueOf(one)];
      }
      drawFields();
      changed();
    };
    return swap;
  }

  // ---- cost ----

  function later(wait) {
    clearTimeout(timer);
    if (known && one("#em-script-cost")) timer = setTimeout(count, wait);
  }

  async function count() {
    const number = ++asked;
    if (!active()) return show("");
    try {
      const fields = await emulsion.fields.values();
      for (const name of ["source_image", "source_mask", "script"]) delete fields[name];
      const body = { arguments: given(), fields: { ...fields, mode: tabs.current() } };
      const found = await send(`scripts/${encodeURIComponent(state.name)}/cost`, body);
      if (number !== asked) return;
      if (found.error) return wrong(found.error);
      const over = found.pictures > found.limit;
      show(over ? t("script.limit", found) : sentence(found), over ? "em-bad" : "");
    } catch (error) {
      if (number === asked) wrong(error.parts ?? { found: t("error.connection") });
    }
  }

  // Where something is not filled in yet, that is no mistake.
  function wrong({ found, wanted }) {
    const waits = (letter) => valueOf(`${letter}_type`) !== "Nothing" && valueOf(`${letter}_values`) === "";
    const untouched = !Object.keys(given()).length;
    show(emulsion.said([found, wanted].filter(Boolean).join(" ")), untouched || LETTERS.some(waits) ? "em-waits" : "em-bad");
  }

  function sentence({ pictures, steps, seconds, loads }) {
    const parts = [t("script.pictures", { count: pictures }), t("script.steps", { count: steps })];
    if (loads > 1) parts.push(t("script.loads", { count: loads }));
    if (seconds !== null) parts.push(t("script.time", { time: duration(seconds) }));
    return parts.join(" · ");
  }

  function duration(seconds) {
    const whole = Math.max(1, Math.round(seconds));
    if (whole < 90) return t("time.seconds", { seconds: whole });
    if (whole < 5400) return t("script.minutes", { minutes: Math.round(whole / 60) });
    return t("script.hours", { hours: (whole / 3600).toFixed(1) });
  }

  function show(text, kind = "") {
    const told = { hidden: !text, className: `em-script-cost ${kind}`, textContent: text };
    if (one("#em-script-cost")) Object.assign(one("#em-script-cost"), told);
  }

  // The closed fold says that a script will run.
  function mark() {
    const head = one("#em-script-fold .label-wrap > span");
    if (!head) return;
    if (active()) head.dataset.script = state.title || state.name;
    else delete head.dataset.script;
  }

  onAppear("#em-script", () => (known ? draw() : load()));
  onAppear("#em-script-fold .label-wrap", mark);
  onAppear("#em-main", (main) => {
    for (const event of ["input", "change"]) {
      main.addEventListener(event, ({ target }) => target.closest("#em-script") || (active() && later(700)));
    }
  });
  document.addEventListener("emulsion:tab", () => (known ? draw() : mark()));
  document.addEventListener("emulsion:language", () => (turn || state.name) && load());

  emulsion.script = { value, choose, restore };
})();
