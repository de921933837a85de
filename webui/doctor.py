"""`doctor`: what is installed, what the machine has, and what to do about what is wrong. Nothing is changed.

It must work when much else does not, so it imports nothing that is installed; torch is asked in another process.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from webui import environment
from webui.paths import MODEL_FOLDERS, Paths
from webui.ports import port_problem

GIB = 2**30
SEEN_BY_TORCH = """
import json, torch
found = {"torch": torch.__version__, "threads": torch.get_num_threads(), "cards": []}
for number in range(torch.cuda.device_count()):
    card = torch.cuda.get_device_properties(number)
    built = f"sm_{card.major}{card.minor}" in torch.cuda.get_arch_list()
    found["cards"].append([card.name, card.total_memory, built, torch.cuda.is_bf16_supported()])
found["mps"] = torch.backends.mps.is_available()
found["cpu"] = torch.backends.cpu.get_cpu_capability()
found["bf16"] = bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Finding:
    """One line of the report: what was looked at, what was found, and what to do about it (empty if all is well)."""

    topic: str
    found: str
    remedy: str = ""
    serious: bool = False  # the program cannot run so


def examine(paths: Paths, port: int | None = None) -> list[Finding]:
    """Look at everything and say what was found."""
    return [
        *examine_packages(),
        *examine_torch(),
        *examine_machine(paths),
        examine_port(port or 7860),
        *examine_folders(paths),
    ]


def report(findings: list[Finding]) -> str:
    """The findings as lines of text, what to do below each."""
    lines = []
    for finding in findings:
        lines.append(f"{'!' if finding.remedy else ' '} {finding.topic:12} {finding.found}")
        if finding.remedy:
            lines.append(f"{'':15}-> {finding.remedy}")
    troubles = sum(bool(finding.remedy) for finding in findings)
    lines.append("")
    lines.append(
        "All is well." if not troubles else f"{troubles} thing(s) to look at, marked with an exclamation mark."
    )
    return "\n".join(lines)


def examine_packages() -> list[Finding]:
    """Python, the virtual environment, and the installed versions against the lock."""
    venv = environment.environment_folder()
    findings = [Finding("Python", f"{platform.python_version()} ({sys.executable}) on {platform.platform()}")]
    if os.environ.get("EMULSION_SKIP_VENV") == "1":
        folder = environment.packages_folder(Path(sys.prefix))
    else:
        folder = environment.packages_folder(venv)
        if not environment.stamp(venv):
            remedy = "Run: python launch.py. It makes the environment, or completes one that was cut off."
            findings.append(Finding("Environment", f"{venv} is not complete", remedy, serious=True))
        else:
            findings.append(Finding("Environment", str(venv)))
    found = environment.installed(folder)
    missing = environment.unmet([environment.LOCK], found)
    if missing and not any(finding.serious for finding in findings):
        text = f"{len(missing)} differ from the wanted versions: {environment.listing(missing)}"
        findings.append(Finding("Packages", text, "Run: python launch.py --repair", serious=True))
    elif not missing:
        findings.append(Finding("Packages", "all as in requirements.txt"))
    if "torchvision" in found:
        remedy = "Remove it (pip uninstall torchvision) if anything fails to import: its build must match torch's."
        findings.append(Finding("Packages", f"torchvision {found['torchvision']} is there too", remedy))
    return findings


def examine_torch() -> list[Finding]:
    """The torch build and the devices that it can use, asked in a process of its own."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", SEEN_BY_TORCH], capture_output=True, text=True, check=False, timeout=120
        )
        seen = json.loads(done.stdout)
    except (OSError, ValueError, subprocess.TimeoutExpired):
        return [Finding("torch", "cannot be imported", "Run: python launch.py --repair", serious=True)]
    findings = [Finding("torch", seen["torch"])]
    bf16 = "bfloat16 in hardware" if seen["bf16"] else "no bfloat16 in hardware, so float32"
    findings.append(Finding("Processor", f"{seen['cpu']}, {seen['threads']} threads, {bf16}"))
    for name, memory, built, card_bf16 in seen["cards"]:
        text = f"{name}, {memory / GIB:.0f} GB, bfloat16 {'yes' if card_bf16 else 'no'}"
        remedy = "" if built else "This torch is not built for this card: see docs/install.md, --torch-index."
        findings.append(Finding("Card", text, remedy))
    if seen["mps"]:
        findings.append(Finding("Card", "Apple GPU"))
    if not seen["cards"] and shutil.which("nvidia-smi"):
        remedy = "Install a CUDA build: see docs/install.md, --torch-index."
        findings.append(Finding("Card", "an NVIDIA card is there, but this torch cannot use it", remedy))
    return findings


def examine_machine(paths: Paths) -> list[Finding]:
    """Memory and disk space."""
    findings = []
    available = free_memory()
    if available is not None:
        remedy = "Close other programs; SD 1.5 needs about 4 GB, SDXL about 10 GB." if available < 3 * GIB else ""
        findings.append(Finding("Memory", f"{available / GIB:.1f} GB free", remedy))
    place = next(folder for folder in (paths.outputs, *paths.outputs.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    remedy = "Free some space: pictures and settings may not be saved." if free < GIB else ""
    findings.append(Finding("Disk", f"{free / GIB:.1f} GB free at {place}", remedy))
    return findings


def free_memory() -> int | None:
    """Bytes that programs can still get, or None where the system does not tell without help."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        return None
    return None


def examine_port(port: int) -> Finding:
    """Whether the page's port is free."""
    problem = port_problem("127.0.0.1", port)
    remedy = "Another Emulsion may be running at this address; else the next free port is used." if problem else ""
    return Finding("Port", problem or f"{port} is free", remedy)


def examine_folders(paths: Paths) -> list[Finding]:
    """Whether the data folders can be written to, and which model files there are."""
    findings = []
    for name, folder in (("Data", paths.data), ("Pictures", paths.outputs)):
        place = next(part for part in (folder, *folder.parents) if part.exists())
        remedy = (
            "" if os.access(place, os.W_OK) else "It cannot be written to. Start with --data-dir and a folder of yours."
        )
        findings.append(Finding(name, str(folder), remedy, serious=bool(remedy) and name == "Data"))
    for kind in MODEL_FOLDERS:
        folders = paths.folders(kind)
        files = [file for folder in folders for file in folder.rglob("*") if is_model(file)]
        # The starter's folder holds its checkpoint and what its previews are drawn with.
        own = kind == "preview_decoders"
        files = [file for file in files if file.parent != paths.starter or file.stem.endswith("_preview") == own]
        if kind == "checkpoints" and paths.models.is_dir():  # they may also lie in the models folder itself
            folders = (paths.models, *folders)
            files += [file for file in paths.models.iterdir() if is_model(file)]
        if files or kind == "checkpoints":
            remedy = "" if files else f"Put a .safetensors file into {paths.models}."
            findings.append(
                Finding(
                    kind.replace("_", " ").capitalize(),
                    f"{len(files)} file(s) in {joined(folders)}" if files else "none",
                    remedy,
                )
            )
    return findings


def is_model(file: Path) -> bool:
    """Whether a file is named like a model."""
    return file.suffix.lower() in (".safetensors", ".sft", ".ckpt", ".pt", ".pth", ".bin", ".gguf") and file.is_file()


def joined(folders: tuple[Path, ...]) -> str:
    """Folders as text."""
    return ", ".join(map(str, folders)) or "no folder"
