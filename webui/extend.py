"""The only module that an extension imports.

An extension is a folder `extensions/<name>/` whose `extension.py` holds one object, `EXTENSION`, of a class made from
`Extension`. For each job that it takes part in, it makes one fresh `JobHooks` object, so nothing leaks between jobs or
users. Names and arguments of hooks are checked when the class is defined: a misspelt hook never loads. What the engine
promises to each hook is written in `docs/extensions.md`. Importing this module does not import torch.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from webui.errors import ExtensionError, InvalidRequest
from webui.registry import Registry
from webui.request import GenerationRequest

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image
    from torch import Tensor

    from webui.diffusion.conditioning import Conditioning
    from webui.nn.hooks import NO_HOOKS, BlockHooks, Site

__all__ = [
    "API_VERSION",
    "NO_HOOKS",
    "BlockHooks",
    "Cell",
    "Conditioning",
    "Denoiser",
    "DirectiveCall",
    "Extension",
    "ExtensionError",
    "InvalidRequest",
    "JobHooks",
    "Made",
    "NamedFile",
    "Option",
    "PictureInfo",
    "Predictor",
    "PromptText",
    "Registries",
    "Registry",
    "Script",
    "Sheet",
    "Site",
    "Start",
    "Step",
]

API_VERSION = 1
_LATER = {  # names that need torch, imported when an extension first asks for them
    "BlockHooks": "webui.nn.hooks",
    "NO_HOOKS": "webui.nn.hooks",
    "Site": "webui.nn.hooks",
    "Conditioning": "webui.diffusion.conditioning",
}

Predictor: TypeAlias = Callable[["Tensor", float, "Conditioning"], "Tensor"]
Denoiser: TypeAlias = Callable[["Tensor", float], "Tensor"]


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"webui.extend has no {name!r}; it offers {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_LATER[name]), name)


@dataclass(frozen=True)
class Option:
    """One choice that users have, declared once: it becomes a control, an API field and an infotext key.

    The type is that of `default` (bool, int, float or str); `choices` make it a menu. `infotext` is the key written
    under pictures when the value is not the default; without one the label is used.
    """

    key: str
    label: str
    default: bool | int | float | str
    minimum: float | None = None
    maximum: float | None = None
    step: float | None = None
    choices: tuple[str, ...] = ()
    infotext: str = ""
    help: str = ""
    pictures: bool = False  # of scripts: files that were sent; the value is a line "blob:… name" for each

    def __post_init__(self) -> None:
        if not self.key.isidentifier():
            raise ExtensionError(f"The option key {self.key!r} is not a plain name.", "Use letters, digits and _.")
        if self.choices and self.default not in self.choices:
            raise ExtensionError(f"Option {self.key!r} defaults to {self.default!r}.", f"Choices: {self.choices}.")

    @property
    def infotext_key(self) -> str:
        """The key under which the value stands in an infotext."""
        return self.infotext or self.label

    @property
    def control(self) -> str:
        """What the page shows: "checkbox", "menu", "slider", "number", "pictures" or "text"."""
        if self.pictures:
            return "pictures"
        if isinstance(self.default, bool):
            return "checkbox"
        if self.choices:
            return "menu"
        if isinstance(self.default, str):
            return "text"
        return "slider" if self.minimum is not None and self.maximum is not None else "number"

    def schema(self) -> dict[str, Any]:
        """The API field, as JSON schema."""
        kinds = {bool: "boolean", int: "integer", float: "number", str: "string"}
        facts = {"minimum": self.minimum, "maximum": self.maximum, "enum": list(self.choices) or None}
        shown = {"type": kinds[type(self.default)], "title": self.label, "default": self.default}
        return shown | {name: value for name, value in facts.items() if value is not None}

    def check(self, value: Any) -> bool | int | float | str:
        """The value in the option's type. Raises InvalidRequest when it does not fit."""
        kind = type(self.default)
        if kind is float and isinstance(value, int) and not isinstance(value, bool):
            value = float(value)
        if type(value) is not kind:
            raise InvalidRequest(f"{self.label} is {value!r}.", f"A {kind.__name__} was wanted.")
        if self.choices and value not in self.choices:
            raise InvalidRequest(f"{self.label} is {value!r}.", f"Choices: {', '.join(self.choices)}.")
        low = -math.inf if self.minimum is None else self.minimum
        high = math.inf if self.maximum is None else self.maximum
        if isinstance(value, int | float) and not low <= value <= high:
            raise InvalidRequest(f"{self.label} is {value!r}.", f"It must be from {low} to {high}.")
        return value

    def read(self, text: str) -> bool | int | float | str:
        """The value from an infotext. Raises InvalidRequest when it does not fit."""
        if isinstance(self.default, bool):
            return self.check({"true": True, "false": False}.get(text.strip().lower(), text))
        try:
            return self.check(type(self.default)(text))
        except ValueError:
            raise InvalidRequest(f"{self.label} is {text!r}.", f"A {type(self.default).__name__} was wanted.") from None


