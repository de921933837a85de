// The login page works without this: the look follows the system, and the button waits as long as the server wants.
"use strict";

(() => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const look = () => document.body.classList.toggle("dark", dark.matches);
  dark.addEventListener("change", look);
  look();

  function wait(button, seconds) {
    const words = button.dataset.words ?? (button.dataset.words = button.textContent);
    button.disabled = seconds > 0;
    button.textContent = seconds > 0 ? `${words} (${seconds})` : words;
    if (seconds > 0) setTimeout(() => wait(button, seconds - 1), 1000);
  }

  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("[data-seconds]");
    wait(button, Number(button.dataset.seconds));
    button.form.addEventListener("submit", () => {
      button.disabled = true;
      button.textContent = button.dataset.busy;
    });
    addEventListener("pageshow", (event) => event.persisted && location.reload()); // back from the browser's memory
  });
})();
