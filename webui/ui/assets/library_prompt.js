// What cards put into the prompts: found, added and taken out again.
"use strict";

(() => {
  const { input, setInput } = emulsion;
  const FIELDS = { false: "em-prompt", true: "em-negative-prompt" }; // by whether it is the negative one
  const DIRECTIVES = { loras: "lora|lyco", hypernetworks: "hypernet" };
  const quoted = (text) => text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&");

  // [start, end] of a file's directive with the words that came with it, or of an embedding's name with its weight.
  function find(text, card) {
    const tags = DIRECTIVES[card.kind];
    if (!tags) return findWords(text, card.name);
    const match = new RegExp(`<(?:${tags}):${quoted(card.name)}(?=[:>])[^<>]*>`, "iu").exec(text);
    if (!match) return null;
    const start = match.index;
    const words = card.insert.slice(card.insert.indexOf(">") + 1).trim();
    const rest = text.slice(start + match[0].length);
    const gap = /^\s*/.exec(rest)[0].length;
    const follows = words && rest.slice(gap).startsWith(words);
    return [start, start + match[0].length + (follows ? gap + words.length : 0)];
  }

  // Words that stand for themselves, with the brackets and the weight right around them.
  function findWords(text, words) {
    const part = "[\\p{L}\\p{N}_-]";
    const match = new RegExp(`(?<!${part})${quoted(words)}(?!${part})`, "u").exec(text);
    if (!match) return null;
    const [start, end] = [match.index, match.index + match[0].length];
    const weight = text[start - 1] === "(" && /^\s*:\s*-?\d*\.?\d+\s*\)/.exec(text.slice(end));
    return weight ? [start - 1, end + weight[0].length] : [start, end];
  }

  function without(text, [start, end]) {
    const left = text.slice(0, start).replace(/[ \t]*,?[ \t]*$/, "");
    const right = text.slice(end).replace(/^[ \t]*,?[ \t]*/, "");
    if (!left.trim() || !right.trim()) return (left.trim() ? left : right).trim();
    if (left.endsWith("\n") || right.startsWith("\n")) return left + right;
    const comma =
      text.slice(left.length, start).includes(",") || text.slice(end, text.length - right.length).includes(",");
    return `${left}${comma ? "," : ""} ${right}`;
  }

  // Directives alone follow after a space; words are a part of their own, behind a comma.
  function withMore(text, words) {
    const before = text.replace(/[\s,]+$/, "");
    return before ? `${before}${/^<[^<>]*>$/.test(words) ? " " : ", "}${words}` : words;
  }

  const textOf = (negative) => input(FIELDS[negative])?.value ?? "";
  const write = (negative, text) => setInput(input(FIELDS[negative]), text);

  const has = (card, negative = false) => Boolean(find(textOf(negative), card));
  const hasWords = (words) => Boolean(findWords(textOf(false), words));

  // Adds a card's text or takes it out; whether it is there now. A LoRA's words for the negative prompt go with it.
  function toggle(card, negative = false) {
    const text = textOf(negative);
    const place = find(text, card);
    write(negative, place ? without(text, place) : withMore(text, card.insert));
    if (card.insert_negative && !negative) {
      const other = textOf(true);
      const there = findWords(other, card.insert_negative);
      if (place && there) write(true, without(other, there));
      if (!place && !there) write(true, withMore(other, card.insert_negative));
    }
    return !place;
  }

  function toggleWords(words) {
    const text = textOf(false);
    const place = findWords(text, words);
    write(false, place ? without(text, place) : withMore(text, words));
    return !place;
  }

  // Names of the LoRAs in the prompt.
  const loras = () => [...textOf(false).matchAll(/<(?:lora|lyco):([^:<>]+)/gi)].map((match) => match[1].trim());

  emulsion.words = { has, hasWords, toggle, toggleWords, loras };
})();
