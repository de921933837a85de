"""From the start of a process to a loaded checkpoint, ours and diffusers', with the memory that it takes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from benchmarks import load
from benchmarks.measure import Sample, rows, timed
from benchmarks.model import checkpoint
from benchmarks.registry import BENCHMARKS, Row, Setting

ROOT = Path(__file__).parents[1]
PEER = "diffusers, bf16"

OURS = """
from webui import families
from webui.weights.reader import open_weights
with open_weights({path!r}) as weights:
    model = families.detect(weights.header).load(weights, "cpu")
"""
IMPORTS = "import torch"
THEIRS = """
import torch
from diffusers import StableDiffusionPipeline
pipeline = StableDiffusionPipeline.from_single_file(
    {path!r}, config={folder!r}, torch_dtype=torch.bfloat16, local_files_only=True, safety_checker=None
)
"""
REPORT = """
import json
lines = open("/proc/self/status").read().splitlines()
facts = {line.split(":")[0]: int(line.split()[1]) / 2**20 for line in lines if line.startswith(("VmHWM", "RssAnon"))}
print(json.dumps({"peak GiB": round(facts["VmHWM"], 2), "anonymous GiB": round(facts["RssAnon"], 2)}))
"""


@BENCHMARKS.register("start")
def start(setting: Setting) -> Iterable[Row]:
    """Process start to a checkpoint that is ready in bfloat16 (fp16 file in the page cache)."""
    path = checkpoint(setting.work)
    folder = diffusers_folder(setting.work / "sd15-folder")
    names = {"path": str(path), "folder": str(folder)}
    cases: dict[str, Callable[[], dict[str, Any]]] = {
        "ours": lambda: in_process(OURS.format(**names)),
        "of which torch's import": lambda: in_process(IMPORTS),
        PEER: lambda: in_process(THEIRS.format(**names)),
    }
    samples: dict[str, list[Sample]] = {name: [] for name in cases}
    for lap in range(setting.repeats + 1):
        for name, call in cases.items():
            sample = timed(call)
            if lap:  # the first reads files from the disk
                samples[name].append(sample)
    return rows("process start to ready", samples, PEER)


@BENCHMARKS.register("load")
def loading(setting: Setting) -> Iterable[Row]:
    """Loading alone against the least that is possible (see `benchmarks/load.py`)."""
    for mode, figures in load.measure(setting.work, setting.repeats).items():
        seconds = figures["seconds"]
        facts = {"weights GB": figures["bytes"] / 1e9, "peak anonymous GB": figures["anonymous"] / 1e9}
        yield Row("load", mode, seconds, seconds, seconds, 0.0, setting.repeats, 0.0, facts=facts)


def in_process(script: str) -> dict[str, Any]:
    """Run a script in a fresh interpreter; its last line is a JSON object."""
    done = subprocess.run([sys.executable, "-c", script + REPORT], cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def diffusers_folder(folder: Path) -> Path:
    """The configurations that diffusers wants beside a single file, made here because nothing may be downloaded."""
    if (folder / "model_index.json").exists():
        return folder
    import torch
    from diffusers import AutoencoderKL, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    folder.mkdir(parents=True, exist_ok=True)
    write_vocabulary(folder / "tokenizer")
    with torch.device("meta"):
        parts: dict[str, Any] = {
            "unet": UNet2DConditionModel(cross_attention_dim=768, sample_size=64),
            "vae": AutoencoderKL(
                block_out_channels=(128, 256, 512, 512),
                down_block_types=("DownEncoderBlock2D",) * 4,
                up_block_types=("UpDecoderBlock2D",) * 4,
                layers_per_block=2,
            ),
            "text_encoder": CLIPTextModel(
                CLIPTextConfig(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12)
            ),
        }
    for name in ("unet", "vae"):
        parts[name].save_config(folder / name)
    parts["text_encoder"].config.architectures = ["CLIPTextModel"]
    parts["text_encoder"].config.save_pretrained(folder / "text_encoder")
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    scheduler: Any = PNDMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1)
    pipeline: Any = StableDiffusionPipeline(
        **parts,
        tokenizer=tokenizer,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    tokenizer.save_pretrained(folder / "tokenizer")
    scheduler.save_pretrained(folder / "scheduler")
    pipeline.save_config(folder)
    return folder


def write_vocabulary(folder: Path) -> None:
    """CLIP's vocabulary as transformers reads it, from the app's own copy."""
    import gzip

    source = ROOT / "webui" / "text" / "vocabularies" / "clip_bpe_simple_vocab_16e6.txt.gz"
    merges = gzip.decompress(source.read_bytes()).decode().split("\n")[1 : 49152 - 256 - 2 + 1]
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [256 + index for index in range(256 - len(printable))]
    letters = [chr(code) for code in (*printable, *others)]
    words = letters + [letter + "</w>" for letter in letters] + ["".join(merge.split()) for merge in merges]
    words += ["<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]))


__all__ = ["start"]
