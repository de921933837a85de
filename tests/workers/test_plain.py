"""Settings on their way to a worker."""

from __future__ import annotations

import json
from pathlib import Path

from webui.paths import Paths
from webui.settings import Settings
from webui.workers.plain import WorkerSettings, from_plain, to_plain


def test_settings_survive_the_way_through_json():
    paths = Paths(Path("/d"), Path("/m"), Path("/o"), {"loras": (Path("/l"), Path("/k"))})
    settings = Settings(paths).changed({"checkpoint": "a", "quick_settings": ["vae"], "noise_seed_delta": 31337})
    wanted = WorkerSettings(settings, "cpu", "float32", False)
    assert from_plain(json.loads(json.dumps(to_plain(wanted)))) == wanted
