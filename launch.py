#!/usr/bin/env python3
"""Start Emulsion: `python launch.py`. Standard library only.

The first start makes a virtual environment beside this file, installs the exact versions of requirements.txt,
proves the backend with one kernel and starts the program. Later starts compare the installed versions with the list
(a few milliseconds, no network) and hand over to webui/cli.py. An install that was cut off is completed.

Options of the launcher itself: --torch-index URL, --repair, --offline, --skip-install. All others go to the program.
Environment: EMULSION_VENV (where the environment lies), EMULSION_SKIP_VENV=1 (use the running Python as it is),
COMMANDLINE_ARGS (options put before those given).
"""

# This file is parsed by whatever Python the user has, so that a wrong one is told in a sentence: no syntax newer than
# Python 3.8 may stand here, and webui/ is imported only after the check.

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent
COMMANDS = ("serve", "generate", "extras", "models", "pictures", "users", "bench", "doctor", "test")
OLDEST, NEWEST = (3, 11), (3, 14)

# Larger heap thresholds keep glibc from handing pages back and fetching them again at each step on a CPU.
FASTER_HEAP = {
    "MALLOC_MMAP_THRESHOLD_": str(2**30),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**30),
}


def main(arguments: list[str] | None = None) -> int:
    """Prepare the environment and start the program; the exit code."""
    problem = wrong_python(sys.version_info)
    if problem:
        print(problem, file=sys.stderr)
        return 2
    sys.path.insert(0, str(ROOT))
    from webui.environment import Stop

    try:
        return launch(sys.argv[1:] if arguments is None else arguments)
    except Stop as sentence:
        print(f"\n{sentence}", file=sys.stderr)
        return 2
    except OSError as error:
        from webui.installer import explain

        print(f"\n{explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nStopped. Start again whenever you like; what is already installed is kept.", file=sys.stderr)
        return 130


def wrong_python(version: tuple) -> str | None:
    """A sentence if this Python cannot run the program, else None. Names a fitting Python that is on the PATH."""
    if OLDEST <= tuple(version[:2]) <= NEWEST:
        return None
    names = [f"python3.{minor}" for minor in range(NEWEST[1], OLDEST[1] - 1, -1)]
    better = next((name for name in names if starts(name)), None)
    wanted = f"Python 3.{OLDEST[1]} to 3.{NEWEST[1]}"
    remedy = f"Use the one you have: {better} launch.py" if better else f"Please install {wanted}."
    return f"This is Python {version[0]}.{version[1]}, but Emulsion needs {wanted}. {remedy}"


def starts(program: str) -> bool:
    """Whether a program of that name starts (pyenv puts names on the PATH that only print an error)."""
    path = shutil.which(program)
    return path is not None and subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0


def launch(arguments: list[str]) -> int:
    """Split off the launcher's options, make the environment ready, hand over."""
    from webui.environment import DEVELOPMENT_LOCK, LOCK, MCP_LOCK, Stop, environment_folder, python_of
    from webui.installer import ready_python

    arguments, own = launcher_options(arguments)
    command = arguments[0] if arguments and not arguments[0].startswith("-") else "serve"
    if command not in COMMANDS:
        known = ", ".join(COMMANDS)
        raise Stop(f"There is no command {command!r}. Known: {known}; `python launch.py --help` tells more.")
    if command != "test" and {"-h", "--help", "--version"} & set(arguments):
        return hand_over(sys.executable, arguments)
    if command == "serve":
        others = shlex.split(os.environ.get("COMMANDLINE_ARGS", ""), posix=os.name != "nt")
        others, more = launcher_options(others)
        own = {**more, **own}
        named = bool(arguments) and arguments[0] == "serve"
        arguments = ["serve", *others, *(arguments[1:] if named else arguments)]
        if own.get("offline"):
            arguments.append("--offline")
    if command == "doctor":
        python = python_of(environment_folder())
        return hand_over(str(python) if starts(str(python)) else sys.executable, arguments)
    if command == "test":
        return run_tests(ready_python([LOCK, DEVELOPMENT_LOCK], own), arguments[1:])
    locks = [LOCK, MCP_LOCK] if command == "serve" and "--mcp" in arguments else [LOCK]
    if command == "bench":  # it measures other programs' libraries beside ours
        locks.append(DEVELOPMENT_LOCK)
    return hand_over(ready_python(locks, own), arguments)


