// Jobs of other kinds than the studio's: start one, and hear how it goes until it is over.
"use strict";

(() => {
  const { ask, send } = emulsion;
  const WAIT = { running: 300, waiting: 700, hidden: 1500, lost: 2000 }; // milliseconds between questions
  const OVER = ["done", "failed", "cancelled"];

  // Queues a task; returns its job's id. Throws what the server refused, with its words in `parts`.
  const start = async (name, values) => (await send(`tasks/${name}`, values)).job;

  // Calls `onView(view)` at every change; resolves with the last view. A lost connection is waited for.
  async function follow(job, onView = () => {}) {
    const pictures = [];
    for (;;) {
      let wait = WAIT.lost;
      try {
        const view = await ask(`jobs/${encodeURIComponent(job)}?have=${pictures.length}`);
        pictures.push(...view.pictures.map((picture) => ({ ...picture, job })));
        onView({ ...view, pictures });
        if (OVER.includes(view.state)) return { ...view, pictures };
        wait = document.hidden ? WAIT.hidden : WAIT[view.state];
      } catch (error) {
        if (error.status) throw error;
      }
      await new Promise((after) => setTimeout(after, wait));
    }
  }

  const interrupt = (job) => send(`jobs/${encodeURIComponent(job)}/interrupt`);

  emulsion.tasks = { start, follow, interrupt };
})();
