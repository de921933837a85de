// What the server says, in the reader's language. The server speaks English; a list gives each of its sentences, with
// places {1}, {2} … for names and numbers, in another language. A text is cut into the sentences of that list; what is
// in no sentence stays as it is, as what an extension says does.
"use strict";

(() => {
  const { onAppear, ask, locale, t } = emulsion;
  const LONGEST = 1500; // characters of a text that is cut: longer ones are no sentences
  const UNKNOWN = 4; // what a character costs that is in no sentence; one that fills a place costs 1
  const REACH = 8; // ends of sentences that one sentence may hold, in names and in what it quotes
  const WIDE = /[\u3000-\u303f\u4e00-\u9fff\uff00-\uffef“”]/; // Chinese signs and full-width punctuation
  const GAP = /(?<=[.?!:)}\u3000-\u303f\uff00-\uffef“])\s+|(?<=[\u3000-\u303f\uff00-\uffef“])(?!\s)/g; // between sentences
  const VALUE = /^(['"[({].*|-?[\d.,]+(e[+-]?\d+)?|nan|-?inf|None|True|False)$/s; // as the server writes one
  let language = "en";
  let [fixed, filled] = [new Map(), []]; // of the list: without places, and with them
  let kept = new Map(); // what was cut before

  // ---- the list ----

  const escaped = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

  // The numbers of a template's places rise, so that they are the groups of its expression.
  function read([template, translation]) {
    const pieces = template.split(/\{\d+\}/);
    const text = pieces.join("");
    const inner = /[.?!:]/.test(text); // a sentence; else a part of one, which only fills a place
    if (pieces.length === 1) return fixed.set(template, { translation, inner });
    const literal = pieces.reduce((long, piece) => (piece.length > long.length ? piece : long));
    const pattern = new RegExp(`^${pieces.map(escaped).join("(.*?)")}$`, "s");
    const loose = pieces.length < 4 && !pieces[0] && text.replace(/[^A-Za-z]/g, "").length < 5; // "{1} is {2}."
    const names = pieces.slice(1).map((next, index) => /\w$/.test(pieces[index]) || /^\w/.test(next)); // limit_{1}
    return filled.push({ pattern, translation, inner, literal, loose, names, head: pieces[0], tail: pieces.at(-1) });
  }

  async function load() {
    const wanted = locale();
    if (wanted === language) return;
    const list = wanted === "en" ? {} : await ask(`sentences/${wanted}`).catch(() => ({})); // then they stay English
    if (wanted !== locale()) return;
    [language, fixed, filled, kept] = [wanted, new Map(), [], new Map()];
    Object.entries(list).forEach(read);
    document.querySelectorAll("[data-said]").forEach(show);
  }

  // ---- cutting ----

  // Names of fields and settings fill places, too: "Hires steps", "limit_steps".
  function field(text) {
    if (!/^[A-Z][a-z]+( [a-z]+){0,3}$|^[a-z]+(_[a-z]+)+$/.test(text)) return null;
    const keys = [`field.${text.toLowerCase().replaceAll(" ", "_")}.label`, `setting.${text}.label`];
    const key = keys.find((one) => t(one) !== one);
    return key ? { text: t(key), cost: 0 } : null;
  }

  function put(translation, values) {
    const text = translation.replace(/( ?)\{(\d+)\}( ?)/g, (_, before, number, after) => {
      const value = values[number - 1];
      return (WIDE.test(value[0]) ? "" : before) + value + (WIDE.test(value.at(-1)) ? "" : after);
    });
    return text.replace(/。(?=[。）])/g, "");
  }

  // What fills a place: a part of a sentence, whole sentences, or a name. A name seldom has sentences itself, but within
  // quotes, of which it has both or none.
  function fill(text, templates, name) {
    const plain = text.replace(/'[^']*'|"[^"]*"/g, "");
    const odd = /(^|\W)['"]|['"](\W|$)/.test(plain) || /[.?!] [A-Z]/.test(plain);
    const found = name ? null : cut(text, templates, odd ? UNKNOWN : 1);
    if (found && found.text !== text) return { ...found, sure: true };
    return { text, cost: text.length * (odd ? UNKNOWN : 1), sure: VALUE.test(text) };
  }

  // The cheapest way to read a text as one sentence, or as a part of one where it fills a place as a whole.
  function sentence(text, templates, whole) {
    const same = fixed.get(text);
    if (same && (whole || same.inner)) return { text: same.translation, cost: 0 };
    let best = whole ? field(text) : null;
    for (const { pattern, translation, inner, loose, names, head, tail } of templates) {
      if (!(whole || inner) || !text.startsWith(head) || !text.endsWith(tail)) continue;
      const values = pattern.exec(text)?.slice(1).map((value, index) => fill(value, templates, names[index]));
      if (!values || (loose && !values.some(({ sure }) => sure))) continue; // it would fit what others say, too
      const cost = values.reduce((sum, value) => sum + value.cost, 1);
      if (!best || cost < best.cost) best = { text: put(translation, values.map((value) => value.text)), cost };
    }
    return best;
  }

  // The cheapest way to cut a text: from each place where a sentence may begin, a sentence to some later such place, or
  // a piece that is in none. `unknown`: what a character of that costs; `filling`: it fills a place of a sentence.
  function cut(text, templates, unknown, filling = true) {
    const key = `${unknown} ${filling} ${text}`;
    if (kept.has(key)) return kept.get(key);
    const fitting = templates.filter(({ literal }) => text.includes(literal));
    const gaps = [...text.matchAll(GAP)].map((found) => [found.index, found.index + found[0].length, found[0]]);
    const ends = [...gaps, [text.length, text.length, ""]];
    const from = new Map([[text.length, { text: "", cost: 0 }]]); // the best that begins at a place
    for (const start of [...gaps.map((gap) => gap[1]), 0].sort((one, other) => other - one)) {
      for (const [end, next, gap] of ends.filter((one) => one[0] > start).slice(0, REACH)) {
        const piece = text.slice(start, end);
        const foreign = from.has(start) ? null : { text: piece, cost: piece.length * unknown };
        const first = sentence(piece, fitting, filling && piece === text) ?? foreign;
        const rest = from.get(next);
        const cost = first ? first.cost + rest.cost : Infinity;
        if (cost < (from.get(start)?.cost ?? Infinity)) from.set(start, { text: joined(first.text, gap, rest.text), cost });
      }
    }
    kept.set(key, from.get(0));
    return from.get(0);
  }

  // No space between Chinese sentences.
  function joined(first, gap, rest) {
    const close = rest && WIDE.test(first.at(-1)) && WIDE.test(rest[0]) && !gap.includes("\n");
    return first + (close ? "" : gap) + rest;
  }

  // ---- showing ----

  function said(text) {
    if (typeof text !== "string" || !filled.length || text.length > LONGEST) return text ?? "";
    if (kept.size > 5000) kept.clear();
    return cut(text, filled, UNKNOWN, false).text; // a word alone is a name
  }

  const show = (element) => (element.textContent = said(element.dataset.said));

  // Puts what the server said into an element, where it follows the reader's language.
  function say(element, text) {
    element.dataset.said = text ?? "";
    show(element);
    return element;
  }

  Object.assign(emulsion, { said, say });
  onAppear("[data-said]", show);
  document.addEventListener("emulsion:language", load);
  load();
})();
