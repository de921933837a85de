"""What the starter checkpoint is trained on: picture sets, style words, concepts, backgrounds, captions.

A concept is a CLDR short name ("red apple"), a style is one picture set. Every picture the model sees is one
(concept, style) drawing composed over a background, captioned in words that say exactly what was composed.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class PictureSet:
    """One drawing style and the npm package that carries it."""

    style: str
    package: str
    version: str
    licence: str

    @property
    def archive_name(self) -> str:
        """File name that `npm pack` gives the package."""
        return f"{self.package.lstrip('@').replace('/', '-')}-{self.version}.tgz"


PICTURE_SETS = (
    PictureSet("flat", "@iconify-json/fluent-emoji-flat", "1.2.6", "MIT"),
    PictureSet("gradient", "@iconify-json/fluent-emoji", "1.2.7", "MIT"),
    PictureSet("stencil", "@iconify-json/fluent-emoji-high-contrast", "1.2.6", "MIT"),
    PictureSet("3d", "@lobehub/fluent-emoji-3d", "1.1.0", "MIT"),
    PictureSet("noto", "@iconify-json/noto", "1.2.9", "Apache-2.0"),
    PictureSet("blob", "@iconify-json/noto-v1", "1.2.5", "Apache-2.0"),
    PictureSet("twemoji", "@iconify-json/twemoji", "1.2.5", "CC-BY-4.0"),
    PictureSet("glossy", "@iconify-json/emojione", "1.2.3", "CC-BY-4.0"),
    PictureSet("firefox", "@iconify-json/fxemoji", "1.2.2", "Apache-2.0"),
)
NAMES_PACKAGE = ("emojibase-data", "17.0.0")
HELD_OUT_STYLE = "stencil"

BACKGROUNDS = {
    "white": (255, 255, 255),
    "black": (24, 24, 28),
    "grey": (150, 152, 158),
    "red": (214, 62, 62),
    "orange": (242, 150, 64),
    "yellow": (248, 216, 92),
    "green": (98, 178, 102),
    "blue": (82, 132, 220),
    "light blue": (168, 214, 244),
    "purple": (142, 96, 196),
    "pink": (244, 168, 198),
    "brown": (146, 104, 74),
}

# Mirroring these would teach the model wrong letters, clocks and musical notes.
MIRROR_SENSITIVE = frozenset(
    [
        "clock",
        "watch",
        "music",
        "keyboard",
        "calendar",
        "book",
        "newspaper",
        "memo",
        "computer",
        "trumpet",
        "guitar",
        "violin",
    ]
)

SMALL_CONCEPTS = """
dog face; cat face; fox; panda; lion; koala; rabbit face; penguin; owl; frog; turtle; whale; octopus; butterfly;
honeybee; rose; sunflower; palm tree; cactus; mushroom; red apple; green apple; banana; strawberry; watermelon; lemon;
pineapple; cherries; carrot; pizza; hamburger; doughnut; ice cream; birthday cake; house; locomotive; automobile; bus;
sailboat; rocket; airplane; sun; star; crescent moon; snowman; fire; jack-o-lantern; Christmas tree; balloon;
soccer ball; crown; guitar; red heart; ghost; robot; skull; grinning face; smiling face with sunglasses
"""


TAUGHT_CONCEPTS = """
dog face; cat face; fox; panda; lion; penguin; frog; butterfly; sunflower; palm tree; mushroom; red apple; banana;
strawberry; watermelon; pizza; hamburger; doughnut; house; automobile; rocket; sun; star; snowman; red heart; ghost;
robot; grinning face
"""


@dataclass(frozen=True)
class Profile:
    """How large a model to make: `small` fits some CPU hours, `large` wants a GPU."""

    name: str
    styles: tuple[str, ...]
    concepts: tuple[str, ...] | None  # None: every animal, plant, food, place, activity, object and face
    taught_concepts: tuple[str, ...] | None  # what the UNet learns of these; None: all of them
    taught_styles: tuple[str, ...]
    size: int  # native picture size in pixels
    scales: tuple[float, float]  # a drawing's share of the picture's side
    shift: float  # how far it may lie from the middle, in shares of the side
    mirror: bool
    vae_channels: int
    vae_multipliers: tuple[int, ...]
    unet_channels: int
    unet_multipliers: tuple[int, ...]
    unet_blocks: int
    text_width: int
    text_layers: int


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


PROFILES = {
    "small": Profile(
        name="small",
        styles=("flat", "3d", "noto", "twemoji"),
        concepts=_names(SMALL_CONCEPTS),
        taught_concepts=_names(TAUGHT_CONCEPTS),
        taught_styles=("flat", "3d"),
        size=128,
        scales=(0.84, 0.96),
        shift=0.03,
        mirror=False,
        vae_channels=32,
        vae_multipliers=(1, 1, 2, 4),
        unet_channels=64,
        unet_multipliers=(1, 2, 4),
        unet_blocks=1,
        text_width=192,
        text_layers=3,
    ),
    "large": Profile(
        name="large",
        styles=tuple(s.style for s in PICTURE_SETS if s.style != HELD_OUT_STYLE),
        concepts=None,
        taught_concepts=None,
        taught_styles=tuple(s.style for s in PICTURE_SETS if s.style != HELD_OUT_STYLE),
        size=256,
        scales=(0.7, 1.0),
        shift=0.08,
        mirror=True,
        vae_channels=64,
        vae_multipliers=(1, 2, 4, 4),
        unet_channels=160,
        unet_multipliers=(1, 2, 3),
        unet_blocks=2,
        text_width=256,
        text_layers=6,
    ),
}


def is_held_out(concept: str, style: str) -> bool:
    """True for the tenth of (concept, style) pairs that training never sees; the same on every machine."""
    return hashlib.sha256(f"{concept}|{style}".encode()).digest()[0] < 26


def caption(concept: str, style: str, background: str | None, keywords: tuple[str, ...], choice) -> str:
    """A prompt that says what was composed. `choice` is a random.Random; word order and extras vary."""
    article = "an" if concept[0].lower() in "aeiou" else "a"
    noun = f"{article} {concept}" if choice.random() < 0.5 else concept
    parts = [noun]
    if choice.random() < 0.9:
        parts.append(f"{style} style")
    if background is not None and choice.random() < 0.85:
        parts.append(f"{background} background")
    if keywords and choice.random() < 0.15:
        parts.append(choice.choice(keywords))
    return ", ".join(parts)
