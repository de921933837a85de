// What every other script uses: texts in the reader's language, requests to the page's own routes, and a way to act on
// elements when Gradio brings them into the page (it does so late, and again when a closed part is opened).
"use strict";

window.emulsion = {};

(() => {
  const LANGUAGE_KEY = "emulsion.language";
  const appearances = []; // [selector, function] of onAppear
  let scheduled = false;
  let languageModule = null;

  // ---- elements ----

  const one = (selector) => document.querySelector(selector);
  const input = (id) => one(`#${id} textarea, #${id} input`);

  // Calls `act(element)` once for each element that matches, now and later.
  function onAppear(selector, act) {
    appearances.push([selector, act, new WeakSet()]);
    schedule();
  }

  function schedule() {
    if (scheduled) return;
    scheduled = true;
    setTimeout(() => {
      scheduled = false;
      for (const [selector, act, seen] of appearances) {
        for (const element of document.querySelectorAll(selector)) {
          if (seen.has(element)) continue;
          seen.add(element);
          act(element);
        }
      }
    }, 0);
  }

  // Sets a field as typing would, so that Gradio takes notice.
  function setInput(element, value) {
    const kind = element instanceof HTMLTextAreaElement ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(element, value);
    element.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // ---- browser storage, which private windows may refuse ----

  function stored(area, key) {
    try {
      return window[area].getItem(key);
    } catch {
      return null;
    }
  }

  function store(area, key, value) {
    try {
      window[area].setItem(key, value);
    } catch {
      // the page works without being remembered
    }
  }

  // ---- language ----

  const texts = () => window.gradio_config?.i18n_translations ?? {};

  function closest(wanted) {
    const known = Object.keys(texts());
    const lower = (wanted ?? "").toLowerCase();
    return (
      known.find((name) => name.toLowerCase() === lower) ??
      known.find((name) => lower && name.split("-")[0].toLowerCase() === lower.split("-")[0])
    );
  }

  // What was chosen here, the address's ?__lang=, what was chosen before, the setting, the browser's languages, English:
  // the first of them that is known.
  function locale() {
    const asked = new URLSearchParams(location.search).get("__lang");
    const kept = stored("localStorage", LANGUAGE_KEY);
    const wanted = [emulsion.chosenLanguage, asked, kept, emulsionDefaults.language, ...navigator.languages];
    for (const name of wanted) {
      const found = closest(name);
      if (found) return found;
    }
    return "en";
  }

  function t(key, values = {}) {
    const text = texts()[locale()]?.[key] ?? texts().en?.[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (place, name) => values[name] ?? place);
  }

  function translate(element) {
    const { i18n, i18nTitle, i18nLabel, i18nPlaceholder } = element.dataset;
    if (i18n) element.textContent = t(i18n);
    if (i18nTitle) element.title = t(i18nTitle);
    if (i18nLabel) element.setAttribute("aria-label", t(i18nLabel));
    if (i18nPlaceholder) element.placeholder = t(i18nPlaceholder);
  }

  const TRANSLATED = "[data-i18n], [data-i18n-title], [data-i18n-label], [data-i18n-placeholder]";

  // Gradio offers no way to set the language from outside; its settings menu calls this function of one of its modules.
  async function tellGradio(name) {
    if (!languageModule) {
      const address = performance
        .getEntriesByType("resource")
        .map((entry) => entry.name)
        .find((entry) => /\/assets\/core-[^/]+\.js$/.test(entry));
      if (!address) return;
      languageModule = await import(address);
    }
    languageModule.changeLocale?.(name);
  }

  function showLanguage() {
    document.documentElement.lang = locale();
    document.querySelectorAll(TRANSLATED).forEach(translate);
    if (one("#em-language")) one("#em-language").value = locale();
    tellGradio(locale());
    if (one("#em-generate")) one("#em-generate").title = t("shortcuts.hint");
    document.querySelectorAll(".em-help").forEach(nameHelped);
    document.dispatchEvent(new CustomEvent("emulsion:language"));
  }

  function chooseLanguage(name) {
    emulsion.chosenLanguage = name;
    store("localStorage", LANGUAGE_KEY, name);
    showLanguage();
    one("#em-translate")?.click();
  }

  // Acts now, and when Gradio has put the element's words into another language.
  function withWords(element, act) {
    new MutationObserver(act).observe(element, { characterData: true, childList: true, subtree: true });
    act();
  }

  const nameIcon = (button) => withWords(button, () => (button.title = button.textContent.trim()));

  const FIELDS = "input:not([aria-hidden]), textarea, .em-select";
  const NAMED = "input:not([type=checkbox], [type=radio]), textarea, .em-select";

  // What Gradio names in English or not at all: the "?" is the first control within a label, so the label would be its.
  function nameHelped(button) {
    const name = [...button.parentElement.childNodes].filter((node) => node !== button).map((node) => node.textContent);
    const words = name.join(" ").trim();
    button.setAttribute("aria-label", `${t("button.help")}: ${words}`);
    const named = button.closest(".em-explained, .block").querySelectorAll(NAMED);
    named.forEach((field) => field.setAttribute("aria-label", words));
  }

  // A click on a label goes to its field.
  function toField(event) {
    if (event.target.closest(".em-help, input, textarea")) return;
    const field = event.currentTarget.closest("label, .em-explained")?.querySelector(FIELDS);
    if (!field) return;
    event.preventDefault();
    field.focus();
  }

  // ---- the page's own routes ----

  class Refused extends Error {
    constructor(status, parts) {
      super(parts?.found ?? `HTTP ${status}`);
      this.status = status;
      this.parts = parts;
    }
  }

  const address = (path) => new URL(`ui/${path}`, document.baseURI).href;

  async function ask(path, options = {}) {
    const answer = await fetch(address(path), options);
    const body = await answer.json().catch(() => ({}));
    if (answer.ok) return body;
    if (answer.status === 401) document.dispatchEvent(new CustomEvent("emulsion:over"));
    throw new Refused(answer.status, typeof body.error === "string" ? { found: body.errors } : body.error);
  }

  const send = (path, body) =>
    ask(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body ?? {}) });

  // ---- a message that goes away ----

  // Above an open dialog it stands inside of it: all else is out of reach then.
  function toast(lines, { action, act, bad = false } = {}) {
    one(".em-toast")?.remove();
    const box = document.createElement("div");
    box.className = "em-toast";
    box.classList.toggle("em-bad", bad);
    box.setAttribute("role", bad ? "alert" : "status");
    for (const line of lines.filter(Boolean)) {
      const paragraph = document.createElement("p");
      emulsion.say(paragraph, line);
      box.append(paragraph);
    }
    if (action) {
      const button = document.createElement("button");
      button.className = "em-button";
      button.textContent = action;
      button.onclick = () => (box.remove(), act());
      box.append(button);
    }
    const close = document.createElement("button");
    close.className = "em-close";
    close.textContent = "×";
    close.setAttribute("aria-label", t("button.close"));
    close.onclick = () => box.remove();
    box.append(close);
    (one("dialog[open]") ?? document.body).append(box);
    setTimeout(() => box.remove(), bad || action || lines.length > 1 ? 15000 : 6000);
  }

  // The message for an error: what the server refused, no connection, or an Error in the reader's language.
  function complain(error) {
    const { found, wanted, remedy } = error.parts ?? {
      found: error instanceof TypeError ? t("error.connection") : error.message, // fetch throws TypeErrors
    };
    toast([found, wanted, remedy], { bad: true });
  }

  // ---- explanations: a small "?" beside each label shows Gradio's info text, or that of `data-info` ----

  function explain(element) {
    const info = document.createElement("div");
    info.className = "info-text";
    info.dataset.i18n = element.dataset.info;
    element.append(info);
  }

  function addHelp(info) {
    const name = info.parentElement.querySelector("[data-testid='block-info'], .checkbox-container, .em-name");
    if (!name || name.querySelector(".em-help")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.className = "em-help";
    button.textContent = "?";
    button.setAttribute("aria-expanded", "false");
    button.onclick = (event) => {
      event.preventDefault(); // a click on a label would go to its field
      event.stopPropagation();
      const open = !info.classList.contains("em-open");
      closeHelp();
      info.classList.toggle("em-open", open);
      button.setAttribute("aria-expanded", String(open));
    };
    name.append(button);
    withWords(name, () => nameHelped(button));
    if (name.matches("[data-testid='block-info'], .em-name:not(:has(label))")) name.addEventListener("click", toField);
  }

  function closeHelp() {
    const open = document.querySelectorAll(".info-text.em-open");
    open.forEach((info) => info.classList.remove("em-open"));
    document.querySelectorAll(".em-help[aria-expanded=true]").forEach((b) => b.setAttribute("aria-expanded", "false"));
    return open.length > 0;
  }

  // ---- theme: the setting, where the address does not say otherwise; else Gradio follows the system ----

  // `changed`: the page has a theme already, which "auto" does not leave as it is.
  function applyTheme(changed = false) {
    const { theme } = emulsionDefaults;
    if ((theme === "auto" && !changed) || new URLSearchParams(location.search).has("__theme")) return;
    const dark = theme === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : theme === "dark";
    document.body.classList.toggle("dark", dark);
  }

  // ---- start ----

  function fillLanguages(select) {
    for (const [name, own] of Object.entries(texts())) select.add(new Option(own["language.name"], name));
    select.value = locale();
    select.onchange = () => chooseLanguage(select.value);
  }

  Object.assign(emulsion, { one, input, onAppear, setInput, stored, store, locale, t, ask, send, address, toast });
  Object.assign(emulsion, { complain, closeHelp });
  Object.assign(emulsion, { chooseLanguage, showLanguage, applyTheme });

  onAppear(TRANSLATED, translate);
  onAppear(".em-icon", nameIcon);
  onAppear("ul.option-list", (list) => (list.tabIndex = -1)); // else a list that scrolls is one more stop of the Tab key
  onAppear("#em-generate", (button) => (button.title = t("shortcuts.hint")));
  onAppear(".em-explained", explain);
  onAppear(".info-text", addHelp);
  onAppear("#em-language", fillLanguages);
  document.addEventListener("click", ({ target, isTrusted }) => {
    if (isTrusted && !target.closest(".em-help, .info-text")) closeHelp(); // scripts press hidden buttons at any time
  });
  const asked = closest(new URLSearchParams(location.search).get("__lang"));
  if (asked) store("localStorage", LANGUAGE_KEY, asked);
  new MutationObserver(schedule).observe(document.documentElement, { childList: true, subtree: true });
  applyTheme();
  showLanguage();
})();
