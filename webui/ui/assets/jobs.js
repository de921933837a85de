// Follows this page's jobs one after the other: a small question to the server a few times a second, nothing held open,
// so that many tabs do not use up the browser's connections. Ids are kept, so a reloaded page goes on where it was.
"use strict";

(() => {
  const { one, onAppear, stored, store, t, ask, send } = emulsion;
  const KEY = "emulsion.jobs";
  const KEPT = 12;
  const WAIT = { running: 250, waiting: 600, hidden: 1500, lost: 2000 }; // milliseconds between questions
  const known = remembered(); // ids, oldest first
  const queue = []; // {id, have} that are not over, oldest first
  let timer = 0;
  let asking = false;
  let forever = false;
  const OVER = ["done", "failed", "cancelled"];
  let last = null; // the last view that came

  // This tab's own jobs; a new tab begins with those of the last one.
  function remembered() {
    for (const area of ["sessionStorage", "localStorage"]) {
      try {
        const ids = JSON.parse(stored(area, KEY) ?? "null");
        if (Array.isArray(ids) && ids.length) return ids.filter((id) => typeof id === "string").slice(-KEPT);
      } catch {
        // written by something else: as if there were none
      }
    }
    return [];
  }

  function remember() {
    known.splice(0, Math.max(0, known.length - KEPT));
    for (const area of ["sessionStorage", "localStorage"]) store(area, KEY, JSON.stringify(known));
  }

  function forget(id) {
    const place = known.indexOf(id);
    if (place >= 0) known.splice(place, 1);
    remember();
  }

  // ---- sending ----

  function follow(ticket) {
    const { job, error } = JSON.parse(ticket);
    if (error) {
      setForever(false);
      return showError(error);
    }
    if (known.includes(job)) return;
    showError(null);
    showNotes([]);
    known.push(job);
    remember();
    queue.push({ id: job, have: 0 });
    if (queue.length === 1) showStatus(t("status.sending"), 0);
    bringIntoView();
    poll();
  }

  // In one column the result may lie below the screen, or under the phone's keyboard.
  function bringIntoView() {
    if (innerWidth > 900) return;
    const box = one("#em-stage").getBoundingClientRect();
    if (box.top >= 0 && box.top < innerHeight / 2) return;
    if (document.activeElement?.matches("textarea, input")) document.activeElement.blur();
    one("#em-result").scrollIntoView({ block: "start", behavior: "smooth" });
  }

  // `why`: an Error, where it is known.
  function notSent(why) {
    setForever(false);
    const lost = !why || why instanceof TypeError; // fetch throws TypeErrors
    showError(lost ? { found: t("error.connection") } : (why.parts ?? { found: why.message }));
  }

  // ---- following ----

  async function poll() {
    clearTimeout(timer);
    if (asking || !queue.length) return;
    asking = true;
    const job = queue[0];
    let wait = WAIT.running;
    try {
      const view = await ask(`jobs/${encodeURIComponent(job.id)}?have=${job.have}`);
      apply(job, view);
      wait = view.state === "waiting" ? WAIT.waiting : WAIT.running;
    } catch (error) {
      if (error.status === 404) {
        queue.shift();
        forget(job.id);
      } else {
        wait = WAIT.lost;
        showStatus(t("status.lost"), null);
      }
    }
    asking = false;
    drawButtons();
    if (queue.length) timer = setTimeout(poll, document.hidden ? Math.max(wait, WAIT.hidden) : wait);
  }

  function apply(job, view) {
    last = view;
    if (view.pictures.length) emulsion.pictures.dropPreview();
    emulsion.pictures.setLive(view.state === "running");
    emulsion.pictures.add(job.id, view.pictures);
    job.have += view.pictures.length;
    if (view.state === "running") emulsion.pictures.setPreview(job.id, view.preview);
    if (view.notes.length) showNotes(view.notes);
    if (OVER.includes(view.state)) finish(job, view);
    else showStatus(describe(view), view.state === "running" ? view.progress : 0);
  }

  function finish(job, view) {
    queue.splice(queue.indexOf(job), 1);
    emulsion.pictures.setLive(false);
    document.title = "Emulsion";
    if (view.state !== "done") setForever(false);
    if (view.state === "failed") showError({ found: view.error || t("error.unknown") });
    showStatus(outcome(view), null);
    if (forever && !queue.length) one("#em-generate")?.click();
  }

  // The last word on a job.
  function outcome(view) {
    return t(`status.${view.state}`, { time: duration(view.seconds ?? 0) });
  }

  function translate() {
    drawButtons();
    if (OVER.includes(last?.state) && one("#em-status.em-over:not([hidden])")) showStatus(outcome(last), null);
  }

  // ---- words ----

  function duration(seconds) {
    if (seconds < 9.95) return t("time.seconds", { seconds: (Math.round(seconds * 10) / 10).toString() });
    const whole = Math.round(seconds);
    if (whole < 60) return t("time.seconds", { seconds: whole });
    return t("time.minutes", { minutes: Math.floor(whole / 60), seconds: whole % 60 });
  }

  function describe(view) {
    if (view.state === "waiting") {
      if (view.worker === "broken") return [t("page.broken"), emulsion.said(view.workerError)].filter(Boolean).join(": ");
      if (view.worker === "starting") return t("status.starting");
      return view.position > 1 ? t("status.waiting", { position: view.position }) : t("status.waiting_next");
    }
    if (view.interrupting) return t("status.interrupting");
    const parts = [];
    if (view.stage && view.stage !== "sample" && ["load", "encode", "decode"].includes(view.stage)) {
      parts.push(t(`status.${view.stage}`));
    } else if (view.step > 0) {
      parts.push(t("status.step", { step: view.step, steps: view.steps }));
    } else {
      parts.push(t("status.working"));
    }
    if (view.batches > 1) parts.push(t("status.batch", { batch: view.batch + 1, batches: view.batches }));
    if (view.eta !== null) parts.push(t("status.left", { time: duration(Math.max(1, Math.round(view.eta))) }));
    if (view.stopping) parts.push(t("status.stopping"));
    return parts.join(" · ");
  }

  // ---- showing ----

  // `progress` null hides the bar: the text is a last word.
  function showStatus(text, progress) {
    const box = one("#em-status");
    if (!box) return;
    box.hidden = !text;
    box.classList.toggle("em-over", progress === null);
    one("#em-status-text").textContent = text;
    const percent = Math.round((progress ?? 0) * 100);
    one("#em-bar").style.width = `${percent}%`;
    one(".em-bar").setAttribute("aria-valuenow", percent);
    one("#em-run")?.style.setProperty("--em-progress", `${progress === null ? 0 : percent}%`);
    if (progress !== null) document.title = percent ? `${percent} % · Emulsion` : "Emulsion";
  }

  function showError(error) {
    const box = one("#em-error");
    if (!box) return;
    box.hidden = !error;
    for (const part of ["found", "wanted", "remedy"]) {
      emulsion.say(one(`#em-error-${part}`), error?.[part]);
      one(`#em-error-${part}`).hidden = !error?.[part];
    }
  }

  function showNotes(notes) {
    const list = one("#em-notes");
    if (!list) return;
    list.hidden = !notes.length;
    list.replaceChildren(...notes.map((note) => emulsion.say(document.createElement("li"), note)));
  }

  function drawButtons() {
    const busy = queue.length > 0;
    document.body.classList.toggle("em-busy", busy);
    one("#em-skip")?.toggleAttribute("disabled", !(last?.batches > 1 || last?.state !== "running"));
    const more = one("#em-status-more");
    if (!more) return;
    more.textContent = queue.length > 1 ? t("status.more", { count: queue.length - 1 }) : "";
    one("#em-clear-waiting").hidden = queue.length < 2;
  }

  // ---- wishes ----

  async function wish(name) {
    if (!queue.length) return;
    if (name !== "skip") setForever(false);
    if (name === "interrupt") {
      showStatus(t("status.interrupting"), last?.state === "running" ? last.progress : 0);
    }
    try {
      await send(`jobs/${encodeURIComponent(queue[0].id)}/${name}`);
    } catch (error) {
      if (!error.status) showStatus(t("status.lost"), null);
    }
    poll();
  }

  async function clearWaiting() {
    for (const job of queue.splice(1)) {
      await send(`jobs/${encodeURIComponent(job.id)}/interrupt`).catch(() => {});
      forget(job.id);
    }
    drawButtons();
  }

  function setForever(value) {
    forever = value;
    one("#em-forever")?.setAttribute("aria-pressed", String(value));
  }

  function toggleForever() {
    setForever(!forever);
    if (forever && !queue.length) one("#em-generate").click();
  }

  // ---- what other parts ask ----

  function seedOfShown(kind, otherwise) {
    return emulsion.pictures.shown()?.[kind] || otherwise;
  }

  function selection() {
    const picture = emulsion.pictures.shown();
    return picture ? `${picture.job}/${picture.index}` : "";
  }

  // After a reload: pictures of jobs that are over come back at once, the others are followed again.
  async function restore() {
    for (const id of [...known]) {
      try {
        const view = await ask(`jobs/${encodeURIComponent(id)}`);
        emulsion.pictures.add(id, view.pictures);
        if (["waiting", "running"].includes(view.state)) queue.push({ id, have: view.pictures.length });
      } catch (error) {
        if (error.status === 404) forget(id);
      }
    }
    drawButtons();
    poll();
  }

  onAppear("#em-result", restore);
  for (const [id, act] of [
    ["em-interrupt", () => wish("interrupt")],
    ["em-skip", () => wish("skip")],
    ["em-stop-after", () => wish("stop_after")],
    ["em-forever", toggleForever],
    ["em-clear-waiting", clearWaiting],
    ["em-error-close", () => showError(null)],
  ]) {
    onAppear(`#${id}`, (button) => (button.onclick = act));
  }
  document.addEventListener("visibilitychange", () => document.hidden || poll());
  document.addEventListener("emulsion:language", translate);

  emulsion.jobs = { follow, notSent, wish, seedOfShown, selection, last: () => known.at(-1) ?? "", busy: () => queue.length > 0 };
})();
