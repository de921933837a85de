// Two pictures of the gallery, one over the other, with a line between them to move; below, in what they differ.
"use strict";

(() => {
  const { one, t } = emulsion;
  const { history } = emulsion;
  // A field of the last line of an infotext: a name, a colon, a value that may stand in quotation marks.
  const FIELD = /([A-Za-z][^:,"]{0,60}): ("(?:\\.|[^"\\])*"|[^,]*)/g;
  const BESIDE = ["Version", "User", "Hashes", "Lora hashes", "TI hashes"]; // say nothing that one could see

  function open(first, second) {
    const dialog = one("#em-history-compare").content.cloneNode(true).firstElementChild;
    const stage = dialog.querySelector(".em-compare-stage");
    const range = dialog.querySelector("input");
    const images = stage.querySelectorAll("img");
    const names = stage.querySelectorAll(".em-compare-name");
    [first, second].forEach((picture, index) => {
      images[index].src = history.link(picture.file);
      images[index].alt = names[index].textContent = picture.name;
      images[index].draggable = false;
    });
    const move = () => stage.style.setProperty("--em-part", `${range.value}%`);
    const follow = (event) => {
      const box = stage.getBoundingClientRect();
      range.value = ((event.clientX - box.left) / box.width) * 100;
      move();
    };
    stage.onpointerdown = (event) => {
      stage.setPointerCapture(event.pointerId);
      follow(event);
    };
    stage.onpointermove = (event) => stage.hasPointerCapture(event.pointerId) && follow(event);
    range.oninput = move;
    move();
    dialog.querySelector("tbody").append(...differences(first, second));
    dialog.querySelector("[data-view=close]").onclick = () => dialog.close();
    dialog.onclose = () => dialog.remove();
    document.body.append(dialog);
    dialog.showModal();
    range.focus();
  }

  // ---- in what they differ ----

  function fields(picture) {
    const lines = picture.infotext.trim().split("\n");
    const last = /\bSteps: /.test(lines.at(-1)) ? lines.pop() : "";
    const cut = lines.findIndex((line) => line.startsWith("Negative prompt:"));
    const prompts = cut < 0 ? [lines, []] : [lines.slice(0, cut), lines.slice(cut)];
    const found = { [t("field.prompt.label")]: prompts[0].join("\n") };
    found[t("field.negative_prompt.label")] = prompts[1].join("\n").replace("Negative prompt:", "").trim();
    for (const [, name, value] of last.matchAll(FIELD)) found[name] = value;
    return found;
  }

  function differences(first, second) {
    const [left, right] = [fields(first), fields(second)];
    return Object.keys({ ...left, ...right })
      .filter((name) => left[name] !== right[name] && !BESIDE.includes(name))
      .map((name) => row(name, left[name] ?? "", right[name] ?? ""));
  }

  function row(name, ...values) {
    const line = document.createElement("tr");
    line.append(Object.assign(document.createElement("th"), { textContent: name, scope: "row" }));
    const cell = (value) => Object.assign(document.createElement("td"), { textContent: value || "–" });
    line.append(...values.map(cell));
    return line;
  }

  emulsion.historyCompare = { open };
})();
