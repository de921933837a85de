"""BLIP: a vision transformer whose states a small text decoder reads to write a sentence about a picture.

Li et al. 2022, "BLIP: Bootstrapping Language-Image Pre-training for Unified Vision-Language Understanding and
Generation". The network is that of `transformers`; it is given a folder, reads safetensors alone, and asks nobody.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from PIL import Image

from webui.captioning.preparing import normalised, read_object
from webui.errors import DamagedFile, FileError
from webui.imaging.resize import flattened

if TYPE_CHECKING:
    from webui.captioning.loading import Describe

BEAMS, MOST_TOKENS = 3, 48
MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)  # of CLIP's training pictures
# Errors of transformers for a folder whose files do not belong together.
MISFITS = (OSError, ValueError, KeyError, RuntimeError, TypeError, AttributeError)


def load(folder: Path, device: torch.device) -> Describe:
    """A captioner of a model folder. Raises FileError, DamagedFile."""
    from safetensors import SafetensorError
    from transformers import BlipForConditionalGeneration

    if not any(folder.glob("*.safetensors")):
        raise FileError(
            f"{folder.name} holds no weights in safetensors.", "Wanted: model.safetensors.", "Pickles are not read."
        )
    dtype = torch.float16 if device.type == "cuda" else torch.float32
    words = _words(folder)
    try:
        loaded: Any = BlipForConditionalGeneration.from_pretrained(
            str(folder), local_files_only=True, use_safetensors=True, dtype=dtype, output_loading_info=True
        )
        network, facts = loaded
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (*MISFITS, SafetensorError) as error:
        raise DamagedFile(f"{folder.name} cannot be loaded: {str(error)[:300]}", "", "Fetch it again.") from None
    if facts["missing_keys"]:  # transformers would make them up
        missing = ", ".join(sorted(facts["missing_keys"])[:3])
        raise DamagedFile(f"The weights of {folder.name} lack {missing}.", "", "Fetch them again.")
    network.to(device).eval()
    prepared = folder / "preprocessor_config.json"
    scale = read_object(prepared) if prepared.is_file() else {}
    mean, std = scale.get("image_mean", MEAN), scale.get("image_std", STD)
    side = network.config.vision_config.image_size

    def describe(picture: Image.Image) -> str:
        pixels = normalised(flattened(picture), (side, side), mean, std).to(device, dtype)  # [1, 3, side, side]
        with torch.inference_mode():
            tokens = network.generate(pixel_values=pixels, num_beams=BEAMS, max_new_tokens=MOST_TOKENS)
        return " ".join(words.decode(tokens[0].tolist(), skip_special_tokens=True).split())

    return describe


def _words(folder: Path) -> Any:
    """What turns numbers into words: `tokenizer.json`, or BERT's `vocab.txt`."""
    import tokenizers

    whole, vocabulary = folder / "tokenizer.json", folder / "vocab.txt"
    try:
        if whole.is_file():
            return tokenizers.Tokenizer.from_file(str(whole))
        if vocabulary.is_file():
            known = {word: number for number, word in enumerate(vocabulary.read_text("utf-8").splitlines())}
            words = tokenizers.Tokenizer(tokenizers.models.WordPiece(known, unk_token="[UNK]"))
            words.decoder = tokenizers.decoders.WordPiece()  # type: ignore[assignment]
            words.add_special_tokens([word for word in known if word.startswith("[") and word.endswith("]")])
            return words
    except Exception as error:  # tokenizers raises nothing else
        raise DamagedFile(f"The vocabulary of {folder.name} cannot be read: {error}.", "", "Fetch it again.") from None
    raise FileError(f"{folder.name} has no vocabulary.", "Wanted: tokenizer.json or vocab.txt.", "Fetch it too.")
