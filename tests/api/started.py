"""A server in a process of its own, as a user starts it, with a fake engine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Found = TypeVar("Found")
ROOT = Path(__file__).parents[2]
FAKE = "tests.workers.fake_engine:engine"
REAL = "webui.workers.generate:engine"
PORTS_TRIED, TAKEN = 5, "taken by another program"  # between choosing a port and listening somebody else may take it
SCRIPT = """
import sys
{hook}
from pathlib import Path
from webui.app import serve
from webui.paths import Paths, StartOptions

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    paths = Paths(folder / "data", folder / "models", folder / "outputs"{program})
    sys.exit(serve(StartOptions(paths=paths, {options}), engine="{engine}"))
"""
# Whatever the process tries to reach beyond this machine is written down and refused.
HOOK = """
def look(event, arguments):
    if event == "socket.connect":
        address = arguments[1]
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        address = (arguments[0],)
    else:
        return
    if isinstance(address, tuple) and str(address[0]) not in ("127.0.0.1", "localhost", "::1", "None", "0.0.0.0", ""):
        sys.stderr.write(f"REACHED {event} {address}\\n")
        sys.stderr.flush()
        raise OSError("no network in this test")
sys.addaudithook(look)
"""


@dataclass
class Started:
    """A running server."""

    process: subprocess.Popen
    address: str
    lines: list[str]
    folder: Path

    def stop(self, how: int = signal.SIGTERM, timeout: float = 120.0) -> int:
        """Send a signal and return the exit code. How soon it ends is for those to measure who promise it."""
        self.process.send_signal(how)
        return self.process.wait(timeout)


def free_port() -> int:
    """A port that nobody uses at the moment; a moment later somebody may, see `server`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def silent_port() -> Iterator[int]:
    """A port that refuses connections: it is taken, and nobody listens."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


@contextlib.contextmanager
def server(folder: Path, options: str = "nowebui=True", hook: str = HOOK, engine: str = FAKE) -> Iterator[Started]:
    """Start a server and wait until it says where it is. The real engine and `witness` know the starter, others not."""
    program = "" if engine.startswith((REAL, "tests.api.witness:")) else ", program=folder"
    folder.mkdir(exist_ok=True)
    (folder / "models").mkdir(exist_ok=True)
    said = {"hook": hook, "program": program, "engine": engine}
    for _ in range(PORTS_TRIED):
        chosen = options if "port=" in options else f"{options}, port={free_port()}"
        (folder / "start.py").write_text(SCRIPT.format(options=chosen, **said))
        with _process(folder) as process:
            lines: list[str] = []
            if (address := _address(process, lines)) is not None:
                yield Started(process, address, lines, folder)
                return
        if chosen == options or TAKEN not in complaints(folder):
            break
    raise AssertionError(f"it did not start: {lines} {complaints(folder)}")


@contextlib.contextmanager
def _process(folder: Path) -> Iterator[subprocess.Popen]:
    with (folder / "errors.txt").open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, folder / "start.py", folder],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()


def _address(process: subprocess.Popen, lines: list[str]) -> str | None:
    """Where it says that it is; None when it ends instead. `lines` gets what else it says."""
    assert process.stdout is not None
    for line in process.stdout:
        lines.append(line.strip())
        if " at http" in line:
            return line.split(" at ")[1].strip()
    return None


def complaints(folder: Path) -> str:
    """What the server wrote to its error output."""
    return (folder / "errors.txt").read_text()


def until(happened: Callable[[], Found | None], timeout: float = 120.0) -> Found:
    """Wait until something has happened; what it returned."""
    end = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)
    return found


def begin(address: str, body: dict[str, Any], path: str = "/sdapi/v1/txt2img") -> socket.socket:
    """Send a request and leave it unanswered."""
    host, port = address.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)))
    data = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\n"
    connection.sendall(f"{head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
    return connection
