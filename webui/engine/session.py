"""What stays between jobs: the loaded checkpoint, encoded texts, the device. One job at a time uses it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from webui import families
from webui.captioning.loading import release as release_captioner
from webui.engine.adapters import Adapters
from webui.engine.aesthetic import aesthetic_use, steered
from webui.engine.catalogue import Catalogue, CheckpointFile, open_catalogue
from webui.engine.conditioning import ConditioningCache
from webui.engine.embeddings import EmbeddingUse
from webui.engine.extensions import Extensions
from webui.engine.memory import GIBIBYTE, available_memory, release
from webui.engine.preview import Painter, latent_colours
from webui.errors import EmulsionError, FileError
from webui.families import Model
from webui.nn.memory import give_memory_back, keep_freed_memory
from webui.nn.precision import best_dtype, place
from webui.nn.tiling import decode_tiled, encode_tiled
from webui.nn.tiny import TinyConfig, TinyDecoder
from webui.settings import Settings
from webui.upscalers.loading import release as release_upscaler
from webui.weights.assign import fill
from webui.weights.reader import open_weights

if TYPE_CHECKING:
    from webui.diffusion.conditioning import Conditioning
    from webui.nn.vae import Autoencoder
    from webui.request import GenerationRequest

LEAN_TILE = 32  # latent cells along a tile's side when memory is short
LARGE_TILE = 128  # larger pictures than this are always decoded in tiles
PART_TILE = 96  # cells along a side of what is worked on of those: with it they stay below 2 GB
ROOM_SHARE, ROOM = 2.0, GIBIBYTE  # a second checkpoint may stay if so many times its file, and so much, is free

Key: TypeAlias = tuple[str, str | None]


@dataclass
class Loaded:
    """One checkpoint in memory, with what is attached to it and what paints its previews."""

    checkpoint: CheckpointFile
    key: Key
    model: Model
    adapters: Adapters | None = None
    painter: Painter | None = None


class Session:
    """The loaded checkpoint and what belongs to it.

    `device` is "auto" or a torch device; `precision` "auto" or a name in `nn.precision`. Loading another checkpoint
    frees the former first; asking for the one that is loaded costs nothing.
    """

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue | None = None,
        extensions: Extensions | None = None,
        device: str = "auto",
        precision: str = "auto",
    ):
        self.settings = settings
        self.catalogue = catalogue or open_catalogue(settings)
        self.extensions = extensions or Extensions()
        self.device = torch.device(best_device() if device == "auto" else device)
        self.dtype = best_dtype(self.device, precision)
        keep_freed_memory()
        self._current: Loaded | None = None
        self._parked: dict[Key, Loaded] = {}  # further checkpoints, the one used last at the end
        self._conditionings = ConditioningCache()

    @property
    def batched(self) -> bool:
        """Whether pictures of a batch go through the network together.

        On a CPU it gains nothing and would change the last bits of a picture with the number of its neighbours.
        """
        return self.device.type != "cpu"

    @property
    def model(self) -> Model:
        """The loaded checkpoint. Raises EmulsionError when none is."""
        return self._loaded.model

    @property
    def checkpoint(self) -> CheckpointFile | None:
        """The file of the loaded checkpoint, if one is loaded."""
        return self._current.checkpoint if self._current else None

    @property
    def _loaded(self) -> Loaded:
        if self._current is None:
            raise EmulsionError("No checkpoint is loaded.", "One was wanted.", "Load one first.")
        return self._current

    def load(self, checkpoint: CheckpointFile, vae: CheckpointFile | None = None, keep: bool = False) -> Model:
        """Make a checkpoint, with its own or a separate VAE, the loaded one.

        Where there is room, those before stay in memory beside it: with `keep` all, for jobs that take turns, else as
        many as the settings say.
        """
        wanted = (checkpoint.key, vae.key if vae else None)
        if self._current is not None and self._current.key == wanted:
            return self._current.model
        others = self._parked | ({self._current.key: self._current} if self._current else {})
        self._current, self._parked = others.pop(wanted, None), {}
        kept = len(others) if keep else self.settings["checkpoints_kept"] - 1
        if kept > 0 and (self._current is not None or self._has_room(checkpoint)):
            self._parked = dict(list(others.items())[-kept:])  # those used last
        del others
        if not self._parked:
            self._conditionings.clear()
            release()
            give_memory_back()
        if self._current is None:
            with open_weights(checkpoint.path) as weights:
                family = families.detect(weights.header)
                model = family.load(weights, self.device, self.dtype, vae.path if vae else None)
            self._current = Loaded(checkpoint, wanted, model)
        return self._current.model

    def _has_room(self, checkpoint: CheckpointFile) -> bool:
        free = torch.cuda.mem_get_info(self.device)[0] if self.device.type == "cuda" else available_memory()
        return free is not None and free > ROOM_SHARE * checkpoint.size + ROOM

    def unload(self) -> None:
        """Give everything back, networks of other jobs included."""
        self._current, self._parked = None, {}
        self._conditionings.clear()
        release_captioner()
        release_upscaler()
        release()
        give_memory_back()

    def release(self) -> None:
        """Give back all but the checkpoint."""
        self._parked = {}
        self._conditionings.clear()
        if self._current is not None:
            self._current.painter = None
            if self._current.adapters is not None:
                self._current.adapters.detach()
        release()

    @property
    def adapters(self) -> Adapters:
        """What is attached to the loaded checkpoint."""
        loaded = self._loaded
        if loaded.adapters is None:
            loaded.adapters = Adapters(loaded.model)
        return loaded.adapters

    def conditionings(
        self,
        texts: Sequence[str],
        negative: Sequence[bool],
        request: GenerationRequest,
        size: tuple[int, int],
        embeddings: Sequence[EmbeddingUse] = (),
        check: Callable[[], None] = lambda: None,
    ) -> tuple[Conditioning, ...]:
        """Each text encoded, with equal numbers of chunks; remembered across jobs. `size`: width, height in pixels.

        Aesthetic gradients take a while: `check` is called before each of their steps and may raise.
        """
        model = self.model
        assert self.checkpoint is not None
        use = aesthetic_use(request.aesthetic, self.catalogue, self.checkpoint, model.facts)
        settings = (request.clip_skip, request.emphasis, request.comma_backtrack, size)
        key = (
            self.checkpoint.key,
            self.adapters.text_key,
            tuple(one.key for one in embeddings),
            use.key if use else "",
            *settings[:3],
            size if model.facts.pooled_width else (),  # others are not told the size
            tuple(texts),
            tuple(negative),
        )

        vectors: dict[str, Sequence[Tensor]] = {}

        def encode(model: Model, texts: Sequence[str], negative: Sequence[bool]) -> list[Conditioning]:
            return model.family.encode(model, list(texts), *settings, negative=list(negative), embeddings=vectors)

        def make() -> Sequence[Conditioning]:
            vectors.update({one.name: one.read() for one in embeddings})
            made = encode(model, texts, negative)
            return steered(use, model, texts, negative, made, encode, request, vectors, check) if use else made

        return self._conditionings.get(key, make)

    def decode(self, latents: Tensor, lean: bool = False) -> Tensor:
        """Pictures [B, 3, H, W] in [0, 1], float32 on the CPU, of the network's latents [B, C, h, w].

        A VAE whose half precision overflows is run again in float32. Raises EmulsionError when that does not help.
        """
        if not bool(torch.isfinite(latents).all()):
            used = self.adapters.in_use
            raise EmulsionError(
                "The network returned numbers that are not finite.",
                f"In use: {', '.join(used)}." if used else "",
                f"Leave {'it' if len(used) == 1 else 'them'} out one by one: a file may be damaged."
                if used
                else "Try --precision float32; if that fails too, the checkpoint is damaged.",
            )
        picture = self._decode(self.model.vae, latents, lean)
        if not bool(torch.isfinite(picture).all()) and self.model.vae.dtype != torch.float32:
            vae = copy.deepcopy(self.model.vae)
            place(vae, self.device, torch.float32)
            picture = self._decode(vae, latents, lean)
        if not bool(torch.isfinite(picture).all()):
            raise EmulsionError("The VAE returned numbers that are not finite.", "", "Choose another VAE.")
        return (picture / 2 + 0.5).clamp(0, 1)

    def _decode(self, vae: Autoencoder, latents: Tensor, lean: bool) -> Tensor:
        cells = self.model.facts.latents.out_of_network(latents)
        largest = max(cells.shape[2:])
        # Parts of a seamless picture would lack what lies beyond their common edge.
        seamless = vae.decoder.conv_in.padding_mode != "zeros"
        tile = largest if seamless and not lean else _tile(largest, lean)
        return decode_tiled(vae, cells, tile).float().cpu()

    def encode_picture(self, picture: Tensor, lean: bool = False) -> Tensor:
        """The network's latents [B, C, h, w], float32, of pictures [B, 3, H, W] in [0, 1]: the posterior's mean."""
        pixels = picture.to(self.device) * 2 - 1
        largest = max(pixels.shape[2:]) // self.model.facts.factor
        latents = encode_tiled(self.model.vae, pixels, tile=_tile(largest, lean))
        return self.model.facts.latents.into_network(latents.float())

    def painter(self) -> Painter:
        """What makes previews: this checkpoint's tiny decoder where there is one and it is wanted, else colours."""
        loaded = self._loaded
        if loaded.painter is None:
            latents = self.model.facts.latents
            wanted = self.settings["preview_method"] != "Latent colours"
            tiny = self._tiny_decoder(latents.tiny_decoder) if wanted and latents.tiny_decoder else None
            loaded.painter = tiny.picture if tiny else latent_colours(latents)
        return loaded.painter

    def _tiny_decoder(self, stem: str) -> TinyDecoder | None:
        folders = self.settings.paths.folders("preview_decoders")
        path = next((file for folder in folders for file in sorted(folder.glob(f"{stem}.*"))), None)
        if path is None:
            return None
        try:
            with open_weights(path) as weights:
                with torch.device("meta"):
                    decoder = TinyDecoder(TinyConfig.of_decoder(weights.header.shapes()))
                fill(decoder, {n: weights.tensor(n) for n in weights.header.tensors}, self.dtype, self.device)
                place(decoder, self.device, self.dtype)
                return decoder
        except FileError:
            return None  # previews in plain colours are better than none


def _tile(cells: int, lean: bool) -> int:
    """Latent cells along a side of what the autoencoder takes at once, of a picture with so many."""
    if lean:
        return LEAN_TILE
    return LARGE_TILE if cells <= LARGE_TILE else PART_TILE


def best_device() -> str:
    """The kind of device that "auto" means on this machine."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"
