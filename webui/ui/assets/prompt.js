// Prompt fields: token counters, weights of words (Ctrl+Up/Down), order of the parts between commas (Alt+Left/Right).
"use strict";

(() => {
  const { one, input, onAppear, setInput, t, send } = emulsion;
  const PROMPTS = ["em-prompt", "em-negative-prompt"];
  const DELAY = 250; // milliseconds without typing before tokens are counted
  const isDelimiter = (sign) => /\s/.test(sign) || emulsionDefaults.weight_delimiters.includes(sign);

  // ---- token counters ----

  let timer = 0;
  let asked = 0;
  let counted = "";

  function countSoon() {
    clearTimeout(timer);
    timer = setTimeout(count, DELAY);
  }

  async function count() {
    const texts = PROMPTS.map((id) => input(id)?.value ?? "");
    if (JSON.stringify(texts) === counted) return;
    const mine = ++asked;
    try {
      const { counts } = await send("tokens", { texts });
      if (mine !== asked) return; // a later question is on its way
      counted = JSON.stringify(texts);
      counts.forEach(([used, capacity], place) => showCount(PROMPTS[place], used, capacity));
    } catch {
      // the counters keep their numbers; the next key asks again
    }
  }

  function showCount(id, used, capacity) {
    const counter = one(`#${id} .em-counter`);
    if (!counter) return;
    counter.textContent = `${used}/${capacity}`;
    counter.title = t("counter.title", { used, capacity });
  }

  function translateCounts() {
    for (const id of PROMPTS) {
      const [used, capacity] = one(`#${id} .em-counter`)?.textContent.split("/") ?? [];
      if (capacity) showCount(id, used, capacity);
    }
  }

  function addCounter(field) {
    const counter = document.createElement("span");
    counter.className = "em-counter";
    counter.textContent = "0/75";
    counter.title = t("counter.title", { used: 0, capacity: 75 });
    field.closest(".block").append(counter);
    field.addEventListener("input", countSoon);
    counted = "";
    countSoon();
  }

  // Fields that are filled by the server do not say so; asking whether the text is another one costs nothing.
  setInterval(() => document.hidden || count(), 1000);

  // ---- editing ----

  // Replaces a part of the field so that the browser's undo still works, and selects what is named.
  function replace(field, start, end, text, selectStart, selectEnd) {
    field.focus();
    field.setSelectionRange(start, end);
    if (!document.execCommand("insertText", false, text)) {
      setInput(field, field.value.slice(0, start) + text + field.value.slice(end));
    }
    field.setSelectionRange(selectStart, selectEnd);
  }

  const shown = (weight) => String(Number(weight.toFixed(4)));

  // Text, selection and direction -> {start, end, text, from, to}: what is replaced and what is selected then; or null.
  function weighted(text, start, end, direction) {
    const network = networkAt(text, start);
    if (network) return withStep(network, direction);
    if (start === end) [start, end] = groupAt(text, start) ?? wordAt(text, start);
    while (start < end && /\s/.test(text[start])) start++;
    while (end > start && /\s/.test(text[end - 1])) end--;
    if (start === end) return null;
    const inner = text.slice(start, end);
    const after = /^:\s*(-?\d*\.?\d+)\s*\)/.exec(text.slice(end));
    const inGroup = text[start - 1] === "(" && text[start - 2] !== "\\" && after;
    const weight = Math.max(0, (inGroup ? Number(after[1]) : 1) + direction * emulsionDefaults.weight_step);
    const from = inGroup ? start - 1 : start;
    const until = inGroup ? end + after[0].length : end;
    const plain = Math.abs(weight - 1) < 1e-6;
    const words = plain ? inner : `(${inner}:${shown(weight)})`;
    const offset = plain ? 0 : 1;
    return { start: from, end: until, text: words, from: from + offset, to: from + offset + inner.length };
  }

  // <lora:name:0.8> around the cursor, with the place of its last number.
  function networkAt(text, place) {
    for (const match of text.matchAll(/<[a-z]+:[^<>:]+(?::(-?\d*\.?\d+))?[^<>]*>/gi)) {
      if (match.index <= place && place < match.index + match[0].length && match[1] !== undefined) {
        const start = match.index + match[0].indexOf(`:${match[1]}`, match[0].indexOf(":") + 1) + 1;
        return { start, end: start + match[1].length, weight: Number(match[1]) };
      }
    }
    return null;
  }

  function withStep({ start, end, weight }, direction) {
    const text = shown(weight + direction * emulsionDefaults.network_weight_step);
    return { start, end, text, from: start, to: start + text.length };
  }

  // The inside of "(… :1.1)" around the cursor.
  function groupAt(text, place) {
    const start = text.lastIndexOf("(", place - 1);
    if (start < 0 || text[start - 1] === "\\" || text.slice(start, place).includes(")")) return null;
    const rest = /^[^()]*?(?=:\s*-?\d*\.?\d+\s*\))/.exec(text.slice(start + 1));
    if (!rest) return null;
    const end = start + 1 + rest[0].length;
    return text.indexOf(")", end) >= place - 1 ? [start + 1, end] : null;
  }

  function wordAt(text, place) {
    let start = place;
    let end = place;
    while (start > 0 && !isDelimiter(text[start - 1])) start--;
    while (end < text.length && !isDelimiter(text[end])) end++;
    return [start, end];
  }

  // Moves the part between commas at the cursor one place to the left (-1) or right (1); null at the ends.
  function moved(text, start, end, direction) {
    const parts = splitAtCommas(text);
    const index = parts.findIndex((part) => start >= part.start && start <= part.end);
    const other = index + direction;
    if (index < 0 || !parts[other]) return null;
    const [left, right] = direction < 0 ? [parts[other], parts[index]] : [parts[index], parts[other]];
    const words = (part) => text.slice(part.start, part.end);
    const trimmed = (part) => words(part).trim();
    const around = (part) => [/^\s*/.exec(words(part))[0], /\s*$/.exec(words(part))[0]];
    const [before, behind] = [around(left), around(right)];
    const leftText = before[0] + trimmed(right) + before[1];
    const rightText = behind[0] + trimmed(left) + behind[1];
    const own = trimmed(parts[index]);
    const from =
      direction < 0
        ? left.start + before[0].length
        : left.start + leftText.length + text.slice(left.end, right.start).length + behind[0].length;
    return {
      start: left.start,
      end: right.end,
      text: leftText + text.slice(left.end, right.start) + rightText,
      from,
      to: from + own.length,
    };
  }

  // Parts between commas and line breaks that stand in no bracket.
  function splitAtCommas(text) {
    const parts = [];
    let depth = 0;
    let start = 0;
    for (let place = 0; place <= text.length; place++) {
      const sign = text[place];
      if ("([<{".includes(sign ?? " ")) depth++;
      else if (")]>}".includes(sign ?? " ")) depth = Math.max(0, depth - 1);
      if (place === text.length || (depth === 0 && (sign === "," || sign === "\n"))) {
        parts.push({ start, end: place });
        start = place + 1;
      }
    }
    return parts;
  }

  function edit(field, change, direction) {
    const result = change(field.value, field.selectionStart, field.selectionEnd, direction);
    if (result) replace(field, result.start, result.end, result.text, result.from, result.to);
  }

  const isPrompt = (element) => PROMPTS.some((id) => element?.closest?.(`#${id}`)) && "selectionStart" in element;

  document.addEventListener("emulsion:language", translateCounts);
  for (const id of PROMPTS) onAppear(`#${id} textarea`, addCounter);
  onAppear("[data-example]", (button) => {
    button.onclick = () => {
      setInput(input("em-prompt"), button.textContent);
      one("#em-generate").click();
    };
  });

  emulsion.prompt = { weighted, moved, edit, isPrompt };
})();
