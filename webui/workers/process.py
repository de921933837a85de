"""The worker process seen from outside: started, spoken to, missed when it dies."""

from __future__ import annotations

import multiprocessing
import signal
import threading
from collections.abc import Mapping
from multiprocessing import connection
from typing import Any, Protocol

from webui import logs
from webui.errors import WorkerLost
from webui.workers.messages import pack, unpack
from webui.workers.worker import main

Message = tuple[dict[str, Any], bytes]


class WorkerLink(Protocol):
    """The seam between the service and a worker, wherever that is: plain messages to it and from it (`messages.py`).

    One process of this machine is the form that there is (`WorkerProcess`); a worker on another machine would be a
    second class with these methods and nothing else.
    """

    @property
    def pid(self) -> int | None:
        """The number of its process, if that is of this machine."""

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over one message, from any thread. Raises WorkerLost when nobody is there to read it."""

    def receive(self, timeout: float | None, bell: connection.Connection) -> list[Message]:
        """Messages that have arrived, after at most `timeout` seconds; none when `bell` rang first.

        Raises WorkerLost once the worker has ended and everything that it had sent was read.
        """

    def stop(self, patience: float = 5.0) -> None:
        """End it: asked first, then forced. Returns when it is gone; what it had sent can still be received."""

    def kill(self) -> None:
        """Force it to end, and return at once."""


class WorkerProcess:
    """One worker in a process of its own. `engine` names what makes it run: "package.module:function".

    The process is spawned, never forked: it shares no memory, threads or locks with the web process.
    """

    def __init__(self, engine: str, settings: Mapping[str, Any]):
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=main, args=(theirs, engine, dict(settings)), name="emulsion-worker", daemon=True
        )
        self._process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        self._sending = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The number of the process."""
        return self._process.pid

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand over one message, from any thread. Raises WorkerLost when nobody is there to read it."""
        with self._sending:
            try:
                self._pipe.send_bytes(pack(message))
            except (OSError, ValueError) as error:
                raise WorkerLost("The worker process is gone.") from error

    def receive(self, timeout: float | None, bell: connection.Connection) -> list[Message]:
        """Messages that have arrived, after at most `timeout` seconds; none when `bell` rang first.

        Raises WorkerLost once the process has ended and everything that it had sent was read.
        """
        messages: list[Message] = []
        try:
            connection.wait([self._pipe, bell], timeout)
            while bell.poll():
                bell.recv_bytes()
            while len(messages) < 64 and self._pipe.poll():
                message, blob = unpack(self._pipe.recv_bytes())
                if message["kind"] == "log":  # nobody's business but the log's
                    logs.take_in(message)
                else:
                    messages.append((message, blob))
        except (EOFError, OSError) as error:
            if messages:
                return messages  # the next call raises
            raise WorkerLost(self.ending()) from error
        return messages

    def ending(self) -> str:
        """How the process ended, in plain words."""
        self._process.join(2)
        code = self._process.exitcode
        if code is None:
            return "The worker process stopped answering."
        if code == -getattr(signal, "SIGKILL", 9):
            return "The worker process was killed, probably because the computer ran out of memory."
        if code < 0:
            return f"The worker process crashed ({signal.Signals(-code).name})."
        return f"The worker process ended by itself (code {code})."

    def kill(self) -> None:
        """Force the process to end, and return at once."""
        self._process.kill()

    def stop(self, patience: float = 5.0) -> None:
        """End the process: asked first, then terminated, then killed. Returns when it is gone.

        The pipe stays open for what was sent and not yet received; it is closed with the last who knows of it.
        """
        try:
            self.send({"kind": "stop"})
        except WorkerLost:
            patience = 0.5
        self._process.join(patience)
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(1)
        if self._process.is_alive():
            self._process.kill()
            self._process.join(2)
