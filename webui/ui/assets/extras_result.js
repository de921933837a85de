// What Extras is making and has made: progress, each result beside its source, its size, and where it can go.
"use strict";

(() => {
  const { one, onAppear, t, address, toast } = emulsion;
  const OVER = ["done", "failed", "cancelled"];
  let run = null; // {job, sources}
  let view = null; // the last of the job
  let shown = null; // one of its pictures
  let chosen = false; // the reader has chosen one: new ones leave it
  let compare = null; // shows the pair
  const bytes = {}; // sizes of files by their addresses

  const link = (picture) => address(`jobs/${picture.job}/pictures/${picture.index}`);
  const sourceOf = (picture) => run?.sources[picture.facts?.index];
  const busy = () => Boolean(view) && !OVER.includes(view.state);

  // Shows a job until it is over.
  async function follow(wanted) {
    run = wanted;
    [view, shown, chosen] = [{ state: "waiting", pictures: [], notes: [], progress: 0, position: 1 }, null, false];
    draw();
    try {
      await emulsion.tasks.follow(run.job, (found) => {
        view = found;
        if (!chosen) shown = found.pictures.at(-1) ?? null;
        draw();
      });
    } catch (error) {
      view = null;
      draw();
      throw error;
    }
  }

  // ---- drawing ----

  function draw() {
    if (!one("#em-extras-result")) return;
    one("#em-extras-nothing").hidden = Boolean(shown);
    one("#em-extras-versus").hidden = one("#em-extras-details").hidden = !shown;
    one("#em-extras-interrupt").hidden = !busy();
    one("#em-extras-skip").hidden = !busy() || !(view.batches > 1);
    drawStatus();
    drawStrip();
    if (shown) drawShown();
  }

  function words() {
    if (view.state === "cancelled") return t("status.cancelled");
    if (view.state === "failed") return t("status.failed");
    if (view.state === "done") return t("status.done", { time: t("time.seconds", { seconds: (view.seconds ?? 0).toFixed(1) }) });
    if (view.state === "waiting") return t(view.position > 1 ? "status.waiting" : "status.waiting_next", { position: view.position });
    const parts = [t(view.interrupting ? "status.interrupting" : "extras.working")];
    if (view.batches > 1) parts.push(t("extras.picture_of", { number: view.batch + 1, count: view.batches }));
    if (view.eta) parts.push(t("status.left", { time: t("time.seconds", { seconds: Math.max(1, Math.round(view.eta)) }) }));
    return parts.join(" · ");
  }

  function drawStatus() {
    const box = one("#em-extras-status");
    box.hidden = !view;
    one("#em-extras-error").hidden = view?.state !== "failed";
    one("#em-extras-notes").hidden = !view?.notes?.length;
    if (!view) return;
    box.classList.toggle("em-over", !busy());
    const percent = Math.round(100 * (view.progress ?? 0));
    box.querySelector(".em-bar span").style.width = `${percent}%`;
    box.querySelector(".em-bar").setAttribute("aria-valuenow", percent);
    one("#em-extras-status-text").textContent = words();
    emulsion.say(one("#em-extras-error p"), view.error);
    const notes = (view.notes ?? []).map((note) => emulsion.say(document.createElement("li"), note));
    one("#em-extras-notes").replaceChildren(...notes);
  }

  function drawStrip() {
    const strip = one("#em-extras-strip");
    const pictures = view?.pictures ?? [];
    strip.hidden = pictures.length < 2;
    const tiles = pictures.map((picture) => {
      const key = `${picture.job}/${picture.index}`;
      const tile = [...strip.children].find((child) => child.dataset.key === key) ?? newTile(picture, key);
      tile.setAttribute("aria-selected", String(picture.index === shown?.index));
      return tile;
    });
    if (tiles.length !== strip.children.length || tiles[0] !== strip.firstElementChild) strip.replaceChildren(...tiles);
  }

  function newTile(picture, key) {
    const tile = Object.assign(document.createElement("button"), { type: "button", className: "em-tile", title: picture.name });
    tile.setAttribute("role", "option");
    tile.setAttribute("aria-label", picture.name);
    tile.dataset.key = key;
    const source = sourceOf(picture); // shows the same and is smaller
    const image = { src: source ? emulsion.extrasSources.url(source) : link(picture), alt: "", loading: "lazy" };
    tile.append(Object.assign(document.createElement("img"), image));
    tile.onclick = () => {
      [shown, chosen] = [view.pictures.find((one) => one.index === picture.index), true];
      draw();
    };
    return tile;
  }

  let drawn = ""; // the picture that is on the stage

  function drawShown() {
    const url = link(shown);
    if (drawn === url) return drawTold();
    drawn = url;
    const source = sourceOf(shown);
    compare?.({
      ...{ before: source && emulsion.extrasSources.url(source), after: url },
      ...{ width: shown.width, height: shown.height, label: shown.name },
    });
    Object.assign(one("#em-extras-download"), { href: url, download: shown.name });
    const text = [shown.infotext, shown.facts?.postprocessing].filter(Boolean).join("\n\n");
    one("#em-extras-infotext").hidden = !text;
    one("#em-extras-infotext pre").textContent = text;
    drawTold();
    weigh(url);
  }

  // Name, sizes and weight of the file.
  function drawTold() {
    const source = sourceOf(shown);
    const size = `${shown.width} × ${shown.height}`;
    const sizes = source ? `${source.width} × ${source.height} → ${size}` : size;
    one("#em-extras-told").textContent = [shown.name, sizes, bytes[link(shown)]].filter(Boolean).join(" · ");
  }

  async function weigh(url) {
    if (url in bytes) return;
    const answer = await fetch(url, { method: "HEAD" }).catch(() => null);
    const count = Number(answer?.headers.get("content-length"));
    bytes[url] = count ? `${(count / 2 ** 20).toLocaleString(emulsion.locale(), { maximumFractionDigits: 2 })} MB` : "";
    if (shown && link(shown) === url) drawTold();
  }

  async function copy() {
    const text = one("#em-extras-infotext pre");
    try {
      await navigator.clipboard.writeText(text.textContent);
      toast([t("button.copied")]);
    } catch {
      getSelection().selectAllChildren(text);
      toast([t("error.copy")]);
    }
  }

  onAppear("#em-extras-versus", (root) => {
    compare = emulsion.versus(root);
    drawn = "";
    draw();
  });
  onAppear("#em-extras-copy", (button) => (button.onclick = copy));
  onAppear("[data-extras-send]", (button) => {
    button.onclick = () => {
      const { name, width, height } = shown;
      emulsion.studio.sendTo(button.dataset.extrasSend, { url: link(shown), name, width, height });
    };
  });
  document.addEventListener("emulsion:language", draw);

  emulsion.extrasResult = { follow, busy };
})();
