"""A checkpoint's metadata may say with which settings it is best used."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.families.base import Defaults
from webui.families.detection import own_defaults
from webui.weights.tensors import Header


def header_with(text: str) -> Header:
    return Header(Path("x.safetensors"), "safetensors", {}, {"emulsion.defaults": text})


def test_what_the_file_says_takes_the_place_of_the_family_s_habits() -> None:
    found = own_defaults(header_with('{"sampler": "DPM++ 2M", "guidance_scale": 4.0}'), Defaults(clip_skip=2))
    assert found == Defaults(sampler="DPM++ 2M", guidance_scale=4.0, clip_skip=2)


@pytest.mark.parametrize("text", ["", "[]", "{", '{"steps": "many"}', '{"unknown": 1}', "[" * 100_000])
def test_metadata_that_do_not_fit_change_nothing(text: str) -> None:
    assert own_defaults(header_with(text), Defaults()) == Defaults()
