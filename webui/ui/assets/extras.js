// The Extras panel: enlarges pictures without a prompt. Its choices are kept in the browser, its job through a reload.
"use strict";

(() => {
  const { one, onAppear, t, ask, send, complain, toast, stored, store, tasks } = emulsion;
  const sources = emulsion.extrasSources;
  const KEY = "emulsion.extras";
  const RUN_KEY = "emulsion.extras.run";
  const NONE = "None";
  const FIRST = "emulsion-2x"; // what is chosen at first
  const DEFAULTS = {
    ...{ from: "files", mode: "by", scale: 2, max_side: 0, width: 1024, height: 1024, crop: true },
    ...{ upscaler: "", upscaler_2: NONE, visibility_2: 0.5, save: true, folder: "", out: "", faces: {} },
  };
  let choices = null; // {upscalers, restorers, folders} of the server
  let values = { ...DEFAULTS, ...remembered("localStorage", KEY) };
  let run = null; // {job, sources}: the last one
  let loading = null; // what there is to choose, on its way or here
  let starting = false;

  function remembered(area, key) {
    try {
      const kept = JSON.parse(stored(area, key) ?? "{}");
      return kept && typeof kept === "object" ? kept : {};
    } catch {
      return {};
    }
  }

  const here = (selector) => [...document.querySelectorAll(`#em-extras ${selector}`)];
  const fromFolder = () => values.from === "folder" && Boolean(choices?.folders);
  const second = () => values.upscaler_2 !== NONE;

  function set(name, value) {
    values = { ...values, [name]: value };
    store("localStorage", KEY, JSON.stringify(values));
    draw();
  }

  // ---- what there is to choose ----

  const load = async () => one("#em-extras") && (loading ??= begin());

  async function begin() {
    try {
      choices = await ask("extras");
    } catch (error) {
      loading = null;
      return complain(error);
    }
    const { upscalers, restorers } = choices;
    const first = restorers.length ? upscalers : upscalers.filter((name) => name !== NONE); // alone it does nothing
    fill("upscaler", first, first.includes(FIRST) ? FIRST : first[0]);
    fill("upscaler_2", upscalers, NONE);
    one("#em-extras-from").hidden = !choices.folders;
    one("#em-extras-faces").replaceChildren(...restorers.flatMap(face));
    one("#em-extras-faces").hidden = !restorers.length;
    draw();
    if (!run) resume();
  }

  function fill(name, names, otherwise) {
    const [select] = here(`[data-extras=${name}]`);
    select.replaceChildren(...names.map((one) => new Option(one === NONE ? t("extras.none") : one, one)));
    if (!names.includes(values[name])) values[name] = otherwise;
  }

  // How much of a face restorer's work is taken, and its own weight.
  function face(name) {
    const { make } = emulsion.elements;
    const parts = {
      visibility: ["extras.face.visibility", "extras.face.visibility.info"],
      weight: ["extras.face.weight", "extras.face.weight.info"],
    };
    return Object.entries(parts).map(([part, [key, info]]) => {
      const words = make("span", { textContent: t(key, { name }) });
      const value = values.faces[name]?.[part] ?? 0;
      const field = make("input", { type: "number", className: "em-input", min: 0, max: 1, step: "any", value });
      field.oninput = () => {
        set("faces", { ...values.faces, [name]: { ...values.faces[name], [part]: share(field.value) } });
      };
      return make("div", { className: "em-explained", data: { info } }, make("span", { className: "em-name" }, words), field);
    });
  }

  const share = (text) => Math.min(1, Math.max(0, Number(text) || 0));

  // The options that once enlarged a picture; those that name what is not here are told.
  async function takeOver({ restorers = [], ...options }) {
    await load();
    if (!choices) return;
    const before = values;
    const missing = [];
    for (const name of ["upscaler", "upscaler_2"]) {
      if (!options[name] || choices.upscalers.includes(options[name])) continue;
      missing.push(options[name]);
      delete options[name];
    }
    const known = restorers.filter(({ name }) => choices.restorers.includes(name) || !missing.push(name));
    const faces = Object.fromEntries(known.map(({ name, ...face }) => [name, face]));
    const neutral = { upscaler_2: NONE, max_side: 0 };
    const adopt = (taken) => {
      values = taken;
      store("localStorage", KEY, JSON.stringify(values));
      one("#em-extras-faces").replaceChildren(...choices.restorers.flatMap(face));
      draw();
    };
    adopt({ ...values, ...neutral, ...options, faces });
    const words = [t("extras.taken"), missing.length ? t("extras.missing", { names: missing.join(", ") }) : ""];
    toast(words.filter(Boolean), { action: t("button.undo"), act: () => adopt(before) });
  }

  // ---- drawing ----

  function draw() {
    if (!one("#em-extras")) return;
    for (const field of here("[data-extras]")) {
      const value = values[field.dataset.extras];
      if (field.type === "checkbox") field.checked = value;
      else if (document.activeElement !== field) field.value = value;
    }
    for (const slider of here("[data-share]")) slider.value = values[slider.dataset.share];
    for (const radio of here("input[type=radio]")) radio.checked = radio.value === values[radio.name.slice("em-extras-".length)];
    one("#em-extras-by").hidden = values.mode !== "by";
    one("#em-extras-to").hidden = values.mode !== "to";
    one("#em-extras-visibility").hidden = !second();
    one("#em-extras-files").hidden = fromFolder();
    one("#em-extras-folders").hidden = !fromFolder();
    for (const name of ["folder", "out"]) {
      const field = one(`#em-extras-${name}`);
      if (document.activeElement !== field) field.value = values[name];
    }
    const ready = fromFolder() ? values.folder.trim() : sources.list().length && !sources.coming();
    one("#em-extras-go").disabled = !choices || !ready || starting || emulsion.extrasResult.busy();
    one("#em-extras-size").textContent = sizes();
  }

  // "512 × 512 → 1024 × 1024" where there is one picture.
  function sizes() {
    const list = sources.list();
    if (fromFolder() || list.length !== 1 || values.upscaler === NONE) return "";
    const { width, height } = list[0];
    let [w, h] = [values.width, values.height];
    if (values.mode === "by" || !values.crop) {
      const limit = values.max_side ? values.max_side / Math.max(width, height) : Infinity;
      const scale = values.mode === "by" ? Math.min(values.scale, limit) : Math.max(w / width, h / height);
      [w, h] = [width, height].map((side) => Math.max(1, Math.round(side * scale)));
    }
    return `${width} × ${height} → ${w} × ${h}`;
  }

  // ---- running ----

  function options() {
    const { upscaler, upscaler_2, mode, scale, max_side, width, height, crop } = values;
    const names = { upscaler, upscaler_2, visibility_2: second() ? values.visibility_2 : 0 };
    const restorers = choices.restorers
      .map((name) => ({ name, visibility: 0, weight: 0, ...values.faces[name] }))
      .filter(({ visibility }) => visibility > 0);
    return { ...names, mode, scale, max_side, width, height, crop, restorers };
  }

  async function start() {
    const list = sources.list();
    const where = fromFolder()
      ? { folder: values.folder.trim(), out: values.out.trim() }
      : { images: list.map(({ id }) => id), names: list.map(({ name }) => name) };
    starting = true;
    draw();
    try {
      const job = await tasks.start("extras", { ...where, options: options(), save: values.save });
      run = { job, sources: fromFolder() ? [] : list };
      store("sessionStorage", RUN_KEY, JSON.stringify(run));
      starting = false;
      if (innerWidth <= 900) one("#em-extras-result").scrollIntoView({ block: "start", behavior: "smooth" });
      await emulsion.extrasResult.follow(run);
    } catch (error) {
      complain(error);
    }
    starting = false;
    draw();
  }

  // After a reload: the last job, if the server still knows it.
  async function resume() {
    const kept = remembered("sessionStorage", RUN_KEY);
    if (typeof kept.job !== "string" || !Array.isArray(kept.sources)) return;
    run = kept;
    await emulsion.extrasResult.follow(run).catch(() => {});
    draw();
  }

  const wish = (name) => run && send(`jobs/${encodeURIComponent(run.job)}/${name}`).catch(complain);

  // ---- start ----

  function attach() {
    for (const field of here("[data-extras], [data-share]")) {
      const name = field.dataset.extras ?? field.dataset.share;
      const read = {
        checkbox: () => field.checked,
        "select-one": () => field.value,
      }[field.type];
      field.oninput = () => {
        if (read) return set(name, read());
        if (field.value !== "" && field.validity.valid) set(name, Number(field.value));
      };
      field.onblur = () => {
        const value = Number(field.value);
        if (field.type !== "number" || !field.value || field.validity.valid) return draw();
        const nearest = Math.min(Number(field.max), Math.max(Number(field.min), value));
        set(name, field.step === "1" ? Math.round(nearest) : nearest); // what cannot be used gives way to what can
      };
    }
    for (const radio of here("input[type=radio]")) {
      radio.onchange = () => set(radio.name.slice("em-extras-".length), radio.value);
    }
    for (const name of ["folder", "out"]) {
      const field = one(`#em-extras-${name}`);
      field.oninput = () => set(name, field.value);
    }
    one("#em-extras-go").onclick = start;
    one("#em-extras-interrupt").onclick = () => wish("interrupt");
    one("#em-extras-skip").onclick = () => wish("skip");
    draw();
    if (emulsion.tabs.current() === "extras") load();
  }

  onAppear("#em-extras", attach);
  document.addEventListener("emulsion:tab", ({ detail }) => detail.name === "extras" && setTimeout(load, 0));
  document.addEventListener("emulsion:extras", draw);
  document.addEventListener("emulsion:send", ({ detail: { to, options } }) => {
    if (to === "extras" && options && Object.keys(options).length) takeOver(options);
  });
  document.addEventListener("emulsion:language", () => {
    if (!choices || !one("#em-extras")) return;
    one("#em-extras-faces").replaceChildren(...choices.restorers.flatMap(face));
    here(`option[value=${NONE}]`).forEach((option) => (option.textContent = t("extras.none")));
  });
})();
