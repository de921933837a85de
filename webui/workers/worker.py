"""The worker: a process that runs jobs one after the other. Only here is torch imported, by way of the engine."""

from __future__ import annotations

import importlib
import json
import logging
import os
import queue
import signal
import threading
import time
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Protocol

from webui import logs
from webui.errors import Cancelled, EmulsionError
from webui.request import GenerationRequest, from_dict
from webui.workers.blobs import Blobs
from webui.workers.messages import pack, unpack
from webui.workers.tasks import GENERATE

log = logging.getLogger(__name__)


class Control:
    """What people want of the running job, set by another thread and read at every step."""

    def __init__(self) -> None:
        self.interrupted = threading.Event()
        self.skipped = threading.Event()  # leave this batch, go on with the next
        self.stopping = threading.Event()  # finish this batch, start no other

    def check(self) -> None:
        """Raise Cancelled when the job was interrupted."""
        if self.interrupted.is_set():
            raise Cancelled("The job was interrupted.")


class Engine(Protocol):
    """What a worker drives. Made by a function of the settings, named as "package.module:function"."""

    def names(self) -> Mapping[str, Any]:
        """Names of everything that can be chosen: {"samplers": [{name, aliases, facts}], "schedules": [...]}."""

    def load(self, checkpoint: str | None) -> None:
        """Make a checkpoint ready; None is the one in the settings. Raises EmulsionError."""

    def change(self, settings: Mapping[str, Any]) -> None:
        """Use other settings from the next job on."""

    def facts(self) -> Mapping[str, Any]:
        """{"checkpoint": name or None, "device": text, "memory": bytes}."""

    def generate(
        self, request: GenerationRequest, options: Mapping[str, Any], report: Callable[..., None], control: Control
    ) -> None:
        """Run one job. Calls `report(kind, blob=b"", **values)` for progress, preview, note and picture, and
        `control.check()` at each step. Raises EmulsionError, Cancelled among them."""

    def perform(
        self,
        name: str,
        values: Mapping[str, Any],
        options: Mapping[str, Any],
        report: Callable[..., None],
        control: Control,
    ) -> None:
        """Run one job of another kind: `tasks.TASKS` has it by name."""


