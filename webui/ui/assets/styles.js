// Styles: named pieces of prompt. Its dialog creates, changes, deletes and imports them.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, toast, complain } = emulsion;
  const { make, button, labelled, menu, fill, dialog, sure } = emulsion.elements;
  let styles = [];

  const json = (method, body) => ({ method, headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

  // Puts the chosen styles' words into the prompts, and chooses none any more.
  async function insert() {
    const asked = await emulsion.fields.values();
    const { prompt, negative_prompt, styles: chosen } = asked;
    if (!chosen?.length) return toast([t("style.none_chosen")]);
    try {
      const words = await send("styles/apply", { prompt: prompt ?? "", negative_prompt: negative_prompt ?? "", styles: chosen });
      const now = await emulsion.fields.values();
      const same = ["prompt", "negative_prompt", "styles"].every((name) => String(now[name]) === String(asked[name]));
      if (!same) return insert(); // what was typed meanwhile counts
      await emulsion.fields.replace({ values: { ...words, styles: [] } }, t("style.inserted"));
    } catch (error) {
      complain(error);
    }
  }

  // ---- the dialog ----

  async function edit() {
    const now = await emulsion.fields.values();
    const parts = build();
    const { box, name, prompt, negative, list } = parts;
    let was = ""; // the style that is being changed, "" for a new one
    let line = Promise.resolve(); // one wish after the other

    function show(style) {
      was = style?.name ?? "";
      name.value = was;
      prompt.value = style?.prompt ?? "";
      negative.value = style?.negative_prompt ?? "";
      list.value = was;
      parts.remove.hidden = !style;
      parts.source.textContent = style && style.source !== "styles.csv" ? t("style.source", { file: style.source }) : "";
      say("");
    }

    const say = (words, bad = false) => {
      emulsion.say(parts.said, words);
      parts.said.classList.toggle("em-bad", bad);
    };

    const typed = () => [name.value.trim(), prompt.value, negative.value].join("\n\n");

    // The server's list with the style `wanted`; what was typed since it was asked is kept.
    function take(answer, wanted, asked) {
      styles = answer.styles;
      fill(list, [["", t("style.new")], ...styles.map((style) => [style.name, style.name])]);
      const style = styles.find((one) => one.name === wanted);
      if (typed() === asked) show(style);
      else [was, list.value, parts.remove.hidden] = [style?.name ?? "", style?.name ?? "", !style];
      if (answer.problem) say(answer.problem, true);
    }

    function attempt(act, words) {
      line = line.then(async () => {
        try {
          const wanted = await act();
          say(words ?? wanted);
        } catch (error) {
          const { found, wanted, remedy } = error.parts ?? { found: t("error.connection") };
          say([found, wanted, remedy].filter(Boolean).join(" "), true);
        }
      });
      return line;
    }

    list.onchange = () => show(styles.find((style) => style.name === list.value));
    parts.current.onclick = () => {
      prompt.value = now.prompt ?? "";
      negative.value = now.negative_prompt ?? "";
      name.focus();
    };
    parts.form.onsubmit = (event) => {
      event.preventDefault();
      const wanted = name.value.trim();
      if (!wanted) return say(t("style.name_wanted"), true), name.focus();
      if (!was && styles.some((style) => style.name === wanted)) return say(t("style.name_taken"), true), name.focus();
      const [asked, body] = [typed(), { name: wanted, prompt: prompt.value, negative_prompt: negative.value }];
      attempt(async () => take(await ask("styles", json("PUT", { ...body, was })), wanted, asked), t("options.saved"));
    };
    parts.remove.onclick = () => {
      if (!sure(parts.remove)) return;
      const [asked, gone] = [typed(), was];
      const act = async () => take(await ask(`styles?name=${encodeURIComponent(gone)}`, { method: "DELETE" }), "", asked);
      attempt(() => styles.some((style) => style.name === gone) && act(), t("style.deleted", { name: gone }));
    };
    parts.file.onchange = () => {
      const file = parts.file.files[0];
      parts.file.value = "";
      const asked = typed();
      if (file) attempt(() => bringIn(file, (answer, wanted) => take(answer, wanted, asked)));
    };
    box.addEventListener("close", () => {
      one("#em-translate").click(); // the menus of the page; while the dialog is open, nothing else can be pressed
      one("#em-styles-edit")?.focus();
    });
    parts.current.click();
    await attempt(async () => {
      const { styles: found, problem } = await ask("styles");
      take({ styles: found }, was, null); // it was opened with the prompts of the page, and typed into since
      return problem ?? "";
    });
  }

  async function bringIn(file, take) {
    const answer = await ask("styles/import", { method: "POST", headers: { "Content-Type": "text/csv" }, body: file });
    take(answer, answer.added[0] ?? "");
    const kept = answer.kept.length ? ` ${t("style.kept", { names: answer.kept.slice(0, 12).join(", ") })}` : "";
    return t("style.imported", { number: answer.added.length }) + kept;
  }

  function build() {
    const entry = (more) => make("textarea", { className: "em-entry", rows: 3, ...more });
    const parts = {
      list: menu([["", t("style.new")]], "", { id: "em-style-list" }),
      name: make("input", { type: "text", className: "em-entry", id: "em-style-name", maxLength: 200, autocomplete: "off" }),
      prompt: entry({ id: "em-style-prompt" }),
      negative: entry({ id: "em-style-negative", rows: 2 }),
      current: button("style.current", null, { className: "em-link" }),
      file: make("input", { type: "file", accept: ".csv,text/csv", hidden: true }),
      said: make("p", { className: "em-styles-said", role: "status" }),
      source: make("span", { className: "em-styles-source" }),
      remove: button("button.delete", null, { hidden: true }),
    };
    const bring = button("style.import", () => parts.file.click());
    const close = button("button.close_dialog", () => parts.box.close());
    const store = make("button", { type: "submit", className: "em-button em-strong", i18n: "button.save" });
    parts.form = make(
      "form",
      { className: "em-styles-form" },
      make("h2", { i18n: "style.title" }),
      make("p", { i18n: "style.explain" }),
      labelled("style.which", parts.list),
      labelled("style.name", parts.name),
      labelled("style.prompt", parts.prompt),
      labelled("style.negative_prompt", parts.negative),
      make("div", { className: "em-styles-under" }, parts.current, parts.source),
      parts.said,
      make("div", { className: "em-dialog-row" }, bring, parts.file, parts.remove, make("span", { className: "em-space" }), close, store),
    );
    parts.box = dialog("em-styles-dialog", parts.form);
    return parts;
  }

  onAppear("#em-styles-edit", (element) => (element.onclick = edit));
  onAppear("#em-styles-insert", (element) => (element.onclick = insert));
})();
