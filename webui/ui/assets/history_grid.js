// The gallery's grid: as tall as all pictures together, but only the rows on the screen exist. Tiles are chosen with
// the pointer (Ctrl and Shift as everywhere) or with keys.
"use strict";

(() => {
  const { one, onAppear, ask, complain } = emulsion;
  const { history } = emulsion;
  const GAP = 8;
  const WIDE = 176; // pixels that a tile has at least; on narrow screens three go side by side
  const BEYOND = 600; // pixels above and below the screen that are drawn as well
  const AT_ONCE = 2000; // pictures that can be chosen together
  const HURRY = 3; // pixels in a millisecond: who scrolls faster passes by, and small pictures are not asked for yet
  const STAY = 150; // milliseconds that a tile has to be there then
  const tiles = new Map(); // id -> element
  const broken = new Map(); // id -> why there is no small picture
  const chosen = new Map(); // id -> picture
  let columns = 1;
  let pitch = WIDE;
  let lead = 0; // empty tiles at the top, so that new pictures leave the others in their columns
  let focused = 0; // place
  let anchor = 0; // where a Shift click begins
  let choosing = false; // every click chooses
  let waiting = false;
  let before = { top: 0, time: 0 }; // of the last drawing
  let hurried = false;

  const grid = () => one("#em-history-grid");
  const visible = () => Boolean(grid()?.offsetParent);

  // ---- places and pixels ----

  function measure() {
    const width = grid().clientWidth;
    columns = Math.max(3, Math.floor((width + GAP) / (WIDE + GAP)));
    pitch = (width + GAP) / columns;
    lead %= columns;
  }

  const rowOf = (place) => Math.floor((place + lead) / columns);
  const above = () => -grid().getBoundingClientRect().top; // pixels of the grid that are scrolled away

  function span(top, bottom) {
    const first = Math.floor(top / pitch) * columns - lead;
    const last = (Math.floor(bottom / pitch) + 1) * columns - lead - 1;
    return [Math.max(0, first), Math.min(last, (history.total() ?? 0) - 1)];
  }

  // ---- drawing ----

  function schedule() {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      if (visible()) draw();
    });
  }

  function draw() {
    const box = grid();
    const total = history.total() ?? 0;
    box.style.height = total ? `${rowOf(total - 1) * pitch + pitch - GAP}px` : "0";
    if (lead && above() < 0) lead = 0; // back at the top: no gap is needed any more
    const top = above();
    const time = performance.now();
    hurried = Math.abs(top - before.top) > HURRY * Math.min(time - before.time, STAY);
    before = { top, time };
    const [first, last] = span(top - BEYOND, top + innerHeight + BEYOND);
    const kept = new Set();
    const [shown, end] = span(top, top + innerHeight);
    const reachable = focused >= shown && focused <= end ? focused : shown; // by the Tab key
    for (let place = first; place <= last; place++) {
      const picture = history.picture(place);
      if (!picture) continue;
      kept.add(picture.id);
      setTile(picture, place, place === reachable);
    }
    for (const [id, tile] of tiles) {
      if (kept.has(id)) continue;
      tile.querySelector("img")?.removeAttribute("src"); // a small picture that is still on its way is not needed
      tile.remove();
      tiles.delete(id);
    }
    if (last >= first) history.ensure(first - columns, last + columns).catch(complain);
    document.dispatchEvent(new CustomEvent("emulsion:history-moved", { detail: { place: span(top, top)[0] } }));
  }

  function setTile(picture, place, reachable) {
    let tile = tiles.get(picture.id);
    if (!tile) {
      tile = newTile(picture);
      tiles.set(picture.id, tile);
      grid().append(tile);
    }
    const cell = place + lead;
    tile.style.width = tile.style.height = `${pitch - GAP}px`;
    tile.style.transform = `translate(${(cell % columns) * pitch}px, ${Math.floor(cell / columns) * pitch}px)`;
    tile.dataset.place = place;
    tile.tabIndex = reachable ? 0 : -1;
    tile.setAttribute("aria-selected", String(chosen.has(picture.id)));
    tile.setAttribute("aria-posinset", place + 1);
    tile.setAttribute("aria-setsize", history.total());
    const marks = (picture.favourite ? "♥" : "") + (picture.rating ? ` ★${picture.rating}` : "");
    const shown = tile.querySelector(".em-shot-marks");
    if (shown.textContent !== marks) shown.textContent = marks;
    tile.setAttribute("aria-label", `${picture.name} ${marks}`.trim());
  }

  function newTile(picture) {
    const tile = document.createElement("div");
    tile.className = "em-shot";
    tile.setAttribute("role", "option");
    tile.title = picture.name;
    const check = Object.assign(document.createElement("span"), { className: "em-shot-check" });
    const marks = Object.assign(document.createElement("span"), { className: "em-shot-marks" });
    tile.append(check, marks);
    const problem = picture.problem || broken.get(picture.id);
    if (problem) showProblem(tile, problem);
    else tile.prepend(smallPicture(picture, tile));
    return tile;
  }

  function smallPicture(picture, tile) {
    const image = new Image();
    Object.assign(image, { alt: "", loading: "lazy", decoding: "async", draggable: false });
    image.onload = () => image.classList.add("em-there");
    image.onerror = async () => {
      const why = await ask(picture.thumbnail.replace(/^\/ui\//, "")).catch((error) => error.parts?.found);
      if (typeof why !== "string" || !tile.isConnected) return;
      broken.set(picture.id, why);
      image.remove();
      showProblem(tile, why);
    };
    setTimeout(() => tile.isConnected && load(picture, image), hurried ? STAY : 0);
    return image;
  }

  function load(picture, image) {
    if (!history.going(picture.id)) image.src = history.link(picture.thumbnail);
  }

  // What is not here yet of pictures that are on their way to the trash would not be found any more.
  function giveUp(ids) {
    for (const id of ids) {
      const image = tiles.get(id)?.querySelector("img");
      if (image && !image.complete) image.removeAttribute("src");
    }
  }

  // Those that stayed after all are shown again.
  function takeUp(ids) {
    for (const id of ids) {
      const [tile, image] = [tiles.get(id), tiles.get(id)?.querySelector("img:not([src])")];
      const picture = tile && history.picture(Number(tile.dataset.place));
      if (image && picture?.id === id) load(picture, image);
    }
  }

  function showProblem(tile, why) {
    const text = Object.assign(document.createElement("span"), { className: "em-shot-problem" });
    tile.classList.add("em-shot-broken");
    tile.title = emulsion.said(why);
    tile.prepend(emulsion.say(text, why));
  }

  // ---- choosing ----

  function told() {
    schedule();
    document.dispatchEvent(new CustomEvent("emulsion:history-chosen"));
  }

  function toggle(place) {
    const picture = history.picture(place);
    if (!picture) return;
    if (!chosen.delete(picture.id)) chosen.set(picture.id, picture);
    anchor = place;
    told();
  }

  async function chooseTo(place) {
    const [first, last] = [Math.min(anchor, place), Math.max(anchor, place)];
    try {
      for (const picture of await history.between(first, Math.min(last, first + AT_ONCE - 1))) {
        chosen.set(picture.id, picture);
      }
    } catch (error) {
      complain(error);
    }
    told();
  }

  function chooseNone() {
    chosen.clear();
    told();
  }

  // Those that went away; what else was chosen meanwhile stays so.
  function forget(ids) {
    for (const id of ids) chosen.delete(id);
    told();
  }

  function setChoosing(value) {
    choosing = value;
    grid().classList.toggle("em-choosing", value);
    if (!value) chooseNone();
  }

  function click(event) {
    const tile = event.target.closest(".em-shot");
    if (!tile) return;
    const place = Number(tile.dataset.place);
    focused = place;
    const onCheck = Boolean(event.target.closest(".em-shot-check"));
    if (event.shiftKey) chooseTo(place);
    else if (choosing || onCheck || event.ctrlKey || event.metaKey) toggle(place);
    else emulsion.historyView.open(place);
    schedule();
  }

  // ---- keys ----

  function focus(place) {
    focused = Math.max(0, Math.min(place, history.total() - 1));
    const [top, bar] = [rowOf(focused) * pitch, one(".em-history-head").offsetHeight];
    if (top < above() + bar) scrollBy(0, top - above() - bar - GAP);
    else if (top + pitch > above() + innerHeight) scrollBy(0, top + pitch - above() - innerHeight + GAP);
    draw();
    tiles.get(history.picture(focused)?.id)?.focus({ preventScroll: true });
  }

  const STEPS = { ArrowLeft: () => -1, ArrowRight: () => 1, ArrowUp: () => -columns, ArrowDown: () => columns };
  STEPS.PageUp = () => -columns * Math.max(1, Math.floor(innerHeight / pitch) - 1);
  STEPS.PageDown = () => -STEPS.PageUp();
  STEPS.Home = () => -focused;
  STEPS.End = () => history.total() - 1 - focused;

  function key(event) {
    if (!event.target.closest(".em-shot") || event.altKey) return;
    if ((event.ctrlKey || event.metaKey) && event.key.toLowerCase() === "a") {
      event.preventDefault();
      anchor = 0;
      chooseTo(history.total() - 1);
    }
    if (event.ctrlKey || event.metaKey) return;
    focused = Number(event.target.closest(".em-shot").dataset.place);
    const picture = history.picture(focused);
    if (!picture) return;
    if (event.key in STEPS) {
      if (event.shiftKey && !chosen.size) anchor = focused;
      focus(focused + STEPS[event.key]());
      if (event.shiftKey) chooseTo(focused);
    } else if (event.key === "Enter") emulsion.historyView.open(focused);
    else if (event.key === " ") toggle(focused);
    else if (event.key === "Escape" && chosen.size) chooseNone();
    else if (event.key === "Delete") emulsion.historyActions.throwAway(chosen.size ? [...chosen.keys()] : [picture.id]);
    else if (!emulsion.historyActions.markByKey(event.key, chosen.size ? [...chosen.values()] : [picture])) return;
    event.preventDefault();
    event.stopPropagation();
  }

  // ---- changes ----

  // New pictures at the top: whoever has scrolled down goes on seeing the same ones at the same place.
  function shifted(by) {
    focused += by;
    anchor += by;
    if (!visible() || above() <= 0) return;
    const former = lead;
    lead = (((lead - by) % columns) + columns) % columns;
    const rows = (by + lead - former) / columns;
    grid().style.height = `${(rowOf(history.total() - 1) + 1) * pitch}px`;
    scrollBy({ top: rows * pitch, behavior: "instant" });
  }

  document.addEventListener("emulsion:history", ({ detail }) => {
    if (detail.shift) shifted(detail.shift);
    if (detail.going) giveUp(detail.going);
    if (detail.thrown) forget(detail.thrown);
    if (detail.stayed) takeUp(detail.stayed);
    if (detail.changed && chosen.has(detail.changed.id)) chosen.set(detail.changed.id, detail.changed);
    schedule();
  });
  document.addEventListener("emulsion:language", schedule);
  addEventListener("scroll", schedule, { passive: true });
  addEventListener("resize", schedule);
  onAppear("#em-history-grid", (box) => {
    box.onclick = click;
    box.onkeydown = key;
    new ResizeObserver(() => {
      if (!visible()) return;
      const [width, place] = [pitch, span(above(), above())[0]];
      measure();
      if (width !== pitch && above() > 0) scrollBy({ top: rowOf(place) * pitch - above(), behavior: "instant" });
      schedule();
    }).observe(box);
  });

  emulsion.historyGrid = {
    ...{ setChoosing, chooseNone, focus, redraw: schedule },
    chosen: () => [...chosen.values()],
    visible,
    scrolled: () => visible() && above() > pitch,
  };
})();
