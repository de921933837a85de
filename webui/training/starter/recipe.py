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
    "clock watch music keyboard calendar book newspaper memo computer trumpet guitar violin".split()
)

SMALL_CONCEPTS = """
monkey; gorilla; dog face; dog; poodle; wolf; fox; cat face; cat; lion; tiger face; tiger; leopard; horse face; horse;
unicorn; deer; cow face; cow; pig face; pig; ram; goat; camel; elephant; rhinoceros; mouse face; mouse; hamster;
rabbit face; rabbit; chipmunk; bat; bear; koala; panda; chicken; rooster; hatching chick; baby chick; bird; penguin;
eagle; duck; owl; parrot; flamingo; frog; crocodile; turtle; lizard; snake; dragon; whale; dolphin; fish; tropical fish;
blowfish; shark; octopus; crab; shrimp; squid; snail; butterfly; bug; ant; honeybee; lady beetle; spider; scorpion;
bouquet; cherry blossom; rose; hibiscus; sunflower; tulip; seedling; evergreen tree; deciduous tree; palm tree; cactus;
four leaf clover; maple leaf; mushroom; grapes; melon; watermelon; tangerine; lemon; banana; pineapple; red apple;
green apple; pear; peach; cherries; strawberry; kiwi fruit; tomato; avocado; eggplant; potato; carrot; ear of corn;
hot pepper; cucumber; broccoli; bread; croissant; pancakes; cheese wedge; poultry leg; bacon; hamburger; french fries;
pizza; hot dog; taco; egg; popcorn; sushi; soft ice cream; ice cream; doughnut; cookie; birthday cake; shortcake;
chocolate bar; candy; lollipop; honey pot; hot beverage; wine glass; tropical drink; beer mug; snow-capped mountain;
volcano; house; castle; tent; locomotive; bus; ambulance; fire engine; police car; taxi; automobile; delivery truck;
tractor; racing car; bicycle; sailboat; ship; airplane; helicopter; rocket; flying saucer; alarm clock; hourglass done;
crescent moon; full moon; sun; star; cloud; rainbow; umbrella; snowflake; snowman; fire; droplet; jack-o-lantern;
Christmas tree; balloon; wrapped gift; trophy; soccer ball; basketball; american football; tennis; teddy bear;
artist palette; glasses; t-shirt; jeans; dress; high-heeled shoe; running shoe; crown; top hat; ring; gem stone; bell;
guitar; violin; trumpet; drum; telephone; mobile phone; laptop; television; camera; candle; light bulb; books; envelope;
pencil; scissors; locked; key; hammer; axe; bomb; shield; magnet; telescope; microscope; pill; door; bed; skull; ghost;
alien; robot; pile of poo; clown face; red heart; broken heart; grinning face; face with tears of joy; winking face;
smiling face with heart-eyes; smiling face with sunglasses; thinking face; sleeping face; crying face; angry face;
astonished face; cowboy hat face; globe showing Americas
"""


@dataclass(frozen=True)
class Profile:
    """How large a model to make: `small` fits some CPU hours, `large` wants a GPU."""

    name: str
    styles: tuple[str, ...]
    concepts: tuple[str, ...] | None  # None: every animal, plant, food, place, activity, object and face
    size: int  # native picture size in pixels
    vae_channels: int
    unet_channels: int
    unet_multipliers: tuple[int, ...]
    text_width: int
    text_layers: int


def _names(text: str) -> tuple[str, ...]:
    return tuple(" ".join(name.split()) for name in text.split(";"))


PROFILES = {
    "small": Profile(
        "small", ("flat", "3d", "noto", "twemoji", "glossy"), _names(SMALL_CONCEPTS), 128, 32, 96, (1, 2, 3), 192, 4
    ),
    "large": Profile(
        "large",
        tuple(s.style for s in PICTURE_SETS if s.style != HELD_OUT_STYLE),
        None,
        256, 64, 160, (1, 2, 3), 256, 6,
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
