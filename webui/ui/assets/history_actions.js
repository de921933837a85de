// What can be done with pictures of the gallery, from its grid, its bar and its enlarged view.
"use strict";

(() => {
  const { one, input, setInput, t, ask, send, address, toast, complain } = emulsion;
  const { history } = emulsion;
  const AT_ONCE = 2000; // the server's limit

  const here = ["localhost", "127.0.0.1", "[::1]"].includes(location.hostname);

  // A second press while the first is under way is the same wish.
  function once(act) {
    let running = null;
    return (...values) => (running ??= act(...values).finally(() => (running = null)));
  }

  async function attempt(act) {
    try {
      return await act();
    } catch (error) {
      complain(error);
      return null;
    }
  }

  // ---- marks ----

  const mark = (pictures, marks) =>
    attempt(async () => {
      await Promise.all(pictures.map((picture) => history.mark(picture, marks)));
    });

  // All become favourites, or, where all are, none.
  const favour = (pictures) => mark(pictures, { favourite: !pictures.every((picture) => picture.favourite) });

  // F and 0 to 5; tells whether the key was one of them.
  function markByKey(key, pictures) {
    if (key.toLowerCase() === "f") favour(pictures);
    else if (/^[0-5]$/.test(key)) mark(pictures, { rating: Number(key) });
    else return false;
    return true;
  }

  // ---- trash ----

  // Whether they went there.
  const throwAway = (wanted) =>
    attempt(async () => {
      const { trash, ids } = (await history.throwAway(wanted.slice(0, AT_ONCE))) ?? {};
      if (!trash) return false;
      const said = ids.length === 1 ? t("history.deleted_one") : t("history.deleted", { count: ids.length });
      toast([said], { action: t("history.undo"), act: () => bringBack(trash) });
      return true;
    });

  const bringBack = (trash) =>
    attempt(async () => {
      await send("history/restore", { trash });
      await history.reload();
      return true;
    });

  // What was thrown away together comes back together.
  const openTrash = once(() =>
    attempt(async () => {
      const { make, button, day, dialog } = emulsion.elements;
      const { thrown } = await ask("history/trash");
      if (emulsion.tabs.current() !== "history") return; // nobody is waiting for it any more
      const row = ({ trash, names, count, moved }) => {
        const words = names.join(", ") + (count > names.length ? " …" : "");
        const told = make("small", { textContent: `${counted(count)} · ${day(moved)}` });
        const line = make("li", {}, make("span", {}, make("strong", { textContent: words }), told));
        const back = button("library.restore", async () => {
          back.disabled = true;
          if (await bringBack(trash)) line.remove();
          back.disabled = false;
        });
        line.append(back);
        return line;
      };
      const list = thrown.length
        ? make("ul", { className: "em-trash" }, ...thrown.map(row))
        : make("p", { i18n: "library.trash.empty" });
      const close = button("button.close", () => box.close());
      const foot = make("div", { className: "em-dialog-row" }, make("span", { className: "em-space" }), close);
      const box = dialog("", make("h2", { i18n: "library.trash" }), make("p", { i18n: "library.trash.explain" }), list, foot);
    }),
  );

  const counted = (total) =>
    total === 1 ? t("history.count_one") : t("history.count", { count: total.toLocaleString(emulsion.locale()) });

  // ---- files ----

  function save(url, name) {
    const link = Object.assign(document.createElement("a"), { href: url, download: name });
    link.click();
  }

  const zip = once(async (pictures) => {
    const headers = { "Content-Type": "application/json" };
    const body = JSON.stringify({ ids: pictures.slice(0, AT_ONCE).map((picture) => picture.id) });
    await attempt(async () => {
      toast([t("history.packing")]);
      const answer = await fetch(address("history/zip"), { method: "POST", headers, body });
      if (!answer.ok) throw Object.assign(new Error(), { parts: (await answer.json().catch(() => ({}))).error ?? {} });
      const url = URL.createObjectURL(await answer.blob());
      save(url, "pictures.zip");
      setTimeout(() => URL.revokeObjectURL(url), 60000);
      one(".em-toast")?.remove();
    });
  });

  const download = (picture) => save(history.link(picture.file), picture.name);
  const openFolder = (picture) => attempt(() => ask(`history/${picture.id}/folder`, { method: "POST" }));

  // ---- to the studio ----

  async function fileOf(picture) {
    const answer = await fetch(history.link(picture.file));
    if (!answer.ok) throw new Error(t("studio.gone"));
    return new File([await answer.blob()], picture.name, { type: answer.headers.get("Content-Type") ?? "" });
  }

  // Everything that the picture was made with. Without a text of this form, the whole file is looked at.
  const use = (picture) =>
    attempt(async () => {
      if (picture.infotext) emulsion.settings.apply(picture.infotext);
      emulsion.tabs.open("txt2img");
      if (!picture.infotext) await emulsion.settings.applyFile(await fileOf(picture));
    });

  const showInfo = (picture) => emulsion.pictureInfo.show(fileOf(picture));

  function useSeed(picture) {
    setInput(input("em-seed"), picture.seed);
    emulsion.tabs.open("txt2img");
    toast([t("history.seed_set", { seed: picture.seed })]);
  }

  function sendTo(tab, picture) {
    const { name, width, height } = picture;
    return emulsion.studio.sendTo(tab, { url: history.link(picture.file), name, width, height });
  }

  emulsion.historyActions = {
    ...{ here, mark, favour, markByKey, throwAway, zip, download, openFolder, use, useSeed, showInfo, sendTo, counted, openTrash },
  };
})();
