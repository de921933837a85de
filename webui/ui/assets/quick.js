// The bar at the top: which settings stand there is the reader's choice, a setting itself.
"use strict";

(() => {
  const { one, t, complain } = emulsion;
  const { make, button } = emulsion.elements;
  const SIMPLE = ["bool", "int", "float", "str"];
  let shown = []; // [{setting, show}]
  let last = null; // what the server said of the bar

  function draw(page) {
    last = page;
    document.body.dataset.quickHidden = page.hidden.join(" ");
    const box = one("#em-quick-more");
    if (!box) return;
    shown = page.quick.map(entry);
    box.replaceChildren(...shown.map((one) => one.element));
    box.hidden = !shown.length;
  }

  function entry(setting) {
    const id = `em-quick-${setting.name}`;
    const name = make("label", { htmlFor: id, textContent: emulsion.options.label(setting.name) });
    name.title = emulsion.options.info(setting.name);
    const made = emulsion.options.control(setting, async (value, wrong) => {
      try {
        if (wrong) throw new Error(wrong);
        await emulsion.options.save({ [setting.name]: value });
      } catch (error) {
        complain(error);
        made.show(setting.value);
      }
    });
    made.input.id = id;
    made.show(setting.value);
    const element = make("div", { className: `em-quick-one em-quick-${setting.kind}` }, name, made.element);
    return { setting, element, show: made.show };
  }

  // ---- the setting that says what stands here ----

  function chooser(setting, change) {
    let names = [];
    const chips = make("div", { className: "em-option-chips" });
    const select = make("select", { className: "em-select" });
    select.onchange = () => select.value && change([...names, select.value]);
    const title = (name) => emulsion.options.label(name);
    const drop = (name) =>
      make("button", {
        type: "button",
        className: "em-chip em-option-chip",
        textContent: `${title(name)} ×`,
        ariaLabel: t("quick.remove", { name: title(name) }),
        onclick: () => change(names.filter((one) => one !== name)),
      });
    const show = (value) => {
      names = value;
      chips.replaceChildren(...names.map(drop));
      const others = (setting.others ?? []).filter((one) => !names.includes(one.name) && SIMPLE.includes(one.kind));
      emulsion.elements.fill(select, [["", t("quick.add")], ...others.map(({ name }) => [name, title(name)])], "");
    };
    return { element: make("div", { className: "em-option-chooser" }, chips, select), input: select, show };
  }

  document.addEventListener("emulsion:options", ({ detail: { values } }) => {
    const wanted = [...values.quick_settings].filter((name) => !["checkpoint", "vae", "clip_skip"].includes(name));
    const here = shown.map(({ setting }) => setting.name);
    const hidden = ["checkpoint", "vae", "clip_skip"].filter((name) => !values.quick_settings.includes(name));
    if (!emulsion.options.same(wanted, here) || hidden.join(" ") !== last?.hidden.join(" ")) return emulsion.options.opened();
    for (const { setting, show } of shown) {
      setting.value = values[setting.name];
      show(setting.value);
    }
  });
  document.addEventListener("emulsion:language", () => last && draw(last));
  emulsion.onAppear("#em-quick-more", () => last && draw(last));

  emulsion.quick = { draw, chooser };
})();
