// Options of extensions: their controls are made from what the server declares. What they say is kept as JSON in one
// hidden field of the studio, so that presets, history and infotexts treat it as any other field.
"use strict";

(() => {
  const { one, onAppear, t, ask } = emulsion;
  const { make } = emulsion.elements;
  let known = null; // {extensions, problems} as the server says
  let given = {}; // {extension: {option: value}} of those that are not as usual
  let asked = 0;

  const box = () => one("#em-extensions textarea, #em-extensions input");
  const valueOf = (owner, option) => given[owner.name]?.[option.key] ?? option.default;

  async function load() {
    const number = ++asked;
    try {
      const found = await ask(`extensions?language=${encodeURIComponent(emulsion.locale())}`);
      if (number !== asked) return;
      known = found;
    } catch (error) {
      return emulsion.complain(error);
    }
    draw();
  }

  // What the hidden field says now, when something else than these controls filled it.
  function show(text) {
    let found = {};
    try {
      found = JSON.parse(text || "{}");
    } catch {
      // half typed by nobody: as if there were nothing
    }
    if (JSON.stringify(found) === JSON.stringify(given)) return;
    given = found;
    draw();
  }

  function put(owner, option, value) {
    const { [owner.name]: own = {}, ...others } = given;
    const { [option.key]: _, ...rest } = own;
    const changed = value === option.default ? rest : { ...rest, [option.key]: value };
    given = Object.keys(changed).length ? { ...others, [owner.name]: changed } : others;
    box().value = Object.keys(given).length ? JSON.stringify(given) : "";
    box().dispatchEvent(new Event("input", { bubbles: true }));
    mark();
  }

  function draw() {
    mark();
    const list = one("#em-extensions-list");
    if (!known || !list) return;
    list.replaceChildren(
      ...known.extensions.map(group),
      ...known.problems.map(({ name, why }) =>
        make("p", { className: "em-script-cost em-bad", textContent: `${t("extensions.failed", { name })} ${why}` }),
      ),
    );
  }

  function group(owner) {
    const controls = owner.options.map((option) => (option.control === "checkbox" ? check(owner, option) : field(owner, option)));
    return make(
      "fieldset",
      { className: "em-extension", data: { extension: owner.name } },
      make("legend", { textContent: owner.label }),
      owner.about && make("p", { className: "em-script-about", textContent: owner.about }),
      make("div", { className: "em-script-row" }, ...controls),
    );
  }

  function check(owner, option) {
    const input = make("input", { type: "checkbox", className: "em-script-box", checked: valueOf(owner, option) });
    input.dataset.option = option.key;
    input.onchange = () => put(owner, option, input.checked);
    const text = make("span", { textContent: option.label });
    return make("label", { className: "em-script-check em-wide", title: option.help }, input, text);
  }

  function field(owner, option) {
    const control = controlOf(owner, option);
    control.dataset.option = option.key;
    const wide = option.control === "text" ? " em-wide" : "";
    const text = make("span", { textContent: option.label });
    return make("label", { className: `em-field${wide}`, title: option.help }, text, control);
  }

  function controlOf(owner, option) {
    if (option.control === "menu") {
      const select = emulsion.elements.menu(option.choices, valueOf(owner, option));
      select.onchange = () => put(owner, option, select.value);
      return select;
    }
    if (option.control === "text") {
      const area = make("textarea", { className: "em-entry", rows: 1, value: valueOf(owner, option), placeholder: option.help });
      area.oninput = () => put(owner, option, area.value);
      return area;
    }
    const { minimum: min, maximum: max, step } = option;
    const number = make("input", { type: "number", className: "em-entry", min, max, step: step ?? "any" });
    number.value = valueOf(owner, option);
    number.oninput = () => {
      const value = number.value === "" ? option.default : Number(number.value);
      const low = min ?? -Infinity;
      const fits = value >= low && value <= (max ?? Infinity);
      number.setAttribute("aria-invalid", String(!fits));
      put(owner, option, value);
    };
    return number;
  }

  // The closed fold says which extensions take part with other options than usual.
  function mark() {
    const head = one("#em-extensions-fold .label-wrap > span");
    if (!head) return;
    const names = Object.keys(given).map((name) => known?.extensions.find((each) => each.name === name)?.label ?? name);
    if (names.length) head.dataset.on = names.join(", ");
    else delete head.dataset.on;
  }

  onAppear("#em-extensions-list", () => (known ? draw() : load()));
  onAppear("#em-extensions-fold .label-wrap", mark);
  document.addEventListener("emulsion:language", () => asked && load());

  emulsion.extensions = { show };
})();
