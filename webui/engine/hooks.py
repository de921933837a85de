"""The hooks of one job, composed. A failure is told with the extension's name; its picture is never made silently."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from typing import TYPE_CHECKING, Any, TypeVar

from webui.engine.memory import is_out_of_memory
from webui.errors import EmulsionError, ExtensionError
from webui.extend import Extension, JobHooks, PictureInfo, PromptText, Start, Step

if TYPE_CHECKING:
    import numpy as np

    from webui.diffusion.conditioning import Conditioning
    from webui.extend import Denoiser, Predictor
    from webui.nn.hooks import BlockHooks

T = TypeVar("T")


class Blamed(ExtensionError):
    """An ExtensionError that already names the extension."""


@dataclass(frozen=True)
class NamedHooks:
    """One extension's part in one job."""

    name: str
    hooks: JobHooks


def begin_job(extensions: Sequence[Extension], options: Mapping[str, Mapping[str, Any]]) -> tuple[NamedHooks, ...]:
    """Ask every extension for its fresh hooks. `options` holds every option of every extension."""
    taking_part = []
    for extension in extensions:
        with _blaming(extension.name, "begin"):
            hooks = extension.begin(dict(options[extension.name]))
            if hooks is not None:
                taking_part.append(NamedHooks(extension.name, _of_type(hooks, JobHooks)))
    return tuple(taking_part)


@dataclass(frozen=True)
class HookChain:
    """All hooks of a job. Edits run first to last; of wrappers, the first is outermost."""

    chain: tuple[NamedHooks, ...] = ()

    def edit_prompt(self, prompt: PromptText) -> PromptText:
        """Pass the words of one picture through every hook."""
        for named in self.chain:
            with _blaming(named.name, "edit_prompt"):
                prompt = _of_type(named.hooks.edit_prompt(prompt), PromptText)
        return prompt

    def edit_conditioning(self, conditioning: Conditioning, text: str, negative: bool) -> Conditioning:
        """Pass one encoded text through every hook."""
        for named in self.chain:
            with _blaming(named.name, "edit_conditioning"):
                result = named.hooks.edit_conditioning(conditioning, text, negative)
                conditioning = _of_type(result, type(conditioning))
        return conditioning

    @property
    def edits_conditioning(self) -> bool:
        """Whether any hook changes conditionings, so that cached ones must be copied through."""
        return any(_overrides(named.hooks, "edit_conditioning") for named in self.chain)

    def edit_start(self, start: Start) -> Start:
        """Pass the first latents and the sigmas through every hook."""
        for named in self.chain:
            with _blaming(named.name, "edit_start"):
                result = _of_type(named.hooks.edit_start(start), Start)
                if result.latents.shape != start.latents.shape:
                    raise ExtensionError(
                        f"edit_start returned latents {list(result.latents.shape)}.",
                        f"The shape must stay {list(start.latents.shape)}.",
                    )
                start = result
        return start

    def wrap_predictor(self, predictor: Predictor) -> Predictor:
        """The predictor inside every hook that wraps it."""
        return reduce(lambda inner, named: _wrapped(named, "wrap_predictor", inner), reversed(self.chain), predictor)

    def wrap_denoiser(self, denoiser: Denoiser) -> Denoiser:
        """The denoiser inside every hook that wraps it."""
        return reduce(lambda inner, named: _wrapped(named, "wrap_denoiser", inner), reversed(self.chain), denoiser)

    def block_hooks(self) -> BlockHooks:
        """The sum of what the hooks do inside blocks."""
        from webui.nn.hooks import NO_HOOKS, BlockHooks

        total = NO_HOOKS
        for named in self.chain:
            with _blaming(named.name, "block_hooks"):
                found = named.hooks.block_hooks()
                if found is not None:
                    total = total + _of_type(found, BlockHooks)
        return total

    def on_step(self, step: Step) -> None:
        """Show a finished step to every hook."""
        for named in self.chain:
            with _blaming(named.name, "on_step"):
                named.hooks.on_step(step)

    def edit_image(self, image: np.ndarray, info: PictureInfo) -> tuple[np.ndarray, PictureInfo]:
        """Pass one decoded picture through every hook."""
        for named in self.chain:
            with _blaming(named.name, "edit_image"):
                image, info = named.hooks.edit_image(image, info)
                if image.ndim != 3 or image.shape[2] != 3 or image.dtype.kind != "f":
                    raise ExtensionError(
                        f"edit_image returned an array {list(image.shape)} of {image.dtype}.",
                        "A float array [height, width, 3] in [0, 1] was wanted.",
                    )
        return image, info


def _wrapped(named: NamedHooks, hook: str, inner: Callable[..., Any]) -> Callable[..., Any]:
    if not _overrides(named.hooks, hook):
        return inner

    def guarded_inner(*arguments: Any) -> Any:
        try:
            return inner(*arguments)
        except Exception as error:
            error.from_inside = True  # type: ignore[attr-defined]  # not the wrapping extension's fault
            raise

    with _blaming(named.name, hook):
        outer = getattr(named.hooks, hook)(guarded_inner)
        if not callable(outer):
            raise ExtensionError(f"{hook} returned {type(outer).__name__}.", "A function was wanted.")

    def call(*arguments: Any) -> Any:
        with _blaming(named.name, hook):
            return outer(*arguments)

    return call


def _overrides(hooks: JobHooks, name: str) -> bool:
    return getattr(type(hooks), name) is not getattr(JobHooks, name)


def _of_type(value: Any, kind: type[T]) -> T:
    if not isinstance(value, kind):
        raise ExtensionError(f"It returned {type(value).__name__}.", f"{kind.__name__} was wanted.")
    return value


@contextmanager
def _blaming(name: str, hook: str) -> Iterator[None]:
    try:
        yield
    except Blamed:
        raise
    except ExtensionError as error:
        raise Blamed(f"The extension {name!r} failed in {hook}: {error}") from error
    except EmulsionError:
        raise
    except (Exception, SystemExit) as error:  # an extension's sys.exit() must not end the worker
        if getattr(error, "from_inside", False) or is_out_of_memory(error):
            raise
        raise Blamed(
            f"The extension {name!r} failed in {hook}: {type(error).__name__}: {error}",
            remedy="Switch it off in the settings, or report this to its author.",
        ) from error
