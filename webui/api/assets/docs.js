// The page /docs: what openapi.json says, with a search, and a way to try what only reads.
"use strict";
(() => {
  const root = document.documentElement;
  const SHOWN_CHARACTERS = 20000;
  const DEPTH = 3; // of objects within objects
  let words = {};
  let spec = null;

  const t = (key, values = {}) =>
    (words[key] || key).replace(/\{(\w+)\}/g, (whole, name) => (name in values ? String(values[name]) : whole));

  function make(tag, facts = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(facts)) {
      if (name === "class") element.className = value;
      else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else element.setAttribute(name, value);
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  function resolved(schema) {
    const name = schema && schema.$ref && schema.$ref.split("/").pop();
    return name ? { title: name, ...spec.components.schemas[name] } : schema || {};
  }

  function typeOf(schema) {
    const known = resolved(schema);
    const choices = known.anyOf || known.oneOf || known.allOf;
    if (choices) return choices.map(typeOf).join(" | ");
    if (known.const !== undefined) return JSON.stringify(known.const);
    if (known.type === "array") return known.items ? `[${typeOf(known.items)}]` : "array";
    if (known.properties) return known.title || "object";
    if (known.format === "binary") return "file";
    return known.type || "any";
  }

  function objectOf(schema) {
    const known = resolved(schema);
    if (known.properties) return known;
    if (known.items) return objectOf(known.items);
    const choice = (known.anyOf || known.oneOf || known.allOf || []).map(objectOf).find((one) => one);
    return choice || null;
  }

  function meaning(schema) {
    const known = resolved(schema);
    const parts = [(schema && schema.description) || known.description];
    if (known.enum) parts.push(t("one", { values: known.enum.join(", ") }));
    if (known.minimum !== undefined && known.maximum !== undefined) {
      parts.push(t("range", { low: known.minimum, high: known.maximum }));
    }
    if (schema && schema.default !== undefined && schema.default !== null && schema.default !== "") {
      parts.push(t("default", { value: JSON.stringify(schema.default).slice(0, 80) }));
    }
    return parts.filter(Boolean).join(" · ");
  }

  function rows(object, depth, prefix = "") {
    const found = [];
    for (const [name, schema] of Object.entries(object.properties || {})) {
      const must = (object.required || []).includes(name);
      found.push([prefix + name, typeOf(schema), meaning(schema), must]);
      const inside = objectOf(schema);
      if (inside && depth > 1) {
        const list = resolved(schema).type === "array" ? "[]" : "";
        found.push(...rows(inside, depth - 1, `${prefix}${name}${list}.`));
      }
    }
    return found;
  }

  function table(found) {
    const head = make("tr", {}, ...["name", "type", "about"].map((key) => make("th", {}, t(key))));
    const body = found.map(([name, type, about, must]) =>
      make(
        "tr",
        {},
        make("td", {}, make("code", {}, name), must ? make("span", { class: "must" }, ` ${t("required")}`) : null),
        make("td", {}, make("code", {}, type)),
        make("td", {}, about),
      ),
    );
    return make("div", { class: "scroll" }, make("table", {}, make("thead", {}, head), make("tbody", {}, ...body)));
  }

  function schemaPart(title, content, isBody) {
    const [kind, media] = Object.entries(content || {})[0] || [];
    if (!kind) return [];
    const heading = make("h3", {}, `${title} `, make("code", {}, kind));
    const object = media.schema && objectOf(media.schema);
    const type = media.schema ? typeOf(media.schema) : "";
    if (!object) return [heading, type && type !== "any" ? make("p", {}, make("code", {}, type)) : null];
    return [heading, make("p", {}, make("code", {}, type)), table(rows(object, DEPTH).map((row) => [...row.slice(0, 3), isBody && row[3]]))];
  }

  function sample(schema) {
    const object = objectOf(schema);
    if (!object) return {};
    const names = object.required && object.required.length ? object.required : Object.keys(object.properties).slice(0, 1);
    return Object.fromEntries(
      names.map((name) => {
        const inside = objectOf(object.properties[name]);
        if (inside && inside.properties.prompt) return [name, { prompt: "a red apple" }];
        return [name, inside ? {} : name === "prompt" ? "a red apple" : `…`];
      }),
    );
  }

  function curl(method, path, operation) {
    const address = new URL(`.${path}`, document.baseURI).href.replace(/%7B/g, "{").replace(/%7D/g, "}");
    const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}'${address}'`];
    const content = (operation.requestBody && operation.requestBody.content) || {};
    if (content["application/json"]) {
      lines.push("-H 'Content-Type: application/json'", `-d '${JSON.stringify(sample(content["application/json"].schema))}'`);
    } else if (content["multipart/form-data"]) {
      const fields = sample(content["multipart/form-data"].schema);
      lines.push(...Object.keys(fields).map((name) => `-F ${name}=${name === "image" ? "@picture.png" : `'${fields[name]}'`}`));
    } else if (Object.keys(content).length) {
      lines.push("--data-binary @picture.png");
    }
    return make("pre", {}, lines.join(" \\\n  "));
  }

  function tryPart(path, operation) {
    const inputs = (operation.parameters || []).filter((one) => one.in !== "header");
    const fields = inputs.map((one) => [one, make("input", { name: one.name, autocomplete: "off" })]);
    const shown = make("pre", { hidden: "", role: "status" });
    async function send(event) {
      event.preventDefault();
      shown.hidden = false;
      shown.textContent = t("sending");
      let place = path;
      const query = new URLSearchParams();
      for (const [one, input] of fields) {
        if (one.in === "path") place = place.replace(`{${one.name}}`, encodeURIComponent(input.value));
        else if (input.value) query.set(one.name, input.value);
      }
      try {
        const answer = await fetch(new URL(`.${place}${query.size ? `?${query}` : ""}`, document.baseURI));
        const kind = answer.headers.get("content-type") || "";
        let text = /json|text/.test(kind) ? await answer.text() : kind;
        if (kind.includes("application/json")) text = JSON.stringify(JSON.parse(text), null, 2);
        const cut = text.length > SHOWN_CHARACTERS ? `\n${t("cut")}` : "";
        shown.textContent = `${answer.status} ${answer.statusText}\n${text.slice(0, SHOWN_CHARACTERS)}${cut}`;
      } catch (error) {
        shown.textContent = String(error);
      }
    }
    const labels = fields.map(([one, input]) => make("label", {}, one.name, input));
    const form = make("form", { onsubmit: send }, ...labels, make("button", { type: "submit" }, t("send")));
    return [make("h3", {}, t("try")), form, shown];
  }

  function inside(method, path, operation) {
    const parameters = (operation.parameters || []).map((one) => [
      one.name,
      typeOf(one.schema),
      [one.description, meaning(one.schema)].filter(Boolean).join(" · "),
      one.required,
    ]);
    const good = Object.entries(operation.responses).find(([status]) => /^2/.test(status));
    const streams = good && good[1].content && good[1].content["text/event-stream"];
    return make(
      "div",
      { class: "inside" },
      shortOf(operation) === operation.description ? null : make("p", {}, operation.description || ""),
      ...(parameters.length ? [make("h3", {}, t("parameters")), table(parameters)] : []),
      ...schemaPart(t("body"), operation.requestBody && operation.requestBody.content, true),
      ...schemaPart(`${t("answer")} ${good ? good[0] : ""}`, good && good[1].content, false),
      make("h3", {}, t("example")),
      curl(method, path, operation),
      ...(method === "get" && !streams ? tryPart(path, operation) : []),
    );
  }

  const shortOf = (operation) => (operation.description || operation.summary || "").split(/(?<=[.!?])\s/)[0];

  function entry(method, path, operation) {
    const about = shortOf(operation);
    const element = make(
      "details",
      { id: operation.operationId },
      make(
        "summary",
        {},
        make("span", { class: `method ${method}` }, method),
        make("code", {}, path),
        make("span", {}, about),
      ),
    );
    element.addEventListener("toggle", () => {
      if (element.open && !element.querySelector(".inside")) element.append(inside(method, path, operation));
    });
    element.dataset.words = `${method} ${path} ${operation.description || ""}`.toLowerCase();
    return element;
  }

  function draw() {
    const groups = document.getElementById("groups");
    const found = spec.tags.map((tag) => {
      const entries = Object.entries(spec.paths).flatMap(([path, methods]) =>
        Object.entries(methods)
          .filter(([, operation]) => operation.tags.includes(tag.name))
          .map(([method, operation]) => entry(method, path, operation)),
      );
      return make("section", {}, make("h2", {}, tag.name), make("p", {}, words[`about.${tag.name}`] || tag.description || ""), ...entries);
    });
    groups.replaceChildren(...found);
    groups.setAttribute("aria-busy", "false");
    search();
  }

  function search() {
    const wanted = document.getElementById("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let all = 0;
    for (const section of document.querySelectorAll("section")) {
      let here = 0;
      for (const element of section.querySelectorAll("details")) {
        const fits = wanted.every((word) => element.dataset.words.includes(word));
        element.hidden = !fits;
        here += fits ? 1 : 0;
        all += 1;
      }
      section.hidden = here === 0;
      shown += here;
    }
    document.getElementById("count").textContent = shown ? t("count", { shown, all }) : t("none");
  }

  async function load(name) {
    const answer = await fetch(name);
    if (!answer.ok) throw new Error(`${answer.status} ${answer.statusText}`);
    return answer.json();
  }

  async function speak(language) {
    words = await load(`docs/docs.${language}.json`);
    root.lang = language;
    document.title = t("title");
    for (const element of document.querySelectorAll("[data-text]")) element.textContent = t(element.dataset.text);
    const field = document.getElementById("search");
    field.placeholder = t("search");
    field.setAttribute("aria-label", t("search"));
    const button = document.getElementById("language");
    button.textContent = t("language");
    button.lang = language === "en" ? "zh-CN" : "en";
    if (spec) draw();
  }

  async function begin() {
    const chosen = root.dataset.language;
    const first = (navigator.languages || [navigator.language])[0] || "en";
    await speak(chosen === "en" || chosen === "zh-CN" ? chosen : first.toLowerCase().startsWith("zh") ? "zh-CN" : "en");
    document.getElementById("search").addEventListener("input", search);
    document.getElementById("language").addEventListener("click", () => speak(root.lang === "en" ? "zh-CN" : "en"));
    try {
      spec = await load("openapi.json");
      draw();
      const named = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
      if (named) {
        named.open = true;
        named.scrollIntoView();
      }
    } catch (error) {
      document.getElementById("count").textContent = t("failed", { reason: error.message });
    }
  }

  begin();
})();
