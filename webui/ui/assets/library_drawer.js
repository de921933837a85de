// The library beside the studio: what goes into prompts, without leaving the tab. On phones it covers the screen, and
// keeps the focus as a dialog does.
"use strict";

(() => {
  const { one, onAppear } = emulsion;
  const { make, sign } = emulsion.elements;
  const COVERS = matchMedia("(max-width: 760px)"); // as in library.css
  const REACHED = "button, input, select, textarea, a[href], summary, [tabindex]"; // by the Tab key
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
    tellCover();
    drawer.view.show();
    const first = matchMedia("(hover: hover)").matches ? drawer.view.bar.search : one(".em-drawer .em-close");
    first.focus(); // not in the search on a phone: the keyboard would cover the cards
  }

  function closeDrawer() {
    drawer.element.classList.remove("em-open");
    drawer.opener?.focus();
  }

  // With its tab: whoever has gone on to another one by keys stays there.
  function leave() {
    const within = drawer.element.contains(document.activeElement);
    drawer.element.classList.remove("em-open");
    if (within) drawer.opener?.focus();
  }

  const isOpen = () => Boolean(drawer?.element.classList.contains("em-open"));
  const covers = () => isOpen() && COVERS.matches;
  const tellCover = () => drawer?.element.setAttribute("aria-modal", String(COVERS.matches));

  // From the last element on to the first, and back; a message above the drawer is within reach.
  function keepFocus(event) {
    const parts = [drawer.element, one(".em-toast")].filter(Boolean);
    const all = parts.flatMap((part) => [...part.querySelectorAll(REACHED)]);
    const reached = all.filter((element) => element.tabIndex >= 0 && !element.disabled && element.offsetParent);
    const [from, to] = event.shiftKey ? [reached[0], reached.at(-1)] : [reached.at(-1), reached[0]];
    if (document.activeElement !== from && parts.some((part) => part.contains(document.activeElement))) return;
    event.preventDefault();
    to.focus();
  }
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
    if (event.isComposing || !isOpen() || one("dialog[open]")) return;
    if (event.key === "Tab" && covers()) keepFocus(event);
    if (event.key !== "Escape") return;
    event.preventDefault();
    closeDrawer();
  });
  COVERS.addEventListener("change", tellCover);
  document.addEventListener("emulsion:tab", () => isOpen() && leave());

  emulsion.drawer = { open: openDrawer, close: closeDrawer, isOpen };
})();
