// Distilled LoRAs and checkpoints want few steps and little guidance: offered in the studio, set by one click.
"use strict";

(() => {
  const { one, input, onAppear, t, send } = emulsion;
  const LOOK = 1000; // milliseconds between two looks at the prompt
  const STUDIO = ["txt2img", "img2img", "inpaint"];
  const answers = new Map(); // checkpoint and names of LoRAs -> [{name, recipe}]
  const dismissed = new Set(); // names
  let offered = null;

  const told = (recipe) =>
    t("library.recipe", {
      sampler: recipe.sampler,
      schedule: recipe.schedule,
      steps: recipe.steps,
      scale: recipe.guidance_scale,
    });

  // Sets what a recipe says; nothing else in the studio changes.
  async function apply({ sampler, schedule, steps, guidance_scale, eta, label, ...recipe }) {
    const values = { sampler, schedule, steps, guidance_scale, eta: eta ?? null };
    if (await emulsion.choosing.set(values))
      emulsion.toast([t("library.recipe.taken", { label, settings: told({ ...values }) }), recipe.note]);
    draw();
  }

  // Whether the fields say the same already.
  function isSet({ sampler, schedule, steps, guidance_scale }) {
    const said = (id) => (one(`#${id} input[type=number]`) ?? input(id))?.value;
    return (
      said("em-sampler") === sampler &&
      said("em-schedule") === schedule &&
      Number(said("em-steps")) === steps &&
      Number(said("em-guidance-scale")) === guidance_scale
    );
  }

  async function look() {
    if (document.hidden || !STUDIO.includes(emulsion.tabs.current()) || !one("#em-speed")) return;
    const question = {
      loras: [...new Set(emulsion.words.loras())].slice(0, 100),
      checkpoint: emulsion.choosing.shown("checkpoint"),
    };
    const key = JSON.stringify(question);
    if (!answers.has(key)) {
      answers.set(key, []);
      try {
        const { recipes } = await send("library/recipes", question);
        answers.set(key, recipes);
      } catch (error) {
        if (!error.status) answers.delete(key); // no connection: asked again
      }
    }
    // The last LoRA counts: it is what was added last. A checkpoint comes first in the list.
    offered = answers.get(key)?.findLast(({ name }) => !dismissed.has(name)) ?? null;
    draw();
  }

  function draw() {
    const box = one("#em-speed");
    if (!box) return;
    const show = Boolean(offered) && !isSet(offered.recipe);
    box.hidden = !show;
    if (!show) return;
    const { name, recipe } = offered;
    one("#em-speed-text").textContent = t("library.recipe.offer", {
      name,
      label: recipe.label,
      settings: told(recipe),
    });
  }

  onAppear("#em-speed-apply", (button) => (button.onclick = () => offered && apply(offered.recipe)));
  onAppear("#em-speed-close", (button) => (button.onclick = () => (dismissed.add(offered?.name), look())));
  setInterval(look, LOOK);
  document.addEventListener("emulsion:language", draw);
  document.addEventListener("emulsion:library", () => answers.clear());

  emulsion.speed = { apply, told };
})();