@dataclass(frozen=True)
class PromptText:
    """The words of one picture. `index` counts the pictures of the job from 0; `seed` is the picture's own."""

    positive: str
    negative: str
    seed: int
    index: int


@dataclass(frozen=True)
class DirectiveCall:
    """One `<name:value:key=value>` found in a positive prompt, for the function registered under its name."""

    name: str
    positional: tuple[str, ...]
    named: Mapping[str, str]
    seed: int
    index: int


@dataclass(frozen=True)
class Start:
    """Where sampling begins: `latents` [B, C, H, W] with noise already added, `sigmas` falling and ending in 0."""

    latents: Tensor
    sigmas: tuple[float, ...]
    pass_index: int = 0


@dataclass(frozen=True)
class Step:
    """One finished step. `denoised` [B, C, H, W] is the picture as the network sees it now; don't write into it."""

    index: int
    steps: int
    sigma: float
    denoised: Tensor
    pass_index: int = 0


@dataclass(frozen=True)
class PictureInfo:
    """Which finished picture it is, and the infotext fields to be written; `edit_image` may return a longer copy."""

    index: int
    seed: int
    fields: Mapping[str, str] = field(default_factory=dict)


class _Checked:
    """Refuses subclasses whose public methods are no hooks, or have other arguments than documented."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        documented = next(base for base in cls.__mro__ if _Checked in base.__bases__)
        if cls is documented:
            return
        for name, value in vars(cls).items():
            function = value.__func__ if isinstance(value, staticmethod | classmethod) else value
            if name.startswith("_") or not inspect.isroutine(function):
                continue
            original = getattr(documented, name, None)
            if original is None:
                known = [n for n, v in vars(documented).items() if inspect.isfunction(v) and not n.startswith("_")]
                raise ExtensionError(
                    f"{cls.__name__} has a method {name!r}, which is no hook.",
                    f"Hooks are {', '.join(known)}.",
                    "Begin the names of methods of your own with an underscore.",
                )
            wanted = list(inspect.signature(original).parameters)
            found = list(inspect.signature(function).parameters)
            if found != wanted or function is not value:
                raise ExtensionError(
                    f"{cls.__name__}.{name} takes ({', '.join(found)}).",
                    f"The hook is called as an ordinary method with ({', '.join(wanted)}).",
                )


class JobHooks(_Checked):
    """What an extension does within one job. Override what you need; each method returns a successor.

    Where several extensions wrap the same thing, the one that comes first in the settings is outermost; edits run in
    that order. Images are float32 RGB arrays [H, W, 3] in [0, 1].
    """

    def edit_prompt(self, prompt: PromptText) -> PromptText:
        """Change the words of one picture, before styles' directives are cut and the prompt is parsed."""
        return prompt

    def edit_conditioning(self, conditioning: Conditioning, text: str, negative: bool) -> Conditioning:
        """Change what the network is told: called for each encoded text of each picture."""
        return conditioning

    def edit_start(self, start: Start) -> Start:
        """Change latents or sigmas before a pass begins. Shapes must stay."""
        return start

    def wrap_predictor(self, inner: Predictor) -> Predictor:
        """Wrap one network call: `(x, sigma, conditioning) -> denoised`; rows of x may be positive and negative."""
        return inner

    def block_hooks(self) -> BlockHooks | None:
        """Functions inside the network's blocks, or None."""
        return None

    def wrap_denoiser(self, inner: Denoiser) -> Denoiser:
        """Wrap what the sampler sees, after guidance: `(x, sigma) -> denoised`."""
        return inner

    def on_step(self, step: Step) -> None:
        """Observe a finished step."""

    def edit_image(self, image: np.ndarray, info: PictureInfo) -> tuple[np.ndarray, PictureInfo]:
        """Change a decoded picture, or add fields to its infotext, before it is saved."""
        return image, info


