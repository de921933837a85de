"""`python -m benchmarks [name …]`: run benchmarks, print a table, write a JSON file."""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

import torch

import benchmarks.adapters
import benchmarks.engine
import benchmarks.history
import benchmarks.library
import benchmarks.network
import benchmarks.over_http
import benchmarks.page
import benchmarks.pictures
import benchmarks.sampling
import benchmarks.soak
import benchmarks.start
import benchmarks.upscaling  # noqa: F401  (importing registers)
from benchmarks.registry import BENCHMARKS, Row, Setting

ABOUT = "Measure speed and memory: print a table, write a JSON file. The first run makes a file of 2.1 GB."
ASKED_FOR = ("soak", "page")  # only: what a server stands, in 12 minutes, and what needs a browser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the named benchmarks, or all but those of ASKED_FOR. Returns the exit status."""
    options = parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    setting = Setting(options.work, options.repeats, options.threads, options.size)
    found: list[Row] = []
    for name in options.names or [name for name in BENCHMARKS.names() if name not in ASKED_FOR]:
        entry = BENCHMARKS.find(name)
        sys.stderr.write(f"{entry.name} …\n")
        found += entry.value(setting)
    sys.stdout.write(table(found) + "\n")
    path = options.json or options.work / f"benchmarks-{time.strftime('%Y%m%d-%H%M%S')}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine(options.threads), "rows": [asdict(r) for r in found]}, indent=1))
    sys.stdout.write(f"\nWritten to {path}\n")
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    result = argparse.ArgumentParser(prog="python launch.py bench", description=ABOUT)
    result.add_argument(
        "names",
        nargs="*",
        metavar="name",
        help=f"one of: {', '.join(BENCHMARKS.names())} (default: all but {' and '.join(ASKED_FOR)})",
    )
    result.add_argument(
        "--work", type=Path, default=Path(tempfile.gettempdir()) / "emulsion-bench", help="folder for a 2.1 GB file"
    )
    result.add_argument("--json", type=Path, help="where to write the figures (default: in the work folder)")
    result.add_argument("--repeats", type=int, default=3, help="timed calls of each case (default 3)")
    result.add_argument("--threads", type=int, default=torch.get_num_threads())
    result.add_argument("--size", type=int, default=512, help="side of the picture in pixels (default 512)")
    return result


def machine(threads: int) -> dict[str, str | int]:
    """What the figures depend on."""
    return {
        "processor": torch.cpu.get_capabilities().get("cpu_name", platform.processor()),
        "threads": threads,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "date": time.strftime("%Y-%m-%d %H:%M"),
    }


def table(found: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| benchmark | case | median s | range | processor s | others | ratio | of processor s | facts |"]
    lines.append("| --- " * 9 + "|")
    for row in found:
        facts = ", ".join(f"{name} {_short(value)}" for name, value in row.facts.items())
        cells = [row.benchmark, row.case, _short(row.seconds), f"{_short(row.low)}–{_short(row.high)}"]
        cells += [_short(row.processor), f"{row.others:.0%}", _short(row.ratio), _short(row.processor_ratio), facts]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _short(value: object) -> str:
    return "" if value is None else f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
