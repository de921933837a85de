// The pictures that Extras works on: chosen, dropped, pasted or sent from elsewhere. They go to the server at once, so a
// damaged one is refused by name and a reload loses nothing.
"use strict";

(() => {
  const { one, onAppear, t, ask, complain, toast, stored, store, address } = emulsion;
  const KEY = "emulsion.extras.sources";
  const SHOWN = 6; // names of refused files in one message
  let sources = remembered(); // {id, name, width, height}
  let coming = 0; // files that are on their way
  let turn = 0; // sources that are replaced take what is on its way with them

  function remembered() {
    try {
      const kept = JSON.parse(stored("sessionStorage", KEY) ?? "[]");
      return Array.isArray(kept) ? kept.filter((one) => /^blob:[0-9a-f]{64}$/.test(one?.id)) : [];
    } catch {
      return [];
    }
  }

  const url = (source) => address(`uploads/${source.id.slice("blob:".length)}`);
  const active = () => emulsion.tabs.current() === "extras";

  function changed() {
    store("sessionStorage", KEY, JSON.stringify(sources));
    draw();
    document.dispatchEvent(new CustomEvent("emulsion:extras"));
  }

  async function upload(file) {
    const headers = { "Content-Type": "application/octet-stream" };
    const { id, width, height } = await ask("uploads", { method: "POST", headers, body: file });
    return { id, name: file.name ?? "", width, height };
  }

  // Takes files in, one after the other: many large ones at once would fill the browser's memory.
  async function add(files) {
    const mine = turn;
    const refused = []; // {name, found, wanted, remedy}
    coming += files.length;
    draw();
    for (const file of files) {
      try {
        const source = await upload(file);
        if (mine === turn) sources.push(source);
      } catch (error) {
        if (!error.parts) complain(error);
        else refused.push({ name: file.name, ...error.parts });
      }
      coming--;
      changed();
    }
    if (refused.length) tell(refused);
  }

  // All that was refused, in one message: each new one would take the place of the last.
  function tell(refused) {
    const [{ name, found, wanted, remedy }] = refused;
    if (refused.length === 1) return toast([name, found, wanted, remedy], { bad: true });
    const lines = refused.slice(0, SHOWN).map(({ name, found }) => `${name}: ${found}`);
    const more = refused.length - lines.length;
    toast([...lines, more > 0 ? `… + ${more}` : "", wanted], { bad: true });
  }

  function clear() {
    turn++;
    sources = [];
    changed();
  }

  function remove(source) {
    sources = sources.filter((other) => other !== source);
    changed();
    one("#em-extras-list button, #em-extras-drop")?.focus();
  }

  // A picture from elsewhere takes the place of those that are here when it has arrived; the last one that was sent wins.
  async function takeOver({ url, name }) {
    const mine = ++turn;
    const before = sources;
    coming++;
    draw();
    try {
      const answer = await fetch(url);
      if (!answer.ok) throw new Error(t("studio.gone"));
      const source = await upload(new File([await answer.blob()], name ?? ""));
      if (mine === turn) sources = [source, ...sources.filter((one) => !before.includes(one))];
    } catch (error) {
      if (mine === turn) complain(error);
    }
    coming--;
    changed();
  }

  // ---- drawing ----

  function tile(source) {
    const item = document.createElement("li");
    const image = Object.assign(document.createElement("img"), { src: url(source), alt: source.name, loading: "lazy" });
    const button = Object.assign(document.createElement("button"), { type: "button", className: "em-close", textContent: "×" });
    item.title = `${source.name} · ${source.width} × ${source.height}`;
    item.append(image, button);
    item.dataset.id = source.id;
    return item;
  }

  function facts() {
    if (coming) return t("extras.coming", { count: coming });
    if (sources.length > 1) return t("extras.count", { count: sources.length });
    const [source] = sources;
    return source ? [source.name, `${source.width} × ${source.height}`].filter(Boolean).join(" · ") : "";
  }

  function draw() {
    const list = one("#em-extras-list");
    if (!list) return;
    const some = sources.length > 0;
    one("#em-extras-drop").hidden = some || coming > 0;
    one("#em-extras-bar").hidden = !some && !coming;
    list.hidden = !some;
    list.classList.toggle("em-extras-one", sources.length === 1);
    const tiles = [...list.children];
    const drawn = sources.map((source) => {
      const place = tiles.findIndex((item) => item.dataset.id === source.id);
      return place < 0 ? tile(source) : tiles.splice(place, 1)[0];
    });
    list.replaceChildren(...drawn);
    sources.forEach((source, place) => {
      const button = drawn[place].querySelector("button");
      button.title = t("extras.remove", { name: source.name });
      button.setAttribute("aria-label", button.title);
      button.onclick = () => remove(source);
    });
    one("#em-extras-facts").textContent = facts();
  }

  // ---- ways in ----

  const choose = () => one("#em-extras-file").click();
  const carriesFiles = (event) => event.dataTransfer?.types.includes("Files");

  function drag(event) {
    if (!carriesFiles(event)) return;
    event.preventDefault();
    one("#em-extras-source").classList.toggle("em-extras-over", event.type === "dragover");
  }

  onAppear("#em-extras-source", (card) => {
    card.ondragover = card.ondragleave = drag;
    card.ondrop = (event) => {
      drag(event);
      if (carriesFiles(event)) add([...event.dataTransfer.files]);
    };
    one("#em-extras-drop").onclick = one("#em-extras-add").onclick = choose;
    one("#em-extras-clear").onclick = clear;
    one("#em-extras-file").onchange = ({ target }) => {
      add([...target.files]);
      target.value = "";
    };
    draw();
  });
  document.addEventListener("emulsion:send", ({ detail }) => detail.to === "extras" && takeOver(detail));
  document.addEventListener("emulsion:file", (event) => {
    if (!active()) return;
    event.preventDefault();
    add([event.detail.file]);
  });
  document.addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])].filter(({ type }) => type.startsWith("image/"));
    if (!files.length || !active() || event.target.closest?.("input, textarea")) return;
    event.preventDefault();
    add(files);
  });
  document.addEventListener("emulsion:language", draw);

  emulsion.extrasSources = { list: () => sources, coming: () => coming, add, clear, url };
})();
