"""The upscalers that come with the program, so that enlarging works without a download. See docs/upscalers.md."""

from __future__ import annotations

from pathlib import Path

from webui.paths import PROGRAM

FOLDER: Path = PROGRAM / "models" / "upscalers"
EMBEDDED = {2: "emulsion-2x.safetensors", 4: "emulsion-4x.safetensors"}  # scale -> file
