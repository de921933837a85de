"""Fetch the picture sets, draw every (concept, style) once with its alpha channel, and compose training pictures."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image

from webui.training.starter.recipe import HELD_OUT_STYLE, NAMES_PACKAGE, PICTURE_SETS, Profile, is_held_out

RENDER_SIZE = 160
WANTED_GROUPS = (0, 3, 4, 5, 6, 7)  # emojibase: smileys, animals, food, travel, activities, objects


@dataclass(frozen=True)
class Drawings:
    """Every drawing of a profile: `rgba` uint8 [N, S, S, 4] and, by the same index, what it shows."""

    rgba: numpy.ndarray
    concepts: list[str]
    styles: list[str]
    keywords: list[tuple[str, ...]]

    def taught(self, profile: Profile) -> Drawings:
        """The part that a profile's UNet learns, and the same things in the held-out style."""
        styles = (*profile.taught_styles, HELD_OUT_STYLE)
        concepts = set(profile.taught_concepts or self.concepts)
        kept = [i for i, c in enumerate(self.concepts) if c in concepts and self.styles[i] in styles]
        return Drawings(
            self.rgba[kept],
            [self.concepts[i] for i in kept],
            [self.styles[i] for i in kept],
            [self.keywords[i] for i in kept],
        )

    def indices(self, which: str) -> list[int]:
        """Positions of `seen`, `held out` (pairs) or `lora` (the held-out style) drawings."""

        def kind(i: int) -> str:
            if self.styles[i] == HELD_OUT_STYLE:
                return "lora"
            return "held out" if is_held_out(self.concepts[i], self.styles[i]) else "seen"

        return [i for i in range(len(self.concepts)) if kind(i) == which]


def fetch(folder: Path) -> None:
    """Download the packages with `npm pack` unless they are already there."""
    if shutil.which("npm") is None:
        raise SystemExit("npm was not found; it is needed once, to fetch the picture sets. Install Node.js.")
    folder.mkdir(parents=True, exist_ok=True)
    wanted = [(s.package, s.version, s.archive_name) for s in PICTURE_SETS]
    wanted.append((*NAMES_PACKAGE, f"{NAMES_PACKAGE[0]}-{NAMES_PACKAGE[1]}.tgz"))
    for package, version, archive in wanted:
        if not (folder / archive).exists():
            subprocess.run(["npm", "pack", f"{package}@{version}"], cwd=folder, check=True, capture_output=True)


def read_member(archive: Path, member: str) -> bytes:
    """One file of a package."""
    with tarfile.open(archive) as tar:
        extracted = tar.extractfile(f"package/{member}")
        assert extracted is not None
        return extracted.read()


