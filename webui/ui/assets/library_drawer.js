// The library beside the studio: what goes into prompts, without leaving the tab. On phones it covers the screen.
"use strict";

(() => {
  const { one, onAppear } = emulsion;
  const { make, sign } = emulsion.elements;
  let drawer = null;

  function openDrawer(opener) {
    if (!drawer) {
      const root = make("div");
      const close = make("button", {
        type: "button",
        className: "em-close",
        i18nLabel: "button.close",
        textContent: "×",
        onclick: () => closeDrawer(),
      });
      const head = make("div", { className: "em-drawer-head" }, make("h2", { i18n: "library.drawer" }), close);
      const element = make(
        "aside",
        { className: "em-drawer", role: "dialog", i18nLabel: "library.drawer" },
        head,
        root,
      );
      document.body.append(element);
      drawer = {
        element,
        view: new emulsion.library.View(root, { name: "drawer", kinds: emulsion.cards.IN_PROMPTS, aside: true }),
      };
    }
    drawer.opener = opener;
    drawer.element.classList.add("em-open");
    document.body.classList.add("em-beside");
    drawer.view.show();
    if (matchMedia("(hover: hover)").matches) drawer.view.bar.search.focus(); // on a phone the keyboard would cover the cards
  }

  function closeDrawer() {
    drawer.element.classList.remove("em-open");
    document.body.classList.remove("em-beside");
    drawer.opener?.focus();
  }

  const isOpen = () => Boolean(drawer?.element.classList.contains("em-open"));
  const toggleDrawer = (opener) => (isOpen() ? closeDrawer() : openDrawer(opener));

  onAppear("#em-prompt textarea", (field) => {
    const button = make(
      "button",
      {
        type: "button",
        className: "em-prompt-tool",
        id: "em-add-lora",
        i18nTitle: "library.drawer.title",
        onclick: () => toggleDrawer(button),
      },
      sign("plus"),
      "LoRA",
    );
    field.closest(".block").append(button);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || event.isComposing || !isOpen() || one("dialog[open]")) return;
    event.preventDefault();
    closeDrawer();
  });
  document.addEventListener("emulsion:tab", () => isOpen() && closeDrawer());

  emulsion.drawer = { open: openDrawer, close: closeDrawer, isOpen };
})();
