"""Real tasks for the fake service, in a thread of its own process: those that need no checkpoint."""

from __future__ import annotations

import time
from types import SimpleNamespace

from webui.engine.extensions import Extensions
from webui.errors import Cancelled, EmulsionError
from webui.paths import Paths
from webui.settings import Settings
from webui.workers.tasks import TaskJob, task
from webui.workers.views import ResultView
from webui.workers.worker import Control


def perform(service, job_id, values):
    """Run a job's task, and keep its view up to date as the worker's messages would."""
    import torch

    folder = service.folder
    paths = Paths(folder / "task data", folder / "task models", folder / "outputs")
    session = SimpleNamespace(settings=Settings(paths), device=torch.device("cpu"), extensions=Extensions())
    control, name = Control(), service.job(job_id).task
    report = reporter(service, job_id, control)
    scratch = folder / "scratch"
    scratch.mkdir(exist_ok=True)
    service.change(job_id, state="running", started=time.time(), position=0)
    ended = {"state": "done", "progress": 1.0}
    try:
        task(name).run(service.blobs.restored(values), TaskJob(session, report, control, scratch))
    except Cancelled:
        ended = {"state": "cancelled"}
    except EmulsionError as error:
        ended = {"state": "failed", "error": str(error)}
    service.change(job_id, finished=time.time(), **ended)


def reporter(service, job_id, control):
    """What a task calls."""

    def report(kind, blob=b"", **told):
        view = service.job(job_id)
        if service.wishes(job_id) & {"interrupt"}:
            control.interrupted.set()
        if kind == "progress":
            done = (told["batch"] + told["step"] / max(1, told["steps"])) / told["batches"]
            service.change(job_id, **told, progress=done)
        elif kind == "picture":
            service.change(job_id, results=(*view.results, ResultView(**told)))
        elif kind == "note":
            service.change(job_id, notes=(*view.notes, told["text"]))
        elif kind == "outcome":
            service.change(job_id, outcome={**view.outcome, **told["values"]})

    return report
