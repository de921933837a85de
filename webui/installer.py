"""Make the virtual environment and install the exact versions of the lock. Standard library only.

Everything can be cut off at any moment and started again: the stamp is written last, packages whose files are not all
there are installed anew, and a lock file that the operating system frees keeps two launches apart.
"""

from __future__ import annotations

import base64
import contextlib
import csv
import errno
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import distributions
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from webui.environment import (
    CONSTRAINTS,
    LOCK,
    NO_TELEMETRY,
    Stop,
    clean_environment,
    environment_folder,
    fingerprint,
    installed,
    is_ready,
    listing,
    normal,
    packages_folder,
    python_of,
    stamp,
    unmet,
)

OLDEST, NEWEST = (3, 11), (3, 14)
GIB = 2**30

PROOF = """
import json, sys
import numpy, safetensors, PIL, cv2, gradio, transformers, torch
def kernel(device):
    a = torch.arange(64 * 64, dtype=torch.float32).reshape(1, 1, 64, 64).to(device)
    return float(torch.nn.functional.conv2d(a, torch.ones(1, 1, 3, 3, device=device)).sum().cpu())
right = kernel("cpu")
found = {"torch": torch.__version__, "device": "cpu", "name": "CPU", "problem": ""}
mps = getattr(torch.backends, "mps", None)
better = "cuda" if torch.cuda.is_available() else "mps" if mps and mps.is_available() else None
if better:
    try:
        name = torch.cuda.get_device_name() if better == "cuda" else "Apple GPU"
        if abs(kernel(better) / right - 1) > 1e-3:
            raise RuntimeError("its result is wrong")
        found.update(device=better, name=name)
    except Exception as error:
        found["problem"] = str(error).splitlines()[0]
print(json.dumps(found))
"""

FULL = "The disk is full. Free some space and start again; what is installed is kept."
READ_ONLY = (
    "The folder of the environment cannot be written to. Set EMULSION_VENV to a folder of yours, or move the program."
)
OFFLINE = "The package index cannot be reached. The first start needs the network; what is installed so far is kept."
UNTRUSTED = "The certificate of the package index does not verify. Check this machine's clock and its proxy."
NO_MEMORY = "There is not enough memory to install the packages."
KNOWN_CAUSES = (  # what pip and venv say -> what it means
    (r"No space left|not enough space|Disk quota", FULL),
    (r"Read-only file system|Permission denied|Access is denied", READ_ONLY),
    (r"SSLError|CERTIFICATE_VERIFY", UNTRUSTED),
    (r"Name or service not known|name resolution|getaddrinfo|Network is unreachable|NewConnectionError", OFFLINE),
    (r"Connection refused|Connection reset|timed out|ProxyError|Max retries exceeded", OFFLINE),
    (r"MemoryError|Cannot allocate memory", NO_MEMORY),
)


def ready_python(locks: list[Path], own: dict[str, str]) -> str:
    """The Python that has all requirements, after installing what is missing. Raises Stop."""
    venv = environment_folder()
    index = own.get("torch-index")
    if os.environ.get("EMULSION_SKIP_VENV") == "1" or (own.get("skip-install") and not python_of(venv).exists()):
        found = {normal(d.metadata["Name"]): d.version for d in distributions() if d.metadata["Name"]}
        missing = unmet(locks, found)
        if missing:
            raise Stop(
                f"This Python does not have {listing(missing)}. Install them with "
                f"`{sys.executable} -m pip install -r {locks[-1].name}`, or start without EMULSION_SKIP_VENV."
            )
        return sys.executable
    if own.get("skip-install") or (is_ready(venv, locks, index) and not own.get("repair")):
        return str(python_of(venv))
    if own.get("offline"):
        missing = unmet(locks, installed(packages_folder(venv)))
        what = f"{listing(missing)} still missing" if missing else "not proved"
        raise Stop(f"The environment in {venv} is not complete ({what}). Start once without --offline to install it.")
    with install_alone(venv) as alone:
        if not is_ready(venv, locks, index) or own.get("repair"):  # another launch may have done it meanwhile
            install(venv, locks, alone, index, repair="repair" in own)
    return str(python_of(venv))


