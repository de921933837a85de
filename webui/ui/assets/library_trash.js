// What was deleted, and how it comes back.
"use strict";

(() => {
  const { t, ask, send, toast, complain } = emulsion;
  const { make, button, bytes, day, dialog } = emulsion.elements;
  const { KINDS } = emulsion.cards;

  // Calls `changed()` once the file is back; whether it is.
  async function restore(id, changed) {
    try {
      const { name } = await send(`library/trash/${encodeURIComponent(id)}/restore`);
      toast([t("library.restored", { name })]);
      changed();
      return true;
    } catch (error) {
      complain(error);
      return false;
    }
  }

  async function open() {
    let files;
    try {
      ({ files } = await ask("library/trash"));
    } catch (error) {
      return complain(error);
    }
    const row = (file) => {
      const element = make(
        "li",
        {},
        make(
          "span",
          {},
          make("strong", { textContent: file.name }),
          make("small", {
            textContent: `${t(KINDS[file.kind] ?? "library.kind.checkpoints")} · ${bytes(file.size)} · ${day(file.moved)}`,
          }),
        ),
      );
      element.append(
        button(
          "library.restore",
          async () => (await restore(file.id, () => emulsion.library.changed())) && element.remove(),
        ),
      );
      return element;
    };
    const list = files.length
      ? make("ul", { className: "em-trash" }, ...files.map(row))
      : make("p", { i18n: "library.trash.empty" });
    const close = button("button.close", () => box.close());
    const box = dialog(
      "",
      make("h2", { i18n: "library.trash" }),
      make("p", { i18n: "library.trash.explain" }),
      list,
      make("div", { className: "em-dialog-row" }, make("span", { className: "em-space" }), close),
    );
  }

  emulsion.trash = { open, restore };
})();
