"""Jobs other than making pictures from a request: enlarging, merging, plotting. One file each; no torch until it runs.

A task's module has two functions:

- `check(values) -> values`: what a caller gave, as plain data, made complete. Raises InvalidRequest. Called in the web
  process, so that a wrong value is refused at the door; neither it nor the module's import may load torch.
- `run(values, job)`: the work, in the worker process. `job` is a `TaskJob`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

from webui.errors import InvalidRequest
from webui.extend import SCRIPTS
from webui.registry import Registry

if TYPE_CHECKING:
    from webui.engine.session import Session
    from webui.workers.worker import Control

GENERATE = "generate"  # the job that needs no task: a GenerationRequest

# name -> module. `local` names values that are folders of the server: only who sits before it may give them;
# `everywhere`: every worker does it, not only the one that has the job.
TASKS: Registry[str] = Registry("task")
TASKS.register("caption")("webui.workers.tasks.caption")
TASKS.register("extras", local=("folder", "out"))("webui.workers.tasks.extras")
TASKS.register("merge")("webui.workers.tasks.merge")
TASKS.register("script")("webui.workers.tasks.script")
TASKS.register("unload", everywhere=True)("webui.workers.tasks.unload")


@dataclass(frozen=True)
class TaskJob:
    """What a task may use while it runs.

    `report(kind, blob=b"", **values)` takes progress (stage, step, steps, batch, batches, eta), preview (blob, format),
    picture (path, infotext, seed, width, height, saved, facts), copy (path: saved beside the pictures), note (text) and
    outcome (values: what else came of it).
    `control.check()` raises Cancelled when somebody interrupted; `scratch` is a folder for pictures that are not saved.
    """

    session: Session
    report: Callable[..., None]
    control: Control
    scratch: Path


class Task(Protocol):
    """A module of this package."""

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values, complete. Raises InvalidRequest."""

    def run(self, values: Mapping[str, Any], job: TaskJob) -> None:
        """The work."""


def refuse_folders(name: str, values: Mapping[str, Any], here: bool) -> None:
    """Raise InvalidRequest for an unknown task, and where somebody not `here` names folders of the server."""
    named = [field for field in TASKS.find(name).facts.get("local", ()) if values.get(field)]
    script = values.get("script")
    if name == "script" and isinstance(script, str) and script in SCRIPTS and SCRIPTS[script].local:
        named.append(SCRIPTS.find(script).name)
    if named and not here:
        raise InvalidRequest(
            f"{' and '.join(named)}: folders of the machine that the program runs on.",
            "Only an administrator at that machine may name them.",
            "Send the pictures instead.",
        )


def task(name: str) -> Task:
    """The task of a name. Raises InvalidRequest naming the known ones."""
    return cast(Task, importlib.import_module(TASKS[name]))
