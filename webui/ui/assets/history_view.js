// One picture of the gallery over the whole screen, with its details; the keys are those of the buttons' tooltips.
"use strict";

(() => {
  const { one, t, ask, toast, stored, store } = emulsion;
  const { history } = emulsion;
  const DETAILS = "emulsion.details"; // whether they are shown, kept in the browser
  let dialog = null;
  let place = 0;
  let picture = null; // also while its place is being asked for
  let near = []; // [id, picture] of those beside it; the browser keeps them for the next step

  const part = (name) => dialog.querySelector(`[data-view=${name}]`);

  function open(at) {
    place = at;
    dialog = one("#em-history-view").content.cloneNode(true).firstElementChild;
    const stars = dialog.querySelector(".em-stars");
    for (let rating = 1; rating <= 5; rating++) {
      const star = Object.assign(document.createElement("button"), { type: "button", className: "em-star" });
      star.setAttribute("role", "radio");
      star.onclick = () => rate(picture.rating === rating ? 0 : rating);
      stars.append(star);
    }
    for (const button of dialog.querySelectorAll("[data-view]")) button.onclick = () => ACTS[button.dataset.view]();
    for (const button of dialog.querySelectorAll("[data-view-send]")) {
      const tab = button.dataset.viewSend;
      button.hidden = !emulsion.tabs.has(tab);
      button.onclick = () => leave(() => emulsion.historyActions.sendTo(tab, picture));
    }
    part("folder").hidden = !emulsion.historyActions.here;
    dialog.onkeydown = key;
    dialog.onclose = closed;
    const image = dialog.querySelector(".em-view-picture");
    image.onclick = () => image.classList.toggle("em-actual");
    image.onerror = async () => {
      const asked = picture;
      const gone = await ask(`history/${asked.id}`).then(() => null, (error) => error.parts?.found); // in another tab
      if (dialog && picture === asked) showProblem(gone ?? t("history.unreadable"));
    };
    document.body.append(dialog);
    showDetails(stored("localStorage", DETAILS) !== "no" && innerWidth > 900);
    dialog.showModal();
    dialog.focus(); // not its first button: the keys are for the picture
    show();
  }

  function closed() {
    const last = picture?.id;
    const message = dialog.querySelector(".em-toast");
    if (message) document.body.append(message); // to undo is still possible
    dialog.remove();
    dialog = null;
    picture = null;
    if (last) emulsion.historyGrid.focus(place);
  }

  // Closes first: while a dialog is open, no other part of the page can be pressed.
  function leave(act) {
    const chosen = picture;
    dialog.close();
    act(chosen);
  }

  // ---- showing ----

  async function show() {
    const asked = place;
    await history.ensure(place - 1, place + 1).catch(emulsion.complain);
    if (!dialog || asked !== place) return;
    picture = history.picture(place);
    if (!picture) return dialog.close();
    draw();
    const beside = [place + 1, place - 1].map(history.picture).filter((other) => other && !other.problem);
    near = beside.filter((other) => !history.going(other.id)).map((other) => {
      return [other.id, Object.assign(new Image(), { src: history.link(other.file) })];
    });
  }

  function draw() {
    const image = dialog.querySelector(".em-view-picture");
    const address = history.link(picture.file);
    const total = history.total().toLocaleString(emulsion.locale());
    dialog.querySelector(".em-view-place").textContent = `${(place + 1).toLocaleString(emulsion.locale())} / ${total}`;
    dialog.querySelector(".em-view-problem").hidden = true;
    image.hidden = false;
    image.alt = picture.name;
    if (picture.problem) showProblem(picture.problem);
    else if (image.src !== address) {
      image.classList.remove("em-actual");
      if (history.going(picture.id)) image.removeAttribute("src");
      else image.src = address;
    }
    image.classList.toggle("em-small", Math.max(picture.width, picture.height) < 400);
    part("favourite").setAttribute("aria-pressed", String(picture.favourite));
    dialog.querySelectorAll(".em-star").forEach((star, index) => {
      star.classList.toggle("em-lit", index < picture.rating);
      star.setAttribute("aria-checked", String(index + 1 === picture.rating));
      star.setAttribute("aria-label", t("history.stars", { count: index + 1 }));
    });
    part("back").disabled = place === 0;
    part("on").disabled = place >= history.total() - 1;
    part("seed").disabled = !picture.seed;
    for (const button of [part("use"), ...dialog.querySelectorAll("[data-view-send]")]) {
      button.disabled = Boolean(picture.problem);
    }
    drawDetails();
  }

  function showProblem(text) {
    const shown = dialog.querySelector(".em-view-problem");
    dialog.querySelector(".em-view-picture").hidden = true;
    shown.hidden = false;
    emulsion.say(shown, text);
  }

  function drawDetails() {
    const style = { dateStyle: "medium", timeStyle: "short" };
    const made = new Date(picture.made * 1000).toLocaleString(emulsion.locale(), style);
    const facts = [
      [t("history.name"), picture.name],
      [t("history.folder"), picture.folder],
      [t("history.made"), made],
      [t("history.size"), picture.width ? `${picture.width} × ${picture.height}` : ""],
      [t("field.checkpoint.label"), picture.checkpoint],
      ["LoRA", picture.loras.join(", ")],
      [t("field.sampler.label"), picture.sampler],
      [t("field.seed.label"), picture.seed],
    ];
    const lines = facts.filter(([, value]) => value).flatMap(([name, value]) => [
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    ]);
    dialog.querySelector(".em-facts").replaceChildren(...lines);
    dialog.querySelector(".em-infotext").hidden = !picture.infotext;
    dialog.querySelector(".em-view-infotext").textContent = picture.infotext;
  }

  function showDetails(visible) {
    dialog.classList.toggle("em-with-details", visible);
    part("details").setAttribute("aria-pressed", String(visible));
  }

  // ---- acts ----

  function step(by) {
    if (place + by < 0 || place + by >= history.total()) return;
    place += by;
    show();
  }

  const rate = (rating) => emulsion.historyActions.mark([picture], { rating });

  async function copy() {
    try {
      await navigator.clipboard.writeText(picture.infotext);
      toast([t("button.copied")]);
    } catch {
      getSelection().selectAllChildren(dialog.querySelector(".em-view-infotext"));
      toast([t("error.copy")]);
    }
  }

  async function throwAway() {
    const mine = dialog;
    if (!(await emulsion.historyActions.throwAway([picture.id])) || dialog !== mine || !dialog) return;
    if (!history.total()) return dialog.close();
    place = Math.min(place, history.total() - 1);
    show();
  }

  function toggleDetails() {
    const visible = !dialog.classList.contains("em-with-details");
    store("localStorage", DETAILS, visible ? "yes" : "no");
    showDetails(visible);
  }

  const ACTS = {
    back: () => step(-1),
    on: () => step(1),
    close: () => dialog.close(),
    favourite: () => emulsion.historyActions.favour([picture]),
    details: toggleDetails,
    save: () => emulsion.historyActions.download(picture),
    delete: throwAway,
    copy,
    use: () => leave((chosen) => emulsion.historyActions.use(chosen)),
    seed: () => leave((chosen) => emulsion.historyActions.useSeed(chosen)),
    info: () => leave((chosen) => emulsion.historyActions.showInfo(chosen)),
    folder: () => emulsion.historyActions.openFolder(picture),
  };
  const KEYS = { ArrowLeft: "back", ArrowRight: "on", Delete: "delete", i: "details", s: "save" };

  function key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || !picture) return;
    const name = KEYS[event.key] ?? KEYS[event.key.toLowerCase()];
    if (name) ACTS[name]();
    else if (!emulsion.historyActions.markByKey(event.key, [picture])) return;
    event.preventDefault();
  }

  // What is not here yet of pictures that are on their way to the trash would not be found any more.
  function giveUp(ids) {
    const shown = [picture?.id, dialog.querySelector(".em-view-picture")];
    for (const [id, image] of [shown, ...near]) {
      if (ids.includes(id) && !image.complete) image.removeAttribute("src");
    }
  }

  document.addEventListener("emulsion:history", ({ detail }) => {
    if (!dialog) return;
    if (detail.going) giveUp(detail.going);
    if (detail.stayed?.includes(picture?.id)) draw();
    if (detail.gone) place -= detail.gone.filter((one) => one < place).length; // who has gone on sees the same picture
    if (!detail.changed || detail.changed.id !== picture?.id) return;
    picture = detail.changed;
    draw();
  });

  emulsion.historyView = { open };
})();
