// What the gallery knows of the history: how many pictures a filter lets through, and those of them that were looked
// at. Places count from the newest picture, 0. Only pieces around the screen are kept.
"use strict";

(() => {
  const { ask, send, address } = emulsion;
  const PIECE = 120; // pictures that one question brings
  const MOST = 500; // the server's limit for one question
  const KEPT = 4000;
  let filter = {};
  let places = new Map(); // place -> picture
  let total = null; // null until the server was asked
  let newest = null; // id of the picture in place 0
  let edition = 0; // changes with every shift of places: answers to older questions are dropped
  let wanted = [0, PIECE - 1];
  let loading = null;

  const told = (what) => document.dispatchEvent(new CustomEvent("emulsion:history", { detail: what }));

  function question(name, more = {}) {
    const values = Object.entries({ ...filter, ...more }).filter(([, value]) => value !== "" && value !== false);
    return `history${name}?${new URLSearchParams(values)}`;
  }

  // ---- pieces ----

  // What lies between two places is there soon. Asked again while a piece is on its way, only the last wish counts.
  async function ensure(first, last) {
    wanted = [Math.max(0, first), Math.min(last, (total ?? 0) - 1)];
    loading ??= fetchWanted().finally(() => (loading = null));
    return loading;
  }

  async function fetchWanted() {
    for (let piece = missing(); piece; piece = missing()) {
      const [asked, offset, limit] = [edition, ...piece];
      const { pictures } = await ask(question("", { offset, limit }));
      if (asked !== edition) continue;
      if (pictures.length < Math.min(limit, total - offset)) return reload(); // somebody else took some away
      put(offset, pictures);
      prune();
      told({ pictures: true });
    }
  }

  // The first gap among the wanted places as [offset, limit], or null.
  function missing() {
    const [first, last] = wanted;
    let from = first;
    while (from <= last && places.has(from)) from++;
    if (from > last) return null;
    let to = last;
    while (places.has(to)) to--;
    const before = places.has(to + 1) ? Math.max(0, to + 1 - PIECE) : from; // scrolling up fetches what is above
    const offset = Math.min(from, before);
    return [offset, Math.min(MOST, Math.max(PIECE, to - offset + 1))];
  }

  function put(offset, pictures) {
    pictures.forEach((picture, step) => places.set(offset + step, picture));
    if (places.has(0)) newest = places.get(0).id;
  }

  function prune() {
    if (places.size <= KEPT) return;
    const middle = (wanted[0] + wanted[1]) / 2;
    for (const place of places.keys()) if (Math.abs(place - middle) > KEPT / 3) places.delete(place);
  }

  // Asks anew for what is on the screen, and how many there are.
  async function reload() {
    const asked = ++edition;
    const offset = wanted[0];
    const limit = Math.min(MOST, Math.max(PIECE, wanted[1] - wanted[0] + 1));
    const [{ pictures }, { count }] = await Promise.all([
      ask(question("", { offset, limit })),
      ask(question("/count")),
    ]);
    if (asked !== edition) return;
    places = new Map();
    total = Math.max(count, pictures.length ? offset + pictures.length : 0);
    newest = null;
    put(offset, pictures);
    told({ pictures: true, total: true });
  }

  async function choose(values) {
    filter = values;
    wanted = [0, PIECE - 1];
    await reload();
  }

  // ---- changes ----

  // Pictures that were made since: they go before the others, whose places move on by `shift`.
  async function news() {
    if (total === null) return reload();
    const asked = edition;
    const [latest] = (await ask(question("", { limit: 1 }))).pictures;
    if (asked !== edition || (latest?.id ?? null) === newest) return;
    if (newest === null && total > 0) return void (newest = latest.id); // the top was not looked at yet
    const { pictures } = await ask(question("", { limit: PIECE }));
    const shift = pictures.findIndex((picture) => picture.id === newest);
    if (asked !== edition) return;
    if (shift < 1) return reload(); // many, or the newest one went away
    move((place) => place + shift);
    put(0, pictures);
    total += shift;
    wanted = wanted.map((place) => place + shift);
    told({ pictures: true, total: true, shift });
  }

  function move(where) {
    edition++;
    places = new Map([...places].map(([place, picture]) => [where(place), picture]));
  }

  // Takes pictures out that went to the trash.
  async function remove(ids) {
    const gone = [...places].filter(([, picture]) => ids.has(picture.id)).map(([place]) => place);
    if (gone.length < ids.size) return reload();
    for (const place of gone) places.delete(place);
    move((place) => place - gone.filter((one) => one < place).length);
    total -= gone.length;
    newest = places.get(0)?.id ?? null;
    told({ pictures: true, total: true, gone });
  }

  const going = new Set(); // ids of pictures that are on their way to the trash: their files are not asked for now

  // Puts pictures into the trash; returns which, and the name to bring them back by. Who asks once more before the
  // answer means the same ones: null.
  async function throwAway(wanted) {
    const ids = wanted.filter((id) => !going.has(id));
    if (!ids.length) return null;
    ids.forEach((id) => going.add(id));
    told({ going: ids });
    const over = () => ids.forEach((id) => going.delete(id));
    const { trash } = await send("history/trash", { ids }).catch((error) => {
      over();
      told({ stayed: ids });
      throw error;
    });
    told({ thrown: ids });
    await remove(new Set(ids)).finally(over);
    return { trash, ids };
  }

  const marking = new Map(); // id -> the last mark of a picture that is under way

  // Favours or rates a picture: {favourite} or {rating}. It is seen at once; the server hears of one after the other.
  async function mark(picture, marks) {
    const { id } = picture;
    const former = Object.fromEntries(Object.keys(marks).map((name) => [name, picture[name]]));
    const options = { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(marks) };
    const mine = (marking.get(id) ?? Promise.resolve()).then(() => ask(`history/${id}`, options));
    const over = mine.catch(() => {});
    marking.set(id, over);
    replace({ ...picture, ...marks });
    try {
      const said = await mine;
      if (marking.get(id) === over) replace(said);
    } catch (error) {
      if (marking.get(id) === over) replace({ ...picture, ...former });
      throw error;
    } finally {
      if (marking.get(id) === over) marking.delete(id);
    }
  }

  function replace(picture) {
    for (const [place, known] of places) if (known.id === picture.id) places.set(place, picture);
    told({ pictures: true, changed: picture });
  }

  // Pictures from one place to another, both included.
  async function between(first, last) {
    const found = [];
    for (let offset = first; offset <= last; offset += MOST) {
      const limit = Math.min(MOST, last - offset + 1);
      found.push(...(await ask(question("", { offset, limit }))).pictures);
    }
    return found;
  }

  async function rebuild() {
    await send("history/rebuild");
    await reload();
  }

  // The server tells addresses from its root; the page may stand below another one.
  const link = (path) => address(path.replace(/^\/ui\//, ""));

  emulsion.history = {
    ...{ choose, ensure, reload, news, throwAway, mark, between, rebuild, link },
    picture: (place) => places.get(place) ?? null,
    placeOf: (id) => [...places].find(([, picture]) => picture.id === id)?.[0] ?? -1,
    going: (id) => going.has(id),
    total: () => total,
    filtered: () => Object.values(filter).some(Boolean),
  };
})();
