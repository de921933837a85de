"""Upscalers by name, without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.upscalers.networks import paths_with
from webui.errors import NotFound
from webui.upscalers.names import find_upscaler, names


def touched(paths, *files):
    for file in files:
        path = paths.models / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    return paths


def test_built_in_ones_come_first_then_files_of_all_folders(tmp_path):
    files = ("SwinIR/b_x4.pth", "upscale_models/deep/A.safetensors", "RealESRGAN/notes.txt", "ESRGAN/4x-Sharp.pth")
    found = names(touched(paths_with(tmp_path), *files))
    assert [one.name for one in found] == ["None", "Lanczos", "Nearest", "4x-Sharp", "A", "b_x4"]
    assert [one.scale for one in found] == [None, None, None, 4, None, 4]


@pytest.mark.parametrize(
    ("stem", "scale"),
    [
        *[("4x-UltraSharp", 4), ("RealESRGAN_x2plus", 2), ("ESRGAN_4x", 4), ("1x_Noise", 1), ("emulsion-2x", 2)],
        *[("remacri", None), ("model512x512", None), ("DAT_x3", 3), ("8x_NMKD", 8), ("realesr-general-x4v3", 4)],
    ],
)
def test_a_name_tells_the_scale_or_not(tmp_path, stem, scale):
    paths = touched(paths_with(tmp_path), f"ESRGAN/{stem}.pth")
    assert find_upscaler(stem, paths).scale == scale


def test_of_two_files_of_one_name_the_first_folder_counts(tmp_path):
    paths = touched(paths_with(tmp_path), "ESRGAN/same.pth", "upscalers/same.safetensors")
    assert [one.file.parent.name for one in names(paths)[3:]] == ["upscalers"]


@pytest.mark.parametrize(
    "name", ["RealESRGAN_x4plus", "realesrgan_x4plus.pth", "R-ESRGAN 4x+", "r-esrgan 4X+", "RealESRGAN x4plus"]
)
def test_names_are_found_as_people_and_a1111_write_them(tmp_path, name):
    paths = touched(paths_with(tmp_path), "RealESRGAN/RealESRGAN_x4plus.pth", "ESRGAN/RealESRGAN_x4plus_anime_6B.pth")
    assert find_upscaler(name, paths).name == "RealESRGAN_x4plus"


def test_built_in_names_ignore_case(tmp_path):
    assert find_upscaler("lanczos", paths_with(tmp_path)).name == "Lanczos"


def test_a_wrong_name_is_told_with_the_closest_ones(tmp_path):
    paths = touched(paths_with(tmp_path), "ESRGAN/4x-UltraSharp.pth")
    with pytest.raises(NotFound, match=r"no upscaler named '4x_UltraShrap'\. Closest: 4x-UltraSharp\."):
        find_upscaler("4x_UltraShrap", paths)
    with pytest.raises(NotFound, match=r"Known: None, Lanczos"):  # "Closest: None" would read as "none"
        find_upscaler("nope", paths)


def test_names_load_no_torch():
    code = (
        "import sys, webui.upscalers.names as n, webui.upscalers.restorers; from webui.paths import Paths\n"
        "n.names(Paths()); assert not {'torch', 'spandrel'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
