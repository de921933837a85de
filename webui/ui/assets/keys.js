// Keys. None of them acts while an input method is composing a word, and none takes a key away from another field.
"use strict";

(() => {
  const { one } = emulsion;

  // Whether Escape belongs to something that is open: a dialog, a menu, an explanation.
  function somethingOpen() {
    const field = document.activeElement;
    return emulsion.closeHelp() || Boolean(one("dialog[open], .em-drawer.em-open")) || field?.getAttribute("aria-expanded") === "true";
  }

  function act(event) {
    const control = event.ctrlKey || event.metaKey;
    if (event.key === "Enter" && control && !event.altKey && !event.shiftKey) {
      if (one("dialog[open]")) return false;
      one("#em-generate")?.click();
      return true;
    }
    if (event.key === "Enter" && event.altKey && !control) {
      if (!emulsion.jobs.busy()) return false;
      emulsion.jobs.wish("skip");
      return true;
    }
    if (event.key === "Escape" && !control && !event.altKey) {
      if (somethingOpen() || !emulsion.jobs.busy()) return false;
      emulsion.jobs.wish("interrupt");
      return true;
    }
    if (!emulsion.prompt.isPrompt(event.target)) return false;
    if (control && !event.altKey && !event.shiftKey && ["ArrowUp", "ArrowDown"].includes(event.key)) {
      emulsion.prompt.edit(event.target, emulsion.prompt.weighted, event.key === "ArrowUp" ? 1 : -1);
      return true;
    }
    if (event.altKey && !control && !event.shiftKey && ["ArrowLeft", "ArrowRight"].includes(event.key)) {
      emulsion.prompt.edit(event.target, emulsion.prompt.moved, event.key === "ArrowLeft" ? -1 : 1);
      return true;
    }
    return false;
  }

  // While it is captured: Gradio's own fields would otherwise see Ctrl+Enter first.
  document.addEventListener(
    "keydown",
    (event) => {
      if (event.isComposing || event.keyCode === 229 || event.defaultPrevented) return;
      if (!act(event)) return;
      event.preventDefault();
      event.stopPropagation();
    },
    true,
  );
})();
