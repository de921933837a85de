"""What a model family declares, and what one loaded checkpoint is. No torch is imported until something is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from webui.weights.tensors import Header

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from webui.diffusion.conditioning import Conditioning
    from webui.diffusion.laws import NoisingLaw
    from webui.nn.unet import UNet
    from webui.nn.vae import Autoencoder
    from webui.weights.reader import Weights


@dataclass(frozen=True)
class LatentFormat:
    """How a family's latents are scaled, and how they look without a decoder.

    The network sees (z − shift)·scale of the autoencoder's latents z; where `mean` and `deviation` hold a number for
    each channel, z is standardised with them first. `preview_factors` holds a row of red, green and
    blue for each channel of the network's latents; with `preview_bias` they give a small picture in [-1, 1].
    `tiny_decoder` is the stem of the matching approximate decoder's files; `overflows` tells that the published
    autoencoder leaves float16's range.
    """

    scale: float
    channels: int = 4
    factor: int = 8
    shift: float = 0.0
    preview_factors: tuple[tuple[float, float, float], ...] = ()
    preview_bias: tuple[float, float, float] = (0.0, 0.0, 0.0)
    tiny_decoder: str = ""
    overflows: bool = False
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()

    def matches(self, other: LatentFormat) -> bool:
        """Whether latents of the one mean the same to the other, however their previews are painted."""

        def meaning(one: LatentFormat) -> tuple[object, ...]:
            return one.scale, one.channels, one.factor, one.shift, one.mean, one.deviation

        return meaning(self) == meaning(other)

    def into_network(self, latents: Tensor) -> Tensor:
        """From the autoencoder's latents [B, C, h, w] to the network's."""
        if self.mean:
            latents = (latents - _per_channel(latents, self.mean)) / _per_channel(latents, self.deviation)
        return (latents - self.shift) * self.scale

    def out_of_network(self, latents: Tensor) -> Tensor:
        """From the network's latents [B, C, h, w] to the autoencoder's."""
        latents = latents / self.scale + self.shift
        if self.mean:
            latents = latents * _per_channel(latents, self.deviation) + _per_channel(latents, self.mean)
        return latents


def _per_channel(like: Tensor, values: tuple[float, ...]) -> Tensor:
    return like.new_tensor(values).view(1, -1, 1, 1)


@dataclass(frozen=True)
class Defaults:
    """Good first settings for a family."""

    steps: int = 20
    sampler: str = "Euler a"
    schedule: str = "Automatic"
    guidance_scale: float = 7.0
    guidance_rescale: float = 0.0
    clip_skip: int = 1


@dataclass(frozen=True)
class ModelFacts:
    """What a header says about a checkpoint.

    `variant` is "text" (plain), "inpaint" (nine input channels) or "edit" (instruct-pix2pix, eight); `prediction`
    "epsilon" or "v"; `native_size` the side in pixels of the square it was trained on; `parts` which of "unet", "vae"
    and "text" the file holds; `betas` first, last and number of the noise levels it was trained with, or, for networks
    trained at any level, `continuous`: smallest and largest sigma and the deviation of the data (Karras et al. 2022).
    `tuned_for` names the tables of noise levels that suit it; `concepts` are the only things that a small model says it
    can draw, none where it says nothing.
    """

    family: str
    label: str
    variant: str
    prediction: str
    zero_terminal_snr: bool
    native_size: int
    latents: LatentFormat
    in_channels: int
    context_width: int
    pooled_width: int
    parts: tuple[str, ...]
    betas: tuple[float, float, int] = (0.00085, 0.012, 1000)
    continuous: tuple[float, float, float] | None = None
    tuned_for: str = "sd1"
    defaults: Defaults = field(default_factory=Defaults)
    concepts: tuple[str, ...] = ()

    @property
    def latent_channels(self) -> int:
        """Channels of the latents."""
        return self.latents.channels

    @property
    def factor(self) -> int:
        """Pixels per latent cell along one side."""
        return self.latents.factor

    @property
    def scale(self) -> float:
        """Scale from the autoencoder's latents to the network's."""
        return self.latents.scale

    @property
    def shift(self) -> float:
        """What is subtracted before scaling."""
        return self.latents.shift

    def law(self, width: int = 0, height: int = 0) -> NoisingLaw:
        """The noising law. The picture's size in pixels matters to families whose law depends on it; none here does."""
        from webui.diffusion.laws import DiscreteLaw, EdmLaw

        if self.continuous is not None:
            return EdmLaw(*self.continuous, prediction=self.prediction)
        return DiscreteLaw(self.prediction, self.zero_terminal_snr, self.betas, tuned_for=self.tuned_for)


