// Presets: all fields of the studio under a name, to load, overwrite, rename and delete. A small menu beside the button that makes pictures.
"use strict";

(() => {
  const { one, onAppear, t, ask, toast, complain } = emulsion;
  const { make, button, dialog, sure } = emulsion.elements;
  const GAP = 8; // pixels between the button and the menu

  const json = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

  let opening = false;

  async function open() {
    if (opening) return; // a second press while the names are on their way
    opening = true;
    let kept, values;
    try {
      [kept, values] = await Promise.all([ask("presets"), emulsion.fields.values()]);
    } catch (error) {
      return complain(error);
    } finally {
      opening = false;
    }
    if (!emulsion.elements.isOpen("#em-presets")) return; // nobody is waiting for it any more
    const list = make("div", { className: "em-presets-list" });
    const name = make("input", { type: "text", className: "em-entry", id: "em-preset-name", maxLength: 100, autocomplete: "off", i18nLabel: "preset.name" });
    name.placeholder = t("preset.name");
    const form = make("form", { className: "em-presets-new" }, name, make("button", { type: "submit", className: "em-button em-strong", i18n: "button.save" }));
    const back = button("preset.defaults", () => (box.close(), emulsion.fields.replace({ defaults: true })), { className: "em-link", i18nTitle: "preset.defaults.title" });
    const said = make("p", { className: "em-presets-said", role: "status" });
    const box = dialog("em-menu", make("h2", { i18n: "preset.title" }), list, said, form, back);
    box.setAttribute("aria-label", t("preset.title"));
    place(box);

    async function attempt(act) {
      try {
        draw(await act());
        emulsion.say(said, "");
      } catch (error) {
        emulsion.say(said, error.parts ? [error.parts.found, error.parts.wanted].filter(Boolean).join(" ") : t("error.connection"));
      }
    }

    function draw(answer) {
      kept = answer;
      const empty = make("p", { className: "em-presets-empty", i18n: "preset.none" });
      list.replaceChildren(...(kept.presets.length ? kept.presets.map(entry) : [empty]));
      if (kept.problem) list.prepend(make("p", { className: "em-hint", said: kept.problem }));
      place(box);
    }

    function entry(preset) {
      const first = kept.start === preset;
      const load = make("button", { type: "button", className: "em-presets-load", textContent: preset });
      load.onclick = () => (box.close(), emulsion.fields.replace({ preset }));
      const start = make("button", { type: "button", className: "em-presets-act", textContent: "★", ariaPressed: String(first) });
      start.title = t(first ? "preset.start.off" : "preset.start.on");
      start.setAttribute("aria-label", `${start.title}: ${preset}`);
      start.onclick = () => attempt(() => ask("presets/start", json("PUT", { name: first ? null : preset })));
      const drop = make("button", { type: "button", className: "em-presets-act", textContent: "×" });
      drop.title = t("button.delete");
      drop.setAttribute("aria-label", `${drop.title}: ${preset}`);
      drop.onclick = () => sure(drop) && attempt(() => ask(`presets?name=${encodeURIComponent(preset)}`, { method: "DELETE" }));
      const rename = make("button", { type: "button", className: "em-presets-act", textContent: "✎" });
      rename.title = t("preset.rename");
      rename.setAttribute("aria-label", `${rename.title}: ${preset}`);
      rename.onclick = () => renaming(row, preset);
      const row = make("div", { className: "em-presets-one" }, load, start, rename, drop);
      return row;
    }

    // The row becomes a field with the name; Enter keeps what was written, Escape what was there.
    function renaming(row, preset) {
      const field = make("input", { type: "text", className: "em-entry", value: preset, maxLength: 100, autocomplete: "off", i18nLabel: "preset.rename" });
      const save = make("button", { type: "submit", className: "em-button", i18n: "preset.rename" });
      const again = make("form", { className: "em-presets-one" }, field, save);
      again.onsubmit = (event) => {
        event.preventDefault();
        if (!field.value.trim() || field.value.trim() === preset) return draw(kept);
        attempt(() => ask("presets/name", json("PUT", { name: preset, to: field.value })));
      };
      again.onkeydown = (event) => {
        if (event.key !== "Escape") return;
        event.preventDefault(); // the menu itself stays open
        draw(kept);
      };
      row.replaceWith(again);
      field.select();
    }

    form.onsubmit = (event) => {
      event.preventDefault();
      const wanted = name.value.trim();
      if (!wanted) return name.focus();
      if (kept.presets.includes(wanted) && !sure(form.lastChild, t("preset.replace"))) return;
      attempt(async () => {
        const script = emulsion.script.value();
        const answer = await ask("presets", json("PUT", { name: wanted, values: { ...values, script } }));
        box.close();
        toast([t("preset.saved", { name: wanted })]);
        return answer;
      });
    };
    draw(kept);
    (list.querySelector("button") ?? name).focus();
    box.addEventListener("close", () => one("#em-presets")?.focus());
  }

  // Beside its button where there is room for that; on phones the style puts it above the bar at the bottom.
  function place(box) {
    const { left, top, bottom } = one("#em-presets").getBoundingClientRect();
    const { offsetWidth: width, offsetHeight: height } = box;
    const below = bottom + GAP + height < innerHeight;
    box.style.setProperty("--em-left", `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`);
    box.style.setProperty("--em-top", `${Math.max(GAP, below ? bottom + GAP : top - GAP - height)}px`);
  }

  onAppear("#em-presets", (element) => (element.onclick = open));
})();