def launcher_options(arguments: list[str]) -> tuple[list[str], dict[str, str]]:
    """Take out --torch-index, --repair, --offline and --skip-install: what is left, and what was found."""
    from webui.environment import Stop

    rest: list[str] = []
    own: dict[str, str] = {}
    flags = {"--repair": "repair", "--offline": "offline", "--skip-install": "skip-install"}
    flags["--skip-prepare-environment"] = "skip-install"
    values = iter(arguments)
    for value in values:
        name, _, given = value.partition("=")
        if name == "--torch-index":
            own["torch-index"] = given or next(values, "")
            if not own["torch-index"]:
                raise Stop("--torch-index needs the address of a package index.")
        elif value in flags:
            own[flags[value]] = "yes"
        else:
            rest.append(value)
    return rest, own


def program_environment() -> dict[str, str]:
    """Environment variables of the program: no telemetry, the faster heap, and this folder's packages first."""
    from webui.environment import NO_TELEMETRY, clean_environment

    env = clean_environment()
    if os.environ.get("EMULSION_SKIP_VENV") == "1":
        env = dict(os.environ)  # the user's own environment stays as it is
    env = {**NO_TELEMETRY, **(FASTER_HEAP if sys.platform == "linux" else {}), **env}
    env["PYTHONPATH"] = os.pathsep.join(path for path in (str(ROOT), env.get("PYTHONPATH", "")) if path)
    env["PYTHONSAFEPATH"] = "1"  # a torch.py in the folder where the user stands must not become ours
    return env


def hand_over(python: str, arguments: list[str]) -> int:
    """Become the program (POSIX), or run it and wait (Windows, where exec would leave the console behind)."""
    command = [python, "-m", "webui.cli", *arguments]
    if os.name != "nt":
        sys.stdout.flush()
        os.execve(python, command, program_environment())
    process = subprocess.Popen(command, env=program_environment())
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:  # the program got it too, and ends in its own time
            continue


def run_tests(python: str, arguments: list[str]) -> int:
    """Lint, check types and run the tests; with arguments only pytest, in one process. Not 0 if one fails."""
    checks = [
        ("ruff check", ["ruff", "check", "."]),
        ("ruff format", ["ruff", "format", "--check", "."]),
        ("mypy", ["mypy", "webui", "launch.py"]),
    ]
    env = program_environment()
    for name in FASTER_HEAP:  # tests measure memory: let them see what a plain process sees
        env.pop(name, None)
    codes = {}
    for title, command in [] if arguments else checks:
        print(f"== {title}", flush=True)
        codes[title] = subprocess.run([python, "-m", *command], cwd=ROOT, env=env, check=False).returncode
    print("== pytest", flush=True)
    failed = [title for title, code in codes.items() if code]
    if failed:
        print(f"(found something above: {', '.join(failed)})", flush=True)
    command = [python, "-m", "pytest", "-ra", *(arguments or side_by_side(env))]
    code = subprocess.run(command, cwd=ROOT, env=env, check=False).returncode
    return code or max(codes.values(), default=0)


def side_by_side(env: dict[str, str]) -> list[str]:
    """Options of pytest that run the tests in up to four processes, each with its share of the cores (set in `env`).

    Much of a test is waiting, for a server or a browser. Which test runs where: tests/conftest.py.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    processes = min(cores, 4)
    if processes == 1:
        return []
    env.setdefault("OMP_NUM_THREADS", str(cores // processes))
    return ["-n", str(processes), "--dist", "loadfile", "--no-loadscope-reorder"]


if __name__ == "__main__":
    sys.exit(main())
