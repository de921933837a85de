"""Which upscalers there are, and which one a name means. No torch: menus and requests are checked with this."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from webui.errors import NotFound
from webui.paths import Paths
from webui.upscalers.builtin import UPSCALERS

SUFFIXES = (".safetensors", ".pth", ".pt", ".ckpt")
SCALE = re.compile(r"(?<![0-9])(1|2|3|4|8|16)x(?![0-9])|(?<![0-9a-z])x(1|2|3|4|8|16)(?![0-9])", re.IGNORECASE)
# What A1111's lists call files that it fetches itself; infotexts and API clients use these names.
FILE_NAMES = {
    "R-ESRGAN 4x+": "RealESRGAN_x4plus",
    "R-ESRGAN 4x+ Anime6B": "RealESRGAN_x4plus_anime_6B",
    "R-ESRGAN 2x+": "RealESRGAN_x2plus",
    "R-ESRGAN General 4xV3": "realesr-general-x4v3",
    "R-ESRGAN General WDN 4xV3": "realesr-general-wdn-x4v3",
    "R-ESRGAN AnimeVideo": "realesr-animevideov3",
    "SwinIR 4x": "SwinIR_4x",
    "DAT x2": "DAT_x2",
    "DAT x3": "DAT_x3",
    "DAT x4": "DAT_x4",
}


@dataclass(frozen=True)
class UpscalerName:
    """One choice. `scale` is None where the name does not tell it; `file` is None for what needs none."""

    name: str
    scale: int | None = None
    file: Path | None = None


def names(paths: Paths) -> list[UpscalerName]:
    """All upscalers: the built-in ones first, then model files by name. Reads folders, opens no file.

    A model's name is its file name without suffix; where two folders have one, the first folder's counts.
    """
    found = [UpscalerName(entry.name) for entry in UPSCALERS]
    taken = {one.name.casefold() for one in found}
    files: list[UpscalerName] = []
    for file in _files(paths):
        if file.stem.casefold() not in taken:
            taken.add(file.stem.casefold())
            files.append(UpscalerName(file.stem, _scale(file.stem), file))
    return found + sorted(files, key=lambda one: one.name.casefold())


def find_upscaler(name: str, paths: Paths) -> UpscalerName:
    """The upscaler of a name: as listed, as a file name, or as A1111 calls it; case and punctuation do not matter.

    Raises NotFound with the closest names.
    """
    known = names(paths)
    if name in UPSCALERS:
        return UpscalerName(UPSCALERS.find(name).name)
    file_names = {_plain(shown): stem for shown, stem in FILE_NAMES.items()}
    stem = Path(name).stem if name.lower().endswith(SUFFIXES) else name
    for wanted in (name, stem):
        for one in known:
            if one.name.casefold() == wanted.casefold():
                return one
    for wanted in (_plain(stem), _plain(file_names.get(_plain(name), name))):
        for one in known:
            if _plain(one.name) == wanted:
                return one
    close = difflib.get_close_matches(name, [one.name for one in known if one.name != "None"], 3, 0.5)
    raise NotFound(
        f"There is no upscaler named {name!r}.",
        f"{'Closest' if close else 'Known'}: {', '.join(close or [one.name for one in known[:8]])}.",
        "Put its file into models/upscalers and refresh the list.",
    )


def _files(paths: Paths) -> Iterator[Path]:
    """Model files of all folders, the user's first; folders inside of folders too."""
    for folder in paths.folders("upscalers"):
        for file in sorted(folder.rglob("*"), key=lambda path: str(path).casefold()):
            if file.suffix.lower() in SUFFIXES and not file.name.startswith(".") and file.is_file():
                yield file


def _scale(stem: str) -> int | None:
    match = SCALE.search(stem.replace("_", " "))
    return int(match[1] or match[2]) if match else None


def _plain(name: str) -> str:
    """Letters, digits and plus signs in lower case: "R-ESRGAN 4x+" and "r_esrgan_4x+" are one name."""
    return re.sub(r"[^0-9a-z+]", "", name.casefold())