def main(pipe: Connection, engine: str, settings: Mapping[str, Any]) -> None:
    """The life of the process: make the engine, say so, run what comes, leave when told or when nobody is left."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C reaches the whole group; the web process decides
    worker = Worker(pipe)
    logs.relay(worker.say, **settings.get("log", {}))
    threading.Thread(target=worker.listen, name="listen", daemon=True).start()
    for variable, value in settings.get("environment", {}).items():  # read when the engine's libraries are loaded
        os.environ.setdefault(variable, value)
    try:
        module, _, name = engine.partition(":")
        worker.run(getattr(importlib.import_module(module), name)(settings))
    except BrokenPipeError:
        return  # the web process is gone
    except Exception as error:
        worker.say("broken", error=_words(error, "the worker process could not start"))
        raise SystemExit(1) from None


class Worker:
    """Reads orders in one thread and runs them in the main one, so that an interrupt is heard during a job."""

    def __init__(self, pipe: Connection):
        self._pipe = pipe
        self._orders: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._sending = threading.Lock()
        self._ready = False
        self._job: str | None = None
        self._control = Control()

    def say(self, kind: str, blob: bytes = b"", **values: Any) -> None:
        """Send one message."""
        with self._sending:
            self._pipe.send_bytes(pack({"kind": kind, **values}, blob))

    def listen(self) -> None:
        """Read orders for ever. When the web process is gone there is nobody left to work for."""
        wishes = {"interrupt": "interrupted", "skip": "skipped", "stop_after": "stopping"}
        try:
            while True:
                order, _ = unpack(self._pipe.recv_bytes())
                if order["kind"] in wishes:
                    if order["job"] == self._job:
                        getattr(self._control, wishes[order["kind"]]).set()
                    continue
                if order["kind"] == "run":  # from here on the job can be interrupted, even before it starts
                    self._job, self._control = order["job"], Control()
                elif order["kind"] == "stop":
                    if not self._ready:
                        os._exit(0)  # nothing to lose while libraries are still being imported
                    self._control.interrupted.set()
                self._orders.put(order)
        except (EOFError, OSError):
            os._exit(0)

    def run(self, engine: Engine) -> None:
        """Carry out orders until told to stop."""
        self.say("ready", names=dict(engine.names()), facts=dict(engine.facts()))
        self._ready = True
        while (order := self._orders.get())["kind"] != "stop":
            if order["kind"] == "run":
                self._run_job(engine, order)
            elif order["kind"] == "load":
                self._load(engine, order)
            elif order["kind"] == "perform":
                self._perform(engine, order)
            elif order["kind"] == "settings":
                engine.change(order["values"])
                self._say_facts(engine)

    def _say_facts(self, engine: Engine) -> None:
        """What is loaded and what it takes: said before the end of an order, so that who waits for it reads the new."""
        self.say("facts", facts=dict(engine.facts()))

    def _run_job(self, engine: Engine, order: Mapping[str, Any]) -> None:
        with logs.bound(job=order["job"]):
            kind, values = self._work_on(engine, order)
            self._say_facts(engine)
            self.say(kind, job=order["job"], **values)
        logs.private(())

    def _work_on(self, engine: Engine, order: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """How the job ended: the kind and the values of its last message."""
        job, control = order["job"], self._control
        started = time.perf_counter()

        def report(kind: str, blob: bytes = b"", **values: Any) -> None:
            self.say(kind, blob, job=job, **values)

        report("started")
        try:
            control.check()
            values = Blobs(Path(order["blobs"])).restored(json.loads(order["request"]))
            logs.private(prompts_in(values))
            if order["task"] == GENERATE:
                engine.generate(from_dict(values), order["options"], report, control)
            else:
                engine.perform(order["task"], values, order["options"], report, control)
        except Cancelled as error:
            return "cancelled", {"error": str(error)}
        except EmulsionError as error:
            return "failed", {"error": str(error), "type": type(error).__name__}
        except BrokenPipeError:
            raise
        except Exception as error:
            return "failed", {"error": _words(error, f"job {job} failed"), "type": type(error).__name__}
        return "done", {"seconds": time.perf_counter() - started}

    def _perform(self, engine: Engine, order: Mapping[str, Any]) -> None:
        """What the job of another worker asks of all of them; that job tells how it went."""
        try:
            engine.perform(order["task"], json.loads(order["request"]), order["options"], _unheard, Control())
        except Exception:
            log.exception("%s failed", order["task"])
        self._say_facts(engine)

    def _load(self, engine: Engine, order: Mapping[str, Any]) -> None:
        fault = None
        try:
            engine.load(order["checkpoint"])
        except Exception as error:
            fault = _words(error, "a checkpoint could not be loaded")
        self._say_facts(engine)
        self.say("loaded", load=order["load"], checkpoint=order["checkpoint"], error=fault)


def prompts_in(values: Any, name: str = "") -> list[str]:
    """All texts that stand under a name with "prompt" in it, however deep."""
    if isinstance(values, Mapping):
        return [text for key, value in values.items() for text in prompts_in(value, str(key))]
    if isinstance(values, list):
        return [text for value in values for text in prompts_in(value, name)]
    return [values] if isinstance(values, str) and "prompt" in name else []


def _unheard(kind: str, blob: bytes = b"", **values: Any) -> None:
    """A report that nobody reads."""


def _words(error: BaseException, what: str) -> str:
    """An error as a sentence for people; one that nobody expected goes into the log with its traceback."""
    if isinstance(error, EmulsionError):
        return str(error)
    found, error_id = f"{type(error).__name__}: {error}", logs.report(log, what, error)
    return f"Something unexpected went wrong: {found}. The log has the details, error {error_id}."
