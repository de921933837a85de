"""Giving everything back."""

from __future__ import annotations

import torch

from tests.captioning.models import tagger_folder
from tests.upscalers.networks import paths_with
from webui.captioning.loading import load_captioner
from webui.captioning.names import find_captioner
from webui.engine.session import Session
from webui.paths import Paths
from webui.settings import Settings
from webui.upscalers.loading import load_upscaler
from webui.upscalers.names import find_upscaler

CPU = torch.device("cpu")


def test_unloading_also_forgets_networks_of_other_jobs(tmp_path):
    paths = paths_with(tmp_path)
    tagger_folder(paths.models / "captioners" / "small")
    captioner = find_captioner("small", paths)
    file = find_upscaler("emulsion-2x", Paths()).file
    before = load_upscaler(file, CPU), load_captioner(captioner, CPU)
    assert (load_upscaler(file, CPU), load_captioner(captioner, CPU)) == before  # they stay until then
    Session(Settings(paths), device="cpu").unload()
    assert load_upscaler(file, CPU) is not before[0]
    assert load_captioner(captioner, CPU) is not before[1]
