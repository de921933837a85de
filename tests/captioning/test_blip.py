"""BLIP from a model folder, against transformers' own words."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import BlipForConditionalGeneration

from tests.captioning.models import SIDE, WORDS, blip_folder
from webui.captioning import blip
from webui.errors import DamagedFile, FileError
from webui.imaging.resize import flattened

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return blip_folder(tmp_path_factory.mktemp("models") / "small blip")


def picture(seed=0, size=(50, 40)):
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8))


def expected(folder, image):
    """What transformers makes of the picture: its own preparation where it has one without torchvision."""
    from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

    network = BlipForConditionalGeneration.from_pretrained(folder).eval()
    pixels = BlipImageProcessorPil.from_pretrained(folder)(images=image, return_tensors="pt")["pixel_values"]
    assert tuple(pixels.shape) == (1, 3, SIDE, SIDE)
    tokens = network.generate(pixel_values=pixels, num_beams=blip.BEAMS, max_new_tokens=blip.MOST_TOKENS)[0]
    vocabulary = (folder / "vocab.txt").read_text().splitlines()
    return [vocabulary[token] for token in tokens.tolist() if not vocabulary[token].startswith("[")]


def test_the_caption_is_that_of_transformers(folder):
    describe = blip.load(folder, CPU)
    captions = [describe(picture(seed)) for seed in range(3)]
    for seed, caption in enumerate(captions):
        words = expected(folder, picture(seed))
        assert words and caption == " ".join(words).replace(" ##", "")
    assert len(set(captions)) > 1  # it looks at the pictures


def test_a_list_of_words_does_as_well_as_a_tokenizer(folder):
    caption = blip.load(folder, CPU)(picture())
    (folder / "tokenizer.json").rename(folder / "elsewhere.json")
    try:
        assert blip.load(folder, CPU)(picture()) == caption
    finally:
        (folder / "elsewhere.json").rename(folder / "tokenizer.json")


def test_only_words_are_said_and_no_special_signs(folder):
    words = blip.load(folder, CPU)(picture(7)).split()
    assert words and all(word.removesuffix("s") in WORDS or word in WORDS for word in words)


def test_transparent_pictures_are_seen_over_white():
    seen = flattened(Image.new("RGBA", (4, 4), (255, 0, 0, 0)))
    assert (seen.mode, seen.getpixel((0, 0))) == ("RGB", (255, 255, 255))


def test_pickled_weights_are_refused_before_they_are_touched(tmp_path, folder):
    other = tmp_path / "pickled"
    other.mkdir()
    (other / "config.json").write_text((folder / "config.json").read_text())
    (other / "tokenizer.json").write_text((folder / "tokenizer.json").read_text())
    (other / "pytorch_model.bin").write_bytes(b"\x80\x04anything")
    with pytest.raises(FileError, match="no weights in safetensors"):
        blip.load(other, CPU)


@pytest.mark.parametrize(("name", "content"), [("model.safetensors", b"short"), ("tokenizer.json", b"{")])
def test_a_damaged_file_is_said_to_be_damaged(tmp_path, folder, name, content):
    other = tmp_path / "damaged"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / name).write_bytes(content)
    with pytest.raises(DamagedFile, match=r"damaged|cannot be"):
        blip.load(other, CPU)


def test_weights_that_lack_a_part_are_refused_instead_of_made_up(tmp_path, folder):
    other = tmp_path / "part"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    lost = next(name for name in tensors if "vision_model" in name and "weight" in name)
    save_file({n: t for n, t in tensors.items() if n != lost}, other / "model.safetensors", {"format": "pt"})
    with pytest.raises(DamagedFile, match="lack"):
        blip.load(other, CPU)
