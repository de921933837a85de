"""Tiny model folders with random weights, as model hubs lay them out."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

WORDS = ("a", "red", "apple", "on", "the", "table", "cat", "##s", "and", "dog", "sky", "blue", "tree", "house")
SIDE = 32


def blip_folder(folder: Path, seed: int = 0) -> Path:
    """A BLIP of two layers that speaks some twenty words."""
    from tokenizers import Tokenizer, decoders, models
    from transformers import BlipConfig, BlipForConditionalGeneration

    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, "[DEC]"]
    numbers = {word: number for number, word in enumerate(vocabulary)}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    special = {"bos_token_id": numbers["[DEC]"], "eos_token_id": 2, "pad_token_id": 0, "sep_token_id": 3}
    text = {**small, "vocab_size": len(vocabulary), "encoder_hidden_size": 32, "projection_dim": 16, **special}
    vision = {**small, "image_size": SIDE, "patch_size": 8, "projection_dim": 16}
    torch.manual_seed(seed)
    config = BlipConfig(text_config=text, vision_config=vision, projection_dim=16, image_text_hidden_size=16)
    network = BlipForConditionalGeneration(config)
    with torch.no_grad():  # weights of the usual size give the same word at each place
        for parameter in network.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.35)
    network.save_pretrained(folder)
    words = Tokenizer(models.WordPiece(numbers, unk_token="[UNK]"))
    words.decoder = decoders.WordPiece()
    words.add_special_tokens([word for word in vocabulary if word.startswith("[")])
    words.save(str(folder / "tokenizer.json"))
    means = {"image_mean": [0.48, 0.46, 0.41], "image_std": [0.27, 0.26, 0.28], "size": {"height": SIDE, "width": SIDE}}
    (folder / "preprocessor_config.json").write_text(json.dumps(means))
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    return folder


TAGS = (("general", "9"), ("1girl", "0"), ("red_eyes", "0"), ("^_^", "0"), ("ganyu_(genshin_impact)", "4"))


def tagger_folder(folder: Path, width: int = 128, depth: int = 2, side: int = 4, patch: int = 8) -> Path:
    """A vision transformer in timm's layout with five tags."""
    torch.manual_seed(1)
    tensors = {
        "patch_embed.proj.weight": torch.randn(width, 3, patch, patch) * 0.1,
        "patch_embed.proj.bias": torch.randn(width) * 0.1,
        "pos_embed": torch.randn(1, side * side, width) * 0.1,
        "norm.weight": 1 + torch.randn(width) * 0.1,
        "norm.bias": torch.randn(width) * 0.1,
        "head.weight": torch.randn(len(TAGS), width) * 0.3,
        "head.bias": torch.zeros(len(TAGS)),
    }
    for index in range(depth):
        shapes = {"attn.qkv": (3 * width, width), "attn.proj": (width, width)}
        shapes |= {"mlp.fc1": (2 * width, width), "mlp.fc2": (width, 2 * width)}
        for name, shape in shapes.items():
            tensors[f"blocks.{index}.{name}.weight"] = torch.randn(shape) * width**-0.5
            tensors[f"blocks.{index}.{name}.bias"] = torch.randn(shape[0]) * 0.1
        for name in ("norm1", "norm2"):
            tensors[f"blocks.{index}.{name}.weight"] = 1 + torch.randn(width) * 0.1
            tensors[f"blocks.{index}.{name}.bias"] = torch.randn(width) * 0.1
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "model.safetensors")
    config = {"architecture": "vit_base_patch16_224", "num_classes": len(TAGS), "model_args": {"class_token": False}}
    (folder / "config.json").write_text(json.dumps(config))
    with (folder / "selected_tags.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["tag_id", "name", "category", "count"])
        rows.writerows([number, name, kind, 1] for number, (name, kind) in enumerate(TAGS))
    return folder
