"""`python -m webui.training.upscaler STEP`: make the embedded upscalers. See docs/upscalers.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch
from torch import Tensor

from webui.training.starter import pictures as packages
from webui.training.upscaler import pictures, report
from webui.training.upscaler.network import Compact
from webui.training.upscaler.train import train
from webui.upscalers.embedded import EMBEDDED, FOLDER
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors

STEPS = ("draw", "train", "report", "all")
HEADER = "| scale | pictures | bicubic | ours | gain | SSIM bicubic | SSIM ours |\n|---|---|---|---|---|---|---|"


def main(arguments: list[str] | None = None) -> int:
    """Run one step, or all of them in order. `train` goes on where it stopped."""
    parser = argparse.ArgumentParser(prog="python -m webui.training.upscaler", description=__doc__)
    parser.add_argument("step", choices=STEPS)
    parser.add_argument("--work", type=Path, default=Path("data/upscaler"), help="folder of data, states and logs")
    parser.add_argument("--packages", type=Path, default=Path("data/starter/packages"), help="the emoji packages")
    parser.add_argument("--out", type=Path, default=FOLDER, help="where the finished files go")
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--minutes", type=float, default=50.0, help="for both scales together")
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args(arguments)
    torch.set_num_threads(options.threads)
    options.work.mkdir(parents=True, exist_ok=True)
    archive = options.work / "pictures.npz"
    if options.step in ("draw", "all"):
        packages.fetch(options.packages)
        pictures.fetch_photos(options.work / "photos")
        pictures.save(pictures.make(options.packages, options.work / "photos", options.scenes), archive)
    found = pictures.load(archive)
    if options.step in ("train", "all"):
        twice = train(found, options.scenes, 2, options.work, options.minutes * 0.4)
        export(twice, options.out)
        export(train(found, options.scenes, 4, options.work, options.minutes * 0.6, start=twice), options.out)
    if options.step in ("report", "all"):
        print(HEADER)
        for scale in EMBEDDED:
            print("\n".join(report.table(shipped(scale, options.out), found.unseen, scale)))
    return 0


def export(network: Compact, folder: Path) -> None:
    """Write one finished network as float16."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: t.detach().to(torch.float16).contiguous() for name, t in network.state_dict().items()}
    notes = {
        "modelspec.title": f"Emulsion {network.scale}x",
        "modelspec.description": "A small upscaler for illustrations, trained from scratch on clean pictures.",
        "modelspec.license": "MIT; trained on pictures under MIT, Apache-2.0 and CC0, and on such in the public domain",
    }
    save_safetensors(folder / EMBEDDED[network.scale], tensors, notes)


def shipped(scale: int, folder: Path) -> report.Enlarge:
    """The network of a finished file, in float32, not tiled."""
    with open_weights(folder / EMBEDDED[scale]) as weights:
        tensors = {name: weights.tensor(name).float() for name in weights.header.tensors}
    features = tensors["body.0.weight"].shape[0]
    network = Compact(scale, features, (len({name.split(".")[1] for name in tensors}) - 3) // 2)
    network.load_state_dict(tensors)

    def enlarge(picture: Tensor) -> Tensor:
        return network.eval()(picture)

    return enlarge


if __name__ == "__main__":
    sys.exit(main())
