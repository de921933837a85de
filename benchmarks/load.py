"""How long a checkpoint takes to load, and how much memory, against the least that is possible.

A random full-size Stable Diffusion 1.5 file (2.1 GB, fp16) is written once and stays in the page cache. The floor is
mapping the file and touching every page of it; for another type it is casting each tensor of the mapped file once.
Every lap runs in a process of its own, alternating; the median counts. Anonymous memory is sampled while loading.

    python benchmarks/load.py [--folder DIR] [--laps N]
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]
LAPS = 5
GOAL_TIME, GOAL_MEMORY = 1.5, 1.15
MODES = ("floor, touched", "load, kept as in the file", "floor, cast to bfloat16", "load, cast to bfloat16")


def make_file(path: Path) -> Path:
    """Write a random SD 1.5 checkpoint in fp16, unless it is there."""
    import torch

    from webui.nn.clip import ClipText, ClipTextConfig
    from webui.nn.unet import UNet, UNetConfig
    from webui.nn.vae import Autoencoder, AutoencoderConfig
    from webui.weights.canonical import CLIP, UNET, VAE
    from webui.weights.save import save_safetensors

    if path.exists():
        return path
    with torch.device("meta"):
        parts = (
            (UNET, UNet(UNetConfig.regular())),
            (VAE, Autoencoder(AutoencoderConfig())),
            (CLIP, ClipText(ClipTextConfig())),
        )
    generator = torch.Generator().manual_seed(0)
    tensors = {}
    for prefix, module in parts:
        for name, tensor in module.state_dict().items():
            noise = torch.randn(tensor.shape, generator=generator)
            tensors[prefix + name] = (noise * 0.02).half()
    save_safetensors(path, tensors)
    return path


def lap(mode: str, path: Path) -> dict[str, float]:
    """One lap in this process: seconds, bytes of weights kept, and peak anonymous bytes above those before it."""
    import torch

    from webui import families
    from webui.weights.reader import open_weights

    torch.empty(1).bfloat16()
    import webui.families.loading  # noqa: F401 - imports are another figure

    kept: list[object] = []

    def load(dtype: torch.dtype | None) -> int:
        with open_weights(path) as weights:
            family = families.detect(weights.header)
            storage = "file" if dtype is None else None
            model = family.load(weights, "cpu", dtype or torch.float32, storage=storage)
        kept.append(model)
        networks = (model.unet, model.vae, *model.text_encoders)
        tensors = [tensor for network in networks for tensor in network.state_dict().values()]
        if dtype is None:  # mapped: touch the pages as the floor does
            return sum(touch(tensor.view(-1) if tensor.is_contiguous() else tensor.flatten()) for tensor in tensors)
        return sum(tensor.nbytes for tensor in tensors)

    def touch(flat: torch.Tensor) -> int:
        flat[:: 4096 // flat.dtype.itemsize].float().sum()
        return flat.nbytes

    def floor(dtype: torch.dtype | None) -> int:
        weights = open_weights(path)
        tensors = [weights.tensor(name) for name in weights.header.tensors]
        if dtype is None:
            return sum(touch(tensor.view(-1)) for tensor in tensors)
        kept.append([tensor.to(dtype) for tensor in tensors])
        return sum(tensor.nbytes for tensor in tensors)

    work: dict[str, Callable[[], int]] = {
        MODES[0]: lambda: floor(None),
        MODES[1]: lambda: load(None),
        MODES[2]: lambda: floor(torch.bfloat16),
        MODES[3]: lambda: load(torch.bfloat16),
    }
    with torch.no_grad(), AnonymousPeak() as peak:
        start = time.perf_counter()
        size = work[mode]()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": size, "anonymous": peak.bytes}


class AnonymousPeak:
    """Samples the process's anonymous memory (what is no page cache) every two milliseconds."""

    def __enter__(self) -> AnonymousPeak:
        self.before, self.highest, self.done = self._now(), 0, threading.Event()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.done.set()
        self.thread.join()
        self.highest = max(self.highest, self._now())

    @property
    def bytes(self) -> int:
        """Peak above the start."""
        return max(0, self.highest - self.before)

    def _watch(self) -> None:
        while not self.done.wait(0.002):
            self.highest = max(self.highest, self._now())

    @staticmethod
    def _now() -> int:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        return 0


def measure(folder: Path, laps: int = LAPS) -> dict[str, dict[str, float]]:
    """Medians by mode."""
    path = make_file(folder / "random-sd15-fp16.safetensors")
    found: dict[str, list[dict[str, float]]] = {mode: [] for mode in MODES}
    for _ in range(laps):
        for mode in MODES:
            command = [sys.executable, __file__, "--lap", mode, "--file", str(path)]
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
            found[mode].append(json.loads(done.stdout))
    return {
        mode: {key: statistics.median(each[key] for each in rows) for key in rows[0]} for mode, rows in found.items()
    }


def table(figures: dict[str, dict[str, float]]) -> str:
    """The figures and how they stand to their goals, as Markdown."""
    lines = ["| | seconds | weights, GB | peak anonymous, GB |", "| --- | --- | --- | --- |"]
    for mode, row in figures.items():
        lines.append(f"| {mode} | {row['seconds']:.3f} | {row['bytes'] / 1e9:.2f} | {row['anonymous'] / 1e9:.2f} |")
    kept = figures[MODES[1]]["seconds"] / figures[MODES[0]]["seconds"]
    cast = figures[MODES[3]]["seconds"] / figures[MODES[2]]["seconds"]
    memory = figures[MODES[3]]["anonymous"] / figures[MODES[3]]["bytes"]
    lines += [
        "",
        f"time kept / floor {kept:.2f} (goal {GOAL_TIME}), cast / floor {cast:.2f} (goal {GOAL_TIME}), "
        f"peak anonymous / weights {memory:.2f} (goal {GOAL_MEMORY})",
    ]
    return "\n".join(lines)


def main() -> None:
    """Print the table, or run one lap."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the random checkpoint is kept (default: a temporary folder)")
    parser.add_argument("--laps", type=int, default=LAPS)
    parser.add_argument("--lap", choices=MODES, help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.lap:
        print(json.dumps(lap(options.lap, options.file)))
        return
    if options.folder:
        print(table(measure(options.folder, options.laps)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(table(measure(Path(folder), options.laps)))


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    main()
