// Building blocks for panels that write their elements themselves: data only ever becomes text.
"use strict";

(() => {
  const { t, one } = emulsion;
  const UNITS = ["B", "KB", "MB", "GB", "TB"];

  // An element: properties, attributes and data, then its children; those that are null or false are left out. The
  // texts of `i18n`, `i18nTitle` and `i18nLabel` are keys, that of `said` is the server's; they follow the reader's
  // language.
  function make(tag, given = {}, ...children) {
    const element = document.createElement(tag);
    const { i18n, i18nTitle, i18nLabel, said, data = {}, ...rest } = given;
    for (const [name, value] of Object.entries(rest)) {
      if (value === undefined || value === null) continue;
      if (name in element && name !== "list") element[name] = value;
      else element.setAttribute(name, value);
    }
    for (const [name, key] of Object.entries({ i18n, i18nTitle, i18nLabel })) if (key) data[name] = key;
    Object.assign(element.dataset, data);
    if (i18n) element.textContent = t(i18n);
    if (said) emulsion.say(element, said);
    if (i18nTitle) element.title = t(i18nTitle);
    if (i18nLabel) element.setAttribute("aria-label", t(i18nLabel));
    element.append(...children.filter((child) => child !== null && child !== undefined && child !== false));
    return element;
  }

  const button = (key, onclick, more = {}) =>
    make("button", { type: "button", className: "em-button", i18n: key, onclick, ...more });

  // Label above, control below.
  const labelled = (key, control, more = {}) =>
    make("label", { className: "em-field", ...more }, make("span", { i18n: key }), control);

  // A menu of [value, text] pairs; a text may be {i18n: key}.
  function menu(choices, value, more = {}) {
    const select = make("select", { className: "em-select", ...more });
    fill(select, choices, value);
    return select;
  }

  function fill(select, choices, value) {
    const options = choices.map(([name, text]) =>
      make("option", { value: name, ...(typeof text === "object" ? text : { textContent: text }) }),
    );
    select.replaceChildren(...options);
    if (value !== undefined && choices.some(([name]) => name === value)) select.value = value;
  }

  // An icon from style sheets (.em-sign-NAME); decoration only.
  const sign = (name) => make("span", { className: `em-sign em-sign-${name}`, ariaHidden: "true" });

  // 1536 -> "1.5 KB", in steps of 1024.
  function bytes(count) {
    let unit = 0;
    let value = count;
    for (; value >= 1000 && unit < UNITS.length - 1; unit++) value /= 1024;
    return `${value.toLocaleString(emulsion.locale(), { maximumFractionDigits: value < 10 && unit > 0 ? 1 : 0 })} ${UNITS[unit]}`;
  }

  const day = (seconds) => new Date(seconds * 1000).toLocaleDateString(emulsion.locale());

  // Calls `act` when `wait` milliseconds have passed without another call.
  function soon(act, wait) {
    let timer = 0;
    return (...values) => {
      clearTimeout(timer);
      timer = setTimeout(() => act(...values), wait);
    };
  }

  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      emulsion.toast([t("button.copied")]);
    } catch {
      emulsion.toast([t("error.copy")]);
    }
  }

  // A modal dialog of `content`; it leaves the page when it is closed, also by a click beside it.
  function dialog(className, ...content) {
    const element = make("dialog", { className: `em-dialog ${className}` }, ...content);
    let pressed = null; // text that is selected towards the outside ends there, too
    element.onpointerdown = (event) => (pressed = event.target);
    element.onclick = (event) => {
      if (event.target === element && pressed === element) element.close();
    }; // without a value: false would end every click inside, also those that send forms
    element.onclose = () => element.remove();
    document.body.append(element);
    element.showModal();
    return element;
  }

  // The first press of a button asks, the second one does it: whether it is the second.
  function sure(element, words = t("button.really")) {
    if (element.dataset.asked) return true;
    const before = element.textContent;
    element.dataset.asked = "yes";
    element.textContent = words;
    setTimeout(() => {
      delete element.dataset.asked;
      element.textContent = before;
    }, 4000);
    return false;
  }

  const isOpen = (selector) => Boolean(one(selector)?.offsetParent);

  emulsion.elements = { make, button, labelled, menu, fill, sign, bytes, day, soon, copy, dialog, sure, isOpen };
})();