@dataclass(frozen=True)
class Model:
    """One loaded checkpoint. Its weights never change while it is loaded.

    `unused` are names of the file that no part took; `text_layers_cut` how many last layers the file's text encoder
    lacks (diffusers stores SD 2's without the one that is never used).
    """

    family: Family
    facts: ModelFacts
    unet: UNet
    text_encoders: tuple[nn.Module, ...]
    vae: Autoencoder
    device: torch.device
    dtype: torch.dtype
    unused: tuple[str, ...] = ()
    text_layers_cut: int = 0

    def law(self, width: int = 0, height: int = 0) -> NoisingLaw:
        """The noising law that the network was trained under; see `ModelFacts.law`."""
        return self.facts.law(width, height)

    def encode(self, texts: Sequence[str], **options: Any) -> list[Conditioning]:
        """`Family.encode` of this model's family."""
        return self.family.encode(self, texts, **options)


@dataclass(frozen=True)
class TextEncoderPart:
    """A text encoder of a family: the prefixes that files use for it, its layout ("hf" or "openclip"), and the token
    that fills a chunk after its end (None: the end-of-text token itself)."""

    prefixes: tuple[str, ...]
    layout: str
    padding: int | None = None
    cut_in_folders: int = 0  # last layers that diffusers folders leave out


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint: how to recognise it, load it and turn texts into conditioning.

    `detects(header)` and `read_facts(header)` get a header under canonical names (`weights.canonical`);
    `encode_texts` is what `encode` calls.
    """

    name: str
    label: str
    detects: Callable[[Header], bool]
    read_facts: Callable[[Header], ModelFacts]
    text_encoders: tuple[TextEncoderPart, ...]
    encode_texts: Callable[..., list[Conditioning]]

    def facts(self, header: Header) -> ModelFacts:
        """Facts from a header as read from disk, or already under canonical names."""
        from webui.weights.canonical import canonical

        return self.read_facts(canonical(header))

    def load(
        self,
        weights: Weights | str | Path,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        vae_path: str | Path | None = None,
        **options: Any,
    ) -> Model:
        """Load a checkpoint of this family; see `families.loading.load` for the options."""
        from webui.families.loading import load

        return load(self, weights, device, dtype, vae_path, **options)

    def encode(
        self,
        model: Model,
        texts: Sequence[str],
        clip_skip: int = 1,
        emphasis: str = "Original",
        comma_backtrack: int = 20,
        size: tuple[int, int] | None = None,
        *,
        negative: bool | Sequence[bool] = False,
        embeddings: Mapping[str, Any] | None = None,
    ) -> list[Conditioning]:
        """Conditioning of each text, all with the same number of chunks.

        Args: `clip_skip` 1 takes the text encoder's last layer (XL and 2.x have their own rule and ignore it);
        `size` (width, height) of the picture in pixels, for families that are told it; `negative` marks negative
        prompts; `embeddings` maps names to textual-inversion vectors: one tensor [n, D] for each text encoder.
        Returns one Conditioning a text: `context` [1, T, D], `pooled` [1, P] or None.
        """
        flags = [negative] * len(texts) if isinstance(negative, bool) else list(negative)
        return self.encode_texts(
            model, list(texts), clip_skip, emphasis, comma_backtrack, size, flags, dict(embeddings or {})
        )
