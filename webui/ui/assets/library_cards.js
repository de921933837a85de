// One card of the library: what it shows, and what a click on it does.
"use strict";

(() => {
  const { t, toast } = emulsion;
  const { make, sign } = emulsion.elements;
  const KINDS = {
    checkpoints: "library.kind.checkpoints",
    loras: "library.kind.loras",
    embeddings: "library.kind.embeddings",
    hypernetworks: "library.kind.hypernetworks",
    vae: "library.kind.vae",
    aesthetic_embeddings: "library.kind.aesthetic_embeddings",
    upscalers: "library.kind.upscalers",
    controlnet: "library.kind.controlnet",
    ip_adapters: "library.kind.ip_adapters",
    motion_modules: "library.kind.motion_modules",
    diffusion_models: "library.kind.diffusion_models",
    text_encoders: "library.kind.text_encoders",
    image_encoders: "library.kind.image_encoders",
    preview_decoders: "library.kind.preview_decoders",
  };
  const IN_PROMPTS = ["loras", "embeddings", "hypernetworks"];
  const CHOSEN = { checkpoints: "checkpoint", vae: "vae" }; // kind -> field of the quick settings
  const WAYS = { prompt: "library.add", field: "library.choose", none: "library.details" };

  const way = (card) => (IN_PROMPTS.includes(card.kind) ? "prompt" : card.kind in CHOSEN ? "field" : "none");

  // Whether it is in use: in a prompt, or chosen.
  const isOn = (card) =>
    way(card) === "prompt"
      ? emulsion.words.has(card) || (card.kind === "embeddings" && emulsion.words.has(card, true))
      : way(card) === "field" && emulsion.choosing.isShown(CHOSEN[card.kind], card.file);

  // ---- what a click does ----

  // `aside`: the studio can be seen beside the cards, so that nothing has to be told.
  async function use(card, { negative = false, aside = false } = {}) {
    if (card.problem) return toast([t("library.why_not.problem", { problem: emulsion.said(card.problem) })], { bad: true });
    if (way(card) === "prompt") useInPrompt(card, negative && card.kind === "embeddings", aside);
    else if (card.kind === "checkpoints") await choose(card, aside);
    else if (card.kind === "vae") await chooseVae(card);
  }

  function useInPrompt(card, negative, aside) {
    const there = emulsion.words.toggle(card, negative);
    if (there && card.why_not)
      return toast([t("library.added_unfit", { name: card.name }), card.why_not], { bad: true });
    if (aside) return;
    const said = there ? (negative ? "library.added_negative" : "library.added") : "library.removed";
    toast([t(said, { name: card.name })], { action: t("library.to_studio"), act: () => emulsion.tabs.open("txt2img") });
  }

  async function choose(card, aside) {
    const values = await emulsion.choosing.set({ checkpoint: card.file });
    if (!values || aside) return;
    toast([t("library.chosen", { name: card.name })], {
      action: t("library.to_studio"),
      act: () => emulsion.tabs.open("txt2img"),
    });
  }

  async function chooseVae(card) {
    if (!(await emulsion.choosing.set({ vae: card.file }))) return;
    const checkpoint = emulsion.choosing.shown("checkpoint");
    const lines = [t("library.chosen", { name: card.name }), card.why_not];
    toast(lines, {
      action: t("library.vae.remember", { checkpoint: bare(checkpoint) }),
      act: () => rememberVae(checkpoint, card.file),
    });
  }

  const bare = (title) => title.replace(/ \[[0-9a-f]+\]$/, "").replace(/\.(safetensors|ckpt)$/, "");

  // From now on "Automatic" means this VAE with this checkpoint; null forgets it.
  async function rememberVae(checkpoint, vae) {
    try {
      const headers = { "Content-Type": "application/json" };
      await emulsion.ask("vae", { method: "PUT", headers, body: JSON.stringify({ checkpoint, vae }) });
    } catch (error) {
      return emulsion.complain(error);
    }
    if (vae && emulsion.choosing.isShown("vae", vae)) await emulsion.choosing.set({ vae: "Automatic" });
    const said = { checkpoint: bare(checkpoint), vae: bare(vae ?? "") };
    toast([
      t(vae === null ? "library.vae.forgotten" : vae === "None" ? "library.vae.own" : "library.vae.remembered", said),
    ]);
  }

  // ---- what it shows ----

  // Neighbours in the alphabet get colours that are far apart.
  function hue(text) {
    let sum = 7;
    for (const sign of text) sum = (sum * 31 + sign.codePointAt(0)) % 65521;
    return Math.round(sum * 137.5) % 360;
  }

  // Two letters of the name: of Chinese ones the first two, else those of its first two words.
  function initials(name) {
    const words = name.match(/\p{L}+/gu) ?? [name];
    const [first, second] = words.map((word) => [...word]);
    if (/\p{Script=Han}/u.test(first[0])) return first.slice(0, 2).join("");
    return `${first[0]}${second?.[0] ?? first[1] ?? ""}`.toUpperCase();
  }

  function picture(card, big = false) {
    const box = make("span", { className: "em-model-picture" });
    if (card.preview) {
      const image = make("img", {
        alt: "",
        decoding: "async",
        loading: big ? "eager" : "lazy",
        src: emulsion.address(card.preview.replace(/^\/ui\//, "")),
      });
      image.onerror = () => image.replaceWith(blank(card));
      box.append(image);
    } else box.append(blank(card));
    return box;
  }

  function blank(card) {
    const element = make("span", { className: "em-model-blank", textContent: initials(card.name) });
    element.style.setProperty("--em-hue", hue(card.name));
    return element;
  }

  const SHORT = {
    "Stable Diffusion 1": "SD 1",
    "Stable Diffusion 2": "SD 2",
    "Stable Diffusion XL": "SDXL",
    "Stable Diffusion XL refiner": "SDXL refiner",
  };
  const family = (card) => SHORT[card.family] ?? card.family;

  // Short facts under the name.
  function facts(card) {
    const rank = card.rank ? t("library.rank", { rank: card.rank }) : "";
    return [family(card), rank].filter(Boolean).join(" · ") || emulsion.elements.bytes(card.size);
  }

  function badges(card) {
    const found = [];
    const add = (className, key, title) =>
      found.push(make("span", { className: `em-mark ${className}`, textContent: t(key), title }));
    if (card.problem) add("em-bad", "library.badge.problem", emulsion.said(card.problem));
    else if (card.why_not) add("em-warn", "library.badge.unfit", card.why_not);
    if (card.misplaced) add("em-warn", "library.badge.misplaced", t("library.misplaced", { place: card.place }));
    if (!card.read) add("", "library.badge.unread", t("library.unread"));
    return found;
  }

  // The element of a card. `acts`: use(card, event), open(card), star(card).
  function draw(card, acts) {
    const on = isOn(card);
    const hint = way(card) === "prompt" && card.insert ? card.insert : t(WAYS[way(card)]);
    const main = make(
      "button",
      {
        type: "button",
        className: "em-model-main",
        title: [card.title !== card.name && card.title, emulsion.said(card.why_not), hint].filter(Boolean).join("\n"),
        onclick: (event) => acts.use(card, event),
      },
      picture(card),
      make(
        "span",
        { className: "em-model-words" },
        make("strong", { textContent: card.name }),
        make("small", { textContent: facts(card) }),
      ),
    );
    if (way(card) !== "none") main.setAttribute("aria-pressed", String(on));
    const star = make(
      "button",
      {
        type: "button",
        className: "em-model-star",
        i18nLabel: "library.favourite",
        i18nTitle: "library.favourite",
        onclick: () => acts.star(card),
      },
      sign("star"),
    );
    star.setAttribute("aria-pressed", String(card.favourite));
    const more = make(
      "button",
      {
        type: "button",
        className: "em-model-more",
        i18nLabel: "library.details",
        i18nTitle: "library.details",
        onclick: () => acts.open(card),
      },
      sign("info"),
    );
    const speed = card.recipe && !card.problem && speedButton(card);
    const over = make(
      "span",
      { className: "em-model-over" },
      make("span", { className: "em-model-badges" }, ...badges(card)),
      speed,
    );
    const item = make(
      "div",
      { className: "em-model", role: "listitem", data: { id: card.id } },
      main,
      over,
      star,
      more,
    );
    item.classList.toggle("em-unfit", Boolean(card.why_not));
    return item;
  }

  const speedButton = (card, className = "em-model-speed") =>
    make("button", {
      type: "button",
      className,
      textContent: `⚡ ${card.recipe.label}`,
      title: `${t("library.recipe.use")}\n${emulsion.speed.told(card.recipe)}`,
      onclick: () => emulsion.speed.apply(card.recipe),
    });

  emulsion.cards = { KINDS, IN_PROMPTS, CHOSEN, way, isOn, use, draw, picture, family, rememberVae, bare };
})();
