// The tab of the settings: sections, search, and a word at the field about what cannot be taken.
"use strict";

(() => {
  const { one, onAppear, t, ask, toast, complain } = emulsion;
  const { make, button, soon } = emulsion.elements;
  const SAVED_FOR = 2500; // milliseconds that "Saved" is shown
  let said = null; // what the server said: {settings, menus, file, problem}
  let rows = []; // [{setting, element, show, text}]
  let asked = false;
  let turn = 0; // the newest question wins

  const isDefault = (setting) => emulsion.options.same(setting.value, setting.default);

  async function load() {
    if (emulsion.tabs.current() !== "settings") return;
    if (asked) return refresh();
    await fetchAll();
  }

  async function fetchAll() {
    const mine = ++turn;
    asked = true;
    try {
      const answer = await ask(`options?language=${encodeURIComponent(emulsion.locale())}`);
      if (mine !== turn) return;
      said = answer;
      draw();
    } catch (error) {
      if (mine !== turn) return;
      asked = false;
      one("#em-options-list").replaceChildren(
        make("div", { className: "em-options-empty" }, make("p", { i18n: "options.not_loaded" }), button("button.again", load)),
      );
      complain(error);
    }
  }

  // What others have changed since: another browser, or a program over HTTP.
  async function refresh() {
    const now = await ask("options").catch(() => null); // the page works with what it has
    const values = now && Object.fromEntries(now.settings.map(({ name, value }) => [name, value]));
    if (values) document.dispatchEvent(new CustomEvent("emulsion:options", { detail: { values } }));
  }

  // ---- drawing ----

  function draw() {
    const list = one("#em-options-list");
    if (!list || !said) return;
    one("#em-options-search").placeholder = t("options.search");
    const sections = [...new Set(said.settings.map((setting) => setting.section))];
    rows = [];
    const problem = said.problem && make("p", { className: "em-hint", said: said.problem });
    const nothing = make("p", { className: "em-options-empty", id: "em-options-nothing", i18n: "options.nothing", hidden: true });
    list.replaceChildren(...[problem, ...sections.map(section), nothing].filter(Boolean));
    one("#em-options-nav").replaceChildren(
      ...sections.map((name) =>
        make("a", { href: `#em-section-${name}`, i18n: `section.${name}`, data: { section: name }, onclick: (event) => jump(event, name) }),
      ),
    );
    search();
  }

  function jump(event, name) {
    event.preventDefault();
    const target = one(`#em-section-${name}`);
    target.scrollIntoView({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "instant" : "smooth" });
    target.focus({ preventScroll: true });
  }

  function section(name) {
    const own = said.settings.filter((setting) => setting.section === name);
    const back = button("options.reset_section", () => resetSection(name), { className: "em-link em-options-back" });
    const heading = make("h2", { id: `em-section-${name}`, tabIndex: -1, i18n: `section.${name}` });
    const element = make("div", { className: "em-card em-options-section", data: { section: name } });
    const made = own.map(row);
    element.append(make("div", { className: "em-options-head" }, heading, back), ...made.map((one) => one.element));
    rows.push(...made);
    drawBack(element);
    return element;
  }

  function drawBack(element) {
    const name = element.dataset.section;
    const changed = said.settings.some((setting) => setting.section === name && !setting.locked && !isDefault(setting));
    element.querySelector(".em-options-back").hidden = !changed;
  }

  function row(setting) {
    const id = `em-option-${setting.name}`;
    const words = make("div", { className: "em-option-words" });
    const name = make("label", { htmlFor: id, textContent: emulsion.options.label(setting.name) });
    name.title = [setting.name, setting.alias].filter((one, place, all) => one && all.indexOf(one) === place).join(" · ");
    words.append(name, make("p", { id: `${id}-info`, textContent: emulsion.options.info(setting.name) }));
    if (setting.restart) words.append(make("p", { className: "em-option-note", i18n: "options.restart" }));
    const side = make("div", { className: "em-option-control" });
    const element = make("div", { className: "em-option", data: { name: setting.name, kind: setting.kind } }, words, side);
    const choices = emulsion.options.choices(setting).flat();
    const text = [name.textContent, words.textContent, setting.name, setting.alias, t(`section.${setting.section}`), ...choices].join(" ");
    const found = { setting, element, text: text.toLowerCase(), show: () => {} };
    if (setting.locked) {
      words.append(make("p", { className: "em-option-note", textContent: t("options.locked", { file: said.file }) }));
      side.append(make("output", { id, className: "em-option-fixed", textContent: fixed(setting.value) }));
      return found;
    }
    if (setting.name === "quick_settings") setting.others = said.settings.filter((other) => !other.locked);
    fillSide(found, side, id);
    return found;
  }

  // A value that is only shown.
  function fixed(value) {
    const lines = value && typeof value === "object" ? Object.entries(value).map((pair) => pair.join(": ")) : [String(value)];
    return lines.join("\n") || t("options.nothing_set");
  }

  function fillSide(found, side, id) {
    const { setting } = found;
    const state = make("span", { className: "em-option-state", role: "status" });
    const wrong = make("p", { className: "em-option-error", id: `${id}-error`, role: "alert", hidden: true });
    const back = button("options.reset", () => change(() => emulsion.options.reset({ names: [setting.name] })), { className: "em-link" });
    const made = emulsion.options.control(setting, (value, why) => (why ? refuse(why) : change(() => emulsion.options.save({ [setting.name]: value }))), said.menus);
    made.input.id = id;
    made.input.setAttribute("aria-describedby", `${id}-info ${id}-error`);

    function refuse(words) {
      emulsion.say(wrong, words);
      wrong.hidden = false;
      made.input.setAttribute("aria-invalid", "true");
      state.textContent = "";
    }

    async function change(act) {
      try {
        await act();
        state.textContent = t("options.saved");
        clearTimeout(found.timer);
        found.timer = setTimeout(() => (state.textContent = ""), SAVED_FOR);
      } catch (error) {
        if (!error.parts) return complain(error);
        refuse([error.parts.found, error.parts.wanted, error.parts.remedy].filter(Boolean).join(" "));
      }
    }

    found.show = () => {
      wrong.hidden = true;
      made.input.removeAttribute("aria-invalid");
      made.show(setting.value);
      back.hidden = isDefault(setting);
    };
    side.append(made.element, make("div", { className: "em-option-row" }, state, back), wrong);
    found.show();
  }

  // ---- changes ----

  async function resetSection(name) {
    const before = Object.fromEntries(
      said.settings.filter((one) => one.section === name && !one.locked).map((one) => [one.name, one.value]),
    );
    try {
      await emulsion.options.reset({ section: name });
      for (const { setting, show } of rows) if (setting.section === name) show(); // what was refused goes, too
      toast([t("options.reset_done", { section: t(`section.${name}`) })], {
        action: t("button.undo"),
        act: () => emulsion.options.save(before).catch(complain),
      });
    } catch (error) {
      complain(error);
    }
  }

  function changed({ detail: { values } }) {
    for (const { setting, show } of rows) {
      if (!(setting.name in values) || emulsion.options.same(values[setting.name], setting.value)) continue;
      setting.value = values[setting.name];
      show();
    }
    if (said) document.querySelectorAll(".em-options-section").forEach(drawBack);
  }

  // ---- search ----

  function search() {
    const words = one("#em-options-search").value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { element, text } of rows) element.hidden = !words.every((word) => text.includes(word));
    let any = false;
    for (const element of document.querySelectorAll(".em-options-section")) {
      element.hidden = !element.querySelector(".em-option:not([hidden])");
      any ||= !element.hidden;
      const link = one(`#em-options-nav [data-section="${element.dataset.section}"]`);
      if (link) link.hidden = element.hidden;
    }
    const nothing = one("#em-options-nothing");
    if (nothing) nothing.hidden = any;
  }

  onAppear("#em-options-search", (input) => (input.oninput = soon(search, 100)));
  onAppear("#em-options", load);
  document.addEventListener("emulsion:tab", load);
  document.addEventListener("emulsion:options", changed);
  document.addEventListener("emulsion:language", () => {
    if (said) draw();
    if (asked) fetchAll(); // names in menus are words, too
  });
})();