@contextlib.contextmanager
def install_alone(venv: Path) -> Iterator[IO[str]]:
    """Hold the lock file beside the environment, so that two launches do not install at once.

    The system frees it when this process ends, however it ends, and the pip that it started too: pip inherits it."""
    venv.parent.mkdir(parents=True, exist_ok=True)
    with venv.with_name(venv.name + ".lock").open("a") as file:
        told = False
        while not try_lock(file):
            if not told:
                print("Another launch is installing; waiting for it ...", flush=True)
                told = True
            time.sleep(0.5)
        yield file


def try_lock(file: IO[str]) -> bool:
    """Take the lock of an open file if it is free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise
    return True


def install(venv: Path, locks: list[Path], alone: IO[str], torch_index: str | None, repair: bool) -> None:
    """Complete the environment: make it, install exact versions, prove it, and write the stamp last. Raises Stop."""
    began = time.monotonic()
    before = stamp(venv)
    check_space(venv)
    make_environment(venv)
    (venv / "emulsion.json").unlink(missing_ok=True)
    folder = packages_folder(venv)
    for name in remove_damaged(folder, thorough=repair):
        print(f"  {name} was incomplete and is installed again", flush=True)
    if torch_index not in (None, before.get("torch-index")) and "torch" in installed(folder):
        run_pip(venv, alone, ["uninstall", "--yes", "torch"])  # the same version of another build
    missing = unmet(locks, installed(folder))
    torch = [name for name in missing if name.startswith("torch==")]
    rest = [name for name in missing if name not in torch]
    if missing:
        print(f"Installing {len(missing)} packages into {venv} ...", flush=True)
    if rest:
        run_pip(venv, alone, ["install", "--no-deps", *rest])
    if torch:  # with its dependencies: which CUDA libraries a build needs is known to that build alone
        index = ["--index-url", torch_index] if torch_index else []
        run_pip(venv, alone, ["install", *torch, *index, "-c", str(LOCK), "-c", str(CONSTRAINTS)])
    left = unmet(locks, installed(folder))
    if left:
        raise Stop(f"After the install {listing(left)} is still not there. Run: python launch.py --repair")
    proof = prove(venv)
    facts = {"locks": sorted({fingerprint([LOCK]), fingerprint(locks)}), **proof}
    facts["torch-index"] = torch_index or before.get("torch-index")
    part = venv / "emulsion.json.part"
    part.write_text(json.dumps(facts), encoding="utf-8")
    part.replace(venv / "emulsion.json")
    print(f"Ready after {time.monotonic() - began:.0f} s: torch {proof['torch']} on {proof['name']}.", flush=True)
    if proof["problem"]:
        print(f"The graphics card cannot be used ({proof['problem']}); the processor is used instead.", flush=True)
    elif proof["device"] == "cpu" and shutil.which("nvidia-smi"):
        print("There is an NVIDIA card, but this torch cannot use it: see docs/install.md, --torch-index.", flush=True)


def check_space(venv: Path) -> None:
    """Raise Stop when the disk is too small for what is to come."""
    have = shutil.disk_usage(venv if venv.exists() else venv.parent).free
    folder = packages_folder(venv)
    wanted = (6.5 if sys.platform == "linux" and shutil.which("nvidia-smi") else 2.5) * GIB
    if folder and "torch" in installed(folder):
        wanted = GIB / 2
    if have < wanted:
        raise Stop(
            f"The disk that holds {venv} has {have / GIB:.1f} GB free, but the install needs {wanted / GIB:.1f} GB. "
            "Free some space, or set EMULSION_VENV to a folder on another disk."
        )


def make_environment(venv: Path) -> None:
    """Make the virtual environment, or make it anew when its Python or pip does not start."""
    python = python_of(venv)
    usable = python.exists() and subprocess.run(
        [python, "-c", f"import sys, pip; sys.exit(not {OLDEST} <= sys.version_info[:2] <= {NEWEST})"],
        capture_output=True,
        check=False,
        env=clean_environment(),
    )
    if usable and usable.returncode == 0:
        return
    if venv.exists() and not (venv / "pyvenv.cfg").exists() and any(venv.iterdir()):
        raise Stop(f"{venv} is in the way: it has files but is no virtual environment. Move it or set EMULSION_VENV.")
    if not (find_spec("venv") and find_spec("ensurepip")):
        raise Stop(
            "This Python has no venv module. On Debian and Ubuntu: sudo apt install "
            f"python3.{sys.version_info[1]}-venv; elsewhere install the full Python."
        )
    print(f"Making a virtual environment in {venv} ...", flush=True)
    command = [sys.executable, "-m", "venv", "--clear", str(venv)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=clean_environment())
    if done.returncode:
        raise Stop(reason(done.stdout + done.stderr, f"The virtual environment could not be made in {venv}"))


def remove_damaged(folder: Path | None, thorough: bool) -> list[str]:
    """Forget packages whose files are not all there (an install that was killed), so that pip installs them again.

    A package without RECORD was cut off; with `thorough` every file's hash is compared as well. Their names."""
    damaged = []
    for info in sorted(folder.glob("*.dist-info") if folder else []):
        if not is_whole(info, thorough):
            damaged.append(info.name[: -len(".dist-info")])
            shutil.rmtree(info)
    for leftover in folder.glob("~*") if folder else []:  # pip's names for what it was about to delete
        shutil.rmtree(leftover, ignore_errors=True)
    return damaged


