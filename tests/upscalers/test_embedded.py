"""The upscalers that come with the program hold what docs/upscalers.md says, through the product's own code."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from tests.house.tree import ROOT
from webui.paths import Paths
from webui.training.upscaler.__main__ import shipped
from webui.training.upscaler.report import measured, ssim
from webui.upscalers.embedded import EMBEDDED, FOLDER
from webui.upscalers.enlarge import enlarge
from webui.upscalers.loading import load_upscaler
from webui.upscalers.names import find_upscaler, names
from webui.weights.header import read_header

PICTURES = sorted((ROOT / "tests" / "data" / "upscaling").glob("*.png"))  # drawings that training never saw
NAMES = {2: "emulsion-2x", 4: "emulsion-4x"}


def test_they_are_found_whatever_the_models_folder(tmp_path):
    found = {one.name: one.scale for one in names(Paths(models=tmp_path)) if one.file}
    assert found == {"emulsion-2x": 2, "emulsion-4x": 4}


def test_they_are_small_and_in_half_precision():
    files = [FOLDER / name for name in EMBEDDED.values()]
    assert sum(file.stat().st_size for file in files) <= 3_000_000
    assert {info.dtype for file in files for info in read_header(file).tensors.values()} == {"F16"}


@pytest.mark.parametrize("scale", [2, 4])
def test_spandrel_gives_what_the_trained_network_gives(scale):
    model = load_upscaler(find_upscaler(NAMES[scale], Paths()).file, "cpu")
    assert (model.descriptor.architecture.id, model.scale) == ("Compact", scale)
    x = torch.rand(1, 3, 24, 20)
    with torch.inference_mode():
        assert torch.allclose(model(x), shipped(scale, FOLDER)(x).clamp(0, 1), atol=1e-5)


@pytest.mark.parametrize("scale", [2, 4])
@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
def test_unseen_drawings_come_out_better_than_by_bicubic(scale, path):
    def product(x):
        return enlarge(x, NAMES[scale], (x.shape[3] * scale, x.shape[2] * scale), paths=Paths())

    found = measured(product, [np.asarray(Image.open(path).convert("RGB"))], scale)
    assert found["psnr"] >= found["bicubic psnr"] + 1
    assert found["ssim"] > found["bicubic ssim"]


def test_there_are_pictures_to_measure_on():
    assert len(PICTURES) == 4


@pytest.mark.parametrize("scale", [2, 4])
def test_tiles_show_no_seams(scale):
    x = torch.from_numpy(np.asarray(Image.open(PICTURES[0]).convert("RGB")).copy()).permute(2, 0, 1)[None] / 255
    size = (192 * scale, 192 * scale)
    tiled = enlarge(x, NAMES[scale], size, paths=Paths(), tile=80, overlap=32)
    assert float((tiled - enlarge(x, NAMES[scale], size, paths=Paths(), tile=0)).abs().max()) <= 1 / 255 + 1e-6


def test_similarity_is_1_for_equal_pictures_and_less_for_others():
    x = torch.rand(1, 3, 32, 32)
    assert ssim(x, x) == pytest.approx(1, abs=1e-6)
    assert ssim(x, 1 - x) < 0