def _slug(label: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", label.lower().replace("’", "").replace("'", "")).strip("-")


def _codepoint(hexcode: str) -> str:
    return "-".join(part for part in hexcode.lower().split("-") if part != "fe0f")


def svg_of(icon: dict, defaults: dict) -> str:
    """A whole SVG of one icon of an iconify collection; `defaults` is the collection."""
    width = icon.get("width", defaults.get("width", 16))
    height = icon.get("height", defaults.get("height", 16))
    names = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'
    return f'<svg {names} viewBox="0 0 {width} {height}">{icon["body"]}</svg>'


def draw(folder: Path, profile: Profile, size: int = RENDER_SIZE) -> Drawings:
    """Draw the profile's concepts in its styles and in the held-out style. Needs `resvg-py` (development only)."""
    import resvg_py

    names = folder / f"{NAMES_PACKAGE[0]}-{NAMES_PACKAGE[1]}.tgz"
    entries = [e for e in json.loads(read_member(names, "en/data.json")) if e.get("group") in WANTED_GROUPS]
    if profile.concepts is not None:
        known = {e["label"]: e for e in entries}
        missing = [c for c in profile.concepts if c not in known]
        if missing:
            raise SystemExit(f"These concepts are not CLDR names: {missing}")
        entries = [known[c] for c in profile.concepts]
    rgba, concepts, styles, keywords = [], [], [], []
    named: dict[str, set[str]] = {e["hexcode"]: {_slug(e["label"])} for e in entries}
    libraries = {}
    for pictures in PICTURE_SETS:
        if not pictures.package.startswith("@iconify-json/"):
            continue
        archive = folder / pictures.archive_name
        icons = json.loads(read_member(archive, "icons.json"))
        codes = {_codepoint(code): name for code, name in json.loads(read_member(archive, "chars.json")).items()}
        libraries[pictures.style] = icons
        for entry in entries:
            if (name := codes.get(_codepoint(entry["hexcode"]))) is not None:
                named[entry["hexcode"]].add(name)
    for pictures in PICTURE_SETS:
        if pictures.style not in (*profile.styles, HELD_OUT_STYLE):
            continue
        icons = libraries.get(pictures.style)
        archive = folder / pictures.archive_name
        with tarfile.open(archive) as tar:
            members = {_codepoint(Path(m.name).stem): m for m in tar.getmembers() if m.name.endswith(".webp")}
            for entry in entries:
                if icons is None:
                    member = members.get(_codepoint(entry["hexcode"]))
                    if member is None:
                        continue
                    extracted = tar.extractfile(member)
                    assert extracted is not None
                    picture = Image.open(io.BytesIO(extracted.read())).convert("RGBA")
                    picture = picture.resize((size, size), Image.Resampling.LANCZOS)
                else:
                    found = [icons["icons"][n] for n in sorted(named[entry["hexcode"]]) if n in icons["icons"]]
                    if not found:
                        continue
                    png = resvg_py.svg_to_bytes(svg_string=svg_of(found[0], icons), width=size, height=size)
                    picture = Image.open(io.BytesIO(bytes(png))).convert("RGBA")
                    if picture.size != (size, size):
                        canvas = Image.new("RGBA", (size, size))
                        picture.thumbnail((size, size), Image.Resampling.LANCZOS)
                        canvas.paste(picture, ((size - picture.width) // 2, (size - picture.height) // 2))
                        picture = canvas
                rgba.append(numpy.asarray(picture))
                concepts.append(entry["label"])
                styles.append(pictures.style)
                keywords.append(tuple(entry.get("tags", ())))
    return Drawings(numpy.stack(rgba), concepts, styles, keywords)


def save(drawings: Drawings, path: Path) -> None:
    """Store the drawings as one compressed archive that `load` reads back."""
    words = json.dumps([drawings.concepts, drawings.styles, drawings.keywords]).encode()
    numpy.savez_compressed(path, rgba=drawings.rgba, words=numpy.frombuffer(words, numpy.uint8))


def load(path: Path) -> Drawings:
    """Read what `save` wrote."""
    with numpy.load(path, allow_pickle=False) as archive:
        rgba, words = archive["rgba"], json.loads(archive["words"].tobytes())
    return Drawings(rgba, words[0], words[1], [tuple(k) for k in words[2]])


def compose(
    rgba: numpy.ndarray,
    background: tuple[int, int, int],
    size: int,
    scale: float,
    shift: tuple[float, float],
    mirror: bool,
) -> numpy.ndarray:
    """Place one drawing on a plain ground.

    Args: `rgba` uint8 [S, S, 4]; `background` RGB 0..255; `scale` the drawing's share of the picture's side; `shift`
    its offset from the centre in shares of the side. Returns uint8 [size, size, 3].
    """
    drawing = Image.fromarray(rgba)
    if mirror:
        drawing = drawing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    side = max(8, round(size * scale))
    small = drawing.convert("RGBa").resize((side, side), Image.Resampling.BOX).convert("RGBA")  # no dark fringe
    left = min(max(round((size - side) / 2 + shift[0] * size), 0), size - side)
    top = min(max(round((size - side) / 2 + shift[1] * size), 0), size - side)
    picture = Image.new("RGBA", (size, size), (*background, 255))
    picture.alpha_composite(small, (left, top))
    return numpy.asarray(picture)[..., :3]