def is_whole(info: Path, thorough: bool) -> bool:
    """Whether all files that a package's RECORD lists are there with the size, or the hash, it gives."""
    try:
        rows = list(csv.reader((info / "RECORD").read_text(encoding="utf-8").splitlines()))
        for name, digest, size in rows:
            if not digest:  # compiled files and RECORD itself
                continue
            file = info.parent / name
            if size and file.stat().st_size != int(size):
                return False
            if thorough and digest.startswith("sha256="):
                actual = base64.urlsafe_b64encode(hashlib.sha256(file.read_bytes()).digest()).rstrip(b"=")
                if actual.decode() != digest[7:]:
                    return False
    except (OSError, ValueError):
        return False
    return bool(rows)


def run_pip(venv: Path, alone: IO[str], arguments: list[str]) -> None:
    """Run pip, showing what it fetches; all it says goes to install.log. Raises Stop with the reason."""
    log_file = venv / "install.log"
    lines = []
    with log_file.open("a", encoding="utf-8") as log:
        process = subprocess.Popen(
            [python_of(venv), "-m", "pip", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            env={**clean_environment(), "PIP_PROGRESS_BAR": "off"},
            pass_fds=(alone.fileno(),) if os.name != "nt" else (),
        )
        try:
            for line in process.stdout or ():
                log.write(line)
                lines.append(line.strip())
                if worth_showing(line):
                    print("  " + line.strip().split(":")[0][:110], flush=True)
        except BaseException:
            process.terminate()
            raise
        finally:
            process.wait()
    if process.returncode:
        raise Stop(reason("\n".join(lines), f"pip could not install the packages (all it said is in {log_file})"))


def worth_showing(line: str) -> bool:
    """Whether a line of pip tells of something that takes time: a large download, or the unpacking at the end."""
    size = re.search(r"\(([\d.]+) ([MG])B\)", line)
    large = size is not None and (size[2] == "G" or float(size[1]) >= 5)
    return line.lstrip().startswith("Installing collected") or ("Downloading" in line and large)


def reason(output: str, otherwise: str) -> str:
    """One sentence for what pip or venv said: the known causes in plain words, else its own last error line."""
    for pattern, sentence in KNOWN_CAUSES:
        if re.search(pattern, output, re.IGNORECASE):
            return sentence
    missing = re.search(r"No matching distribution found for (\S+)", output)
    if missing and os.environ.get("PIP_NO_INDEX"):
        return f"{missing[1]} is missing, and PIP_NO_INDEX forbids to ask the package index for it."
    if missing:
        return f"The package index has no {missing[1]} for Python {sys.version.split()[0]} on this system."
    last = [line for line in output.splitlines() if "error" in line.lower()]
    return f"{otherwise}: {(last or output.splitlines() or ['no reason was given'])[-1].strip()}"


def explain(error: OSError) -> str:
    """One sentence for an error of the file system."""
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return FULL + where
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return READ_ONLY + where
    return f"The install could not go on: {error}. Start again, or run: python launch.py --repair"


def prove(venv: Path) -> dict[str, Any]:
    """Import what the program needs and run one kernel on the best device. Raises Stop."""
    print("Proving that it works ...", flush=True)
    env = {**clean_environment(), **NO_TELEMETRY}
    done = subprocess.run([python_of(venv), "-c", PROOF], capture_output=True, text=True, check=False, env=env)
    try:
        return dict(json.loads(done.stdout.splitlines()[-1]))
    except (IndexError, ValueError):
        last = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1]
        raise Stop(f"The installed packages do not work: {last}. Run: python launch.py --repair") from None
