// The finished pictures: the big one, the strip of this session's, the settings under it, and the enlarged view.
"use strict";

(() => {
  const { one, onAppear, t, toast, address } = emulsion;
  const KEPT = 60; // in the strip; older ones stay in the output folder
  const pictures = []; // newest first
  let shown = null;
  let live = false; // whether a job is being made, and the stage follows it
  let following = true;

  const url = (picture) => address(`jobs/${picture.job}/pictures/${picture.index}`);

  // A job's new pictures. The picture shown changes only now that there is another one.
  function add(job, found) {
    for (const picture of found) {
      if (pictures.some((known) => known.job === job && known.index === picture.index)) continue;
      pictures.splice(placeOf(picture), 0, { ...picture, job });
    }
    pictures.length = Math.min(pictures.length, KEPT);
    if (found.length && (following || !shown)) shown = pictures[0];
    draw();
  }

  // Where a new picture belongs: in front, or behind the one in front whose mask or part it is.
  function placeOf(picture) {
    if (!picture.facts?.aside || !pictures.length) return 0;
    const next = pictures.findIndex((known, place) => place > 0 && !known.facts?.aside);
    return next < 0 ? pictures.length : next;
  }

  // A picture that does not load: where its file was deleted or moved, it is shown no longer.
  async function missing(picture) {
    const answer = await fetch(url(picture), { method: "HEAD" }).catch(() => null);
    if (answer?.status !== 404 || !pictures.includes(picture)) return;
    pictures.splice(pictures.indexOf(picture), 1);
    if (shown === picture) shown = pictures[0] ?? null;
    if (!shown) enlarged?.close();
    draw();
  }

  function draw() {
    drawStrip();
    const result = one("#em-result");
    if (!result) return;
    result.classList.toggle("em-has-picture", Boolean(shown));
    one("#em-picture-button").hidden = !shown;
    one("#em-details").hidden = !shown;
    if (!shown) return;
    const [image, picture] = [one("#em-picture"), shown];
    image.onerror = () => missing(picture);
    if (image.src !== url(shown)) image.src = url(shown);
    image.width = shown.width;
    image.height = shown.height;
    image.alt = t("result.picture", { number: shown.index + 1, seed: shown.seed });
    one("#em-infotext").textContent = shown.infotext;
    one("#em-download").href = url(shown);
    one("#em-download").download = shown.name;
    drawEnlarged();
  }

  function drawStrip() {
    const strip = one("#em-strip");
    if (!strip) return;
    const tiles = pictures.map((picture) => {
      const key = `${picture.job}/${picture.index}`;
      const tile = [...strip.children].find((child) => child.dataset.key === key) ?? newTile(picture, key);
      tile.setAttribute("aria-selected", String(picture === shown && !(live && following)));
      tile.firstChild.alt = t("result.picture", { number: picture.index + 1, seed: picture.seed });
      return tile;
    });
    if (live) tiles.unshift(liveTile(strip));
    strip.replaceChildren(...tiles);
    strip.hidden = tiles.length < 2;
  }

  function newTile(picture, key) {
    const tile = document.createElement("button");
    tile.type = "button";
    tile.className = "em-tile";
    tile.dataset.key = key;
    tile.setAttribute("role", "option");
    const image = new Image();
    image.loading = "lazy";
    image.onerror = () => missing(picture);
    image.src = url(picture);
    tile.append(image);
    tile.onclick = () => {
      following = false;
      show(picture);
    };
    return tile;
  }

  function liveTile(strip) {
    let tile = [...strip.children].find((child) => child.dataset.key === "live");
    if (!tile) {
      tile = document.createElement("button");
      tile.type = "button";
      tile.className = "em-tile em-live";
      tile.dataset.key = "live";
      tile.title = t("result.live");
      tile.setAttribute("aria-label", t("result.live"));
      tile.dataset.i18nTitle = tile.dataset.i18nLabel = "result.live";
      tile.setAttribute("role", "option");
      tile.onclick = () => {
        following = true;
        shown = pictures[0] ?? null;
        draw();
        drawPreview();
      };
    }
    tile.setAttribute("aria-selected", String(following));
    return tile;
  }

  function show(picture) {
    shown = picture;
    draw();
    drawPreview();
  }

  // ---- the preview of what is being made ----

  let preview = null; // an address, once it has been loaded
  let wanted = "";
  let previewed = 0; // when the last preview was asked for

  function setLive(value) {
    if (value === live) return;
    live = value;
    if (value) following = true;
    else preview = null;
    draw();
    drawPreview();
  }

  function setPreview(job, number) {
    const source = number ? `${address(`jobs/${job}/preview`)}?n=${number}` : "";
    if (source === wanted) return;
    const now = performance.now();
    if (source && now - previewed < emulsionDefaults.preview_period) return;
    if (source) previewed = now;
    wanted = source;
    if (!source) return;
    const image = new Image(); // shown when it has arrived, so that nothing flickers
    image.onload = () => {
      if (wanted !== source || !live) return;
      preview = source;
      drawPreview();
    };
    image.src = source;
  }

  function drawPreview() {
    const image = one("#em-preview");
    if (!image) return;
    const visible = Boolean(live && following && preview);
    image.hidden = !visible;
    one("#em-result").classList.toggle("em-has-preview", visible);
    if (visible) image.src = preview;
  }

  // A finished picture takes the place of its preview.
  function dropPreview() {
    preview = null;
    wanted = "";
    drawPreview();
  }

  // ---- enlarged ----

  let enlarged = null;

  function enlarge() {
    if (!shown) return;
    enlarged = document.createElement("dialog");
    enlarged.className = "em-enlarged";
    enlarged.innerHTML =
      '<img alt=""><button type="button" class="em-close">×</button>' +
      '<button type="button" class="em-step em-back">‹</button><button type="button" class="em-step em-on">›</button>';
    const [close, back, on] = enlarged.querySelectorAll("button");
    for (const [button, key, act] of [
      [close, "button.close", () => enlarged.close()],
      [back, "button.previous", () => step(-1)],
      [on, "button.next", () => step(1)],
    ]) {
      button.setAttribute("aria-label", t(key));
      button.onclick = act;
    }
    enlarged.onclick = (event) => {
      if (!event.target.closest("button")) enlarged.close();
    };
    enlarged.onkeydown = (event) => {
      if (event.key === "ArrowLeft") step(-1);
      else if (event.key === "ArrowRight") step(1);
      else if (event.key.toLowerCase() === "s" && !event.ctrlKey && !event.metaKey) one("#em-download").click();
    };
    enlarged.onclose = () => {
      enlarged.remove();
      enlarged = null;
    };
    document.body.append(enlarged);
    enlarged.showModal();
    drawEnlarged();
  }

  function step(by) {
    const place = pictures.indexOf(shown) + by;
    if (!pictures[place]) return;
    following = false;
    show(pictures[place]);
  }

  function drawEnlarged() {
    if (!enlarged || !shown) return;
    const image = enlarged.querySelector("img");
    image.src = url(shown);
    image.alt = one("#em-picture").alt;
    // Small pictures of small checkpoints are enlarged with their pixels kept apart no more than needed.
    image.classList.toggle("em-small", Math.max(shown.width, shown.height) < 400);
    enlarged.querySelector(".em-back").disabled = pictures.indexOf(shown) === 0;
    enlarged.querySelector(".em-on").disabled = pictures.indexOf(shown) === pictures.length - 1;
  }

  // ---- buttons ----

  async function copy() {
    try {
      await navigator.clipboard.writeText(shown.infotext);
      const button = one("#em-copy");
      button.textContent = t("button.copied");
      setTimeout(() => (button.textContent = t("button.copy")), 1500);
    } catch {
      getSelection().selectAllChildren(one("#em-infotext"));
      toast([t("error.copy")]);
    }
  }

  onAppear("#em-result", () => {
    draw();
    drawPreview();
  });
  onAppear("#em-picture-button", (button) => (button.onclick = enlarge));
  onAppear("#em-copy", (button) => (button.onclick = copy));
  onAppear("#em-use", (button) => (button.onclick = () => emulsion.settings.apply(shown.infotext)));
  onAppear("#em-reuse-seed", (button) => (button.onclick = () => one("#em-reuse").click()));
  document.addEventListener("emulsion:language", draw);

  emulsion.pictures = { add, setLive, setPreview, dropPreview, shown: () => shown };
})();