class Extension(_Checked):
    """What `EXTENSION` is an instance of. `name` is the key in requests; it should equal the folder's name."""

    name: str = ""
    label: str = ""
    description: str = ""
    api_version: int = API_VERSION
    options: tuple[Option, ...] = ()

    def register(self, registries: Registries) -> None:
        """Called once at start: add samplers, schedules, families, directives, tabs, routes or upscalers."""

    def begin(self, options: Mapping[str, Any]) -> JobHooks | None:
        """A job begins: a fresh object that takes part in it, or None to stay out. `options` holds every option."""
        return None


@dataclass(frozen=True)
class NamedFile:
    """A picture to work on: what its owner calls it, and where it lies."""

    name: str
    path: Path


@dataclass(frozen=True)
class Cell:
    """One job of a script's many. `labels` name it, one for each direction of the sheet that it stands in.

    `place` is its column, row and page there. `settings` hold for it alone. It can start from another picture than the
    request's: `start` is a file, or the number of an earlier cell, whose first picture it then is; `mask` a file.
    `caption` names a captioner that puts the picture it starts from into words, which its prompt then ends with.
    """

    request: GenerationRequest
    labels: tuple[str, ...] = ()
    place: tuple[int, int, int] = (0, 0, 0)
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: int | Path | None = None
    mask: Path | None = None
    caption: str = ""


@dataclass(frozen=True)
class Made:
    """What became of a cell: the file of its first picture, or why there is none (empty: it was left out)."""

    cell: Cell
    picture: Path | None = None
    problem: str = ""


@dataclass(frozen=True)
class Sheet:
    """A picture made of a script's pictures. `fields` go into its infotext, behind those of the first picture.

    A `usual` one only puts pictures side by side, as grids of ordinary jobs do: whether it is saved and whether it is
    sent over HTTP are left to the settings about those. The page shows it either way.
    """

    name: str  # of the file
    picture: Image.Image
    fields: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    usual: bool = False


Draw: TypeAlias = Callable[[], int]  # a random seed


@dataclass(frozen=True)
class Script:
    """Many jobs from one request. `options` stand in the order in which A1111's API takes a script's arguments.

    `plan(request, arguments, draw)` says which cells there are, in milliseconds and without torch; seeds that it wants
    come from `draw()`; an option of pictures is a tuple of `NamedFile` there. `assemble(made, arguments)` lays their
    pictures out, in the order of the cells.
    """

    options: tuple[Option, ...]
    plan: Callable[[GenerationRequest, Mapping[str, Any], Draw], Sequence[Cell]]
    assemble: Callable[[Sequence[Made], Mapping[str, Any]], Sequence[Sheet]] | None = None
    tabs: tuple[str, ...] = ("txt2img", "img2img")  # where it is offered; inpainting counts as img2img
    own_pictures: bool = False  # its cells bring the pictures to start from: the request needs none
    every_picture: bool = False  # its cells follow batch count and batch size; others make one picture a cell
    local: bool = False  # it reads folders of the machine that the program runs on


SCRIPTS: Registry[Script] = Registry("script")  # those of this program are in webui/scripts


@dataclass(frozen=True)
class Registries:
    """Where extensions add things, with `registries.samplers.register("My sampler")(function)`.

    `directives` hold `function(call: DirectiveCall) -> str`, whose result takes the directive's place;
    `tabs` hold `function() -> gradio blocks`; `routes` hold `function(app: fastapi.FastAPI) -> None`;
    `upscalers` hold `function(picture, size) -> picture` of Pillow's RGB pictures and a (width, height);
    `restorers`, of faces, hold `function(picture, weight) -> picture` of the same size; `scripts` hold a `Script`.
    """

    samplers: Registry[Any]
    schedules: Registry[Any]
    families: Registry[Any]
    directives: Registry[Callable[[DirectiveCall], str]]
    tabs: Registry[Callable[[], Any]]
    routes: Registry[Callable[[Any], None]]
    upscalers: Registry[Any] = field(default_factory=lambda: Registry("upscaler"))
    restorers: Registry[Any] = field(default_factory=lambda: Registry("face restorer"))
    scripts: Registry[Script] = field(default_factory=lambda: Registry("script"))


def option_values(owner: str, options: Sequence[Option], given: Mapping[str, Any]) -> dict[str, Any]:
    """Every option of an extension or a script with its given or default value.

    Raises InvalidRequest on unknown keys or values.
    """
    known = {option.key: option for option in options}
    for key in given:
        if key not in known:
            raise InvalidRequest(f"{owner} has no option {key!r}.", f"Known: {', '.join(known) or 'none'}.")
    return {key: option.check(given[key]) if key in given else option.default for key, option in known.items()}
