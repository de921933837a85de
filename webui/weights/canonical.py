"""One set of names for every way a checkpoint is stored: the authors' full-file layout.

Folders and bare files in diffusers' spelling, networks without a prefix and old merges all come out as
`model.diffusion_model.…`, `first_stage_model.…`, `cond_stage_model.…` or `conditioner.embedders.…`. Only names, shapes
and places change here; no tensor is read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

from webui.errors import IncompatibleModel
from webui.weights.names import text_to_openclip, unet_to_ldm, vae_to_ldm
from webui.weights.tensors import Header, Place, TensorInfo

UNET = "model.diffusion_model."
VAE = "first_stage_model."
CLIP = "cond_stage_model.transformer.text_model."
OPEN_CLIP = "cond_stage_model.model."
EMBEDDERS = "conditioner.embedders."
EMA = "model_ema."
TRAINING_REMAINS = ("loss.", EMA)
CONVOLUTIONS = (".q.weight", ".k.weight", ".v.weight", ".proj_out.weight")  # of the VAE: 1×1 convolutions


class _Builder:
    """Collects renamed tensors of one header."""

    def __init__(self, header: Header):
        self.header = header
        self.tensors: dict[str, TensorInfo] = {}
        self.places: dict[str, Place] = {}

    def add(self, target: str, source: str) -> None:
        self.tensors[target] = self.header.tensors[source]
        if source in self.header.places:
            self.places[target] = self.header.places[source]

    def reshape(self, target: str, shape: tuple[int, ...]) -> None:
        """Append dimensions of one."""
        info = self.tensors[target]
        self.tensors[target] = TensorInfo(shape, info.dtype)
        place = self.places.get(target)
        if place is not None and place.strides is not None:
            self.places[target] = replace(place, strides=place.strides + (1,) * (len(shape) - len(info.shape)))

    def transpose(self, target: str) -> None:
        """Swap the two dimensions of a matrix."""
        info = self.tensors[target]
        rows, columns = info.shape
        self.tensors[target] = TensorInfo((columns, rows), info.dtype)
        if target in self.places:
            first, second = self.places[target].strides or (columns, 1)
            self.places[target] = replace(self.places[target], strides=(second, first))

    def join(self, target: str, sources: tuple[str, ...]) -> None:
        """Put tensors of one shape below each other."""
        infos = [self.header.tensors[source] for source in sources]
        if len(set(infos)) != 1 or not infos[0].shape:
            raise IncompatibleModel(
                f"{sources[0]} and its neighbours in {self.header.path.name} differ in shape or type."
            )
        shape = infos[0].shape
        self.tensors[target] = TensorInfo((len(sources) * shape[0], *shape[1:]), infos[0].dtype)
        if all(source in self.header.places for source in sources):
            first, *rest = (self.header.places[source] for source in sources)
            self.places[target] = replace(first, more=tuple(rest))

    def finish(self) -> Header:
        return replace(self.header, tensors=self.tensors, places=self.places)


def canonical(header: Header, ema: bool = False) -> Header:
    """The same tensors under the authors' full-file names. Names that fit nothing stay as they are.

    `ema` takes the running averages that training checkpoints carry besides the last weights. Raises
    IncompatibleModel when there are none.
    """
    if header.container == "diffusers":
        return _from_folder(header)
    names = header.tensors
    out = _Builder(header)
    if is_diffusers_unet(names):
        _add(out, UNET, unet_to_ldm(names), names)
    elif is_diffusers_vae(names):
        _add_vae(out, vae_to_ldm(names), names)
    elif "input_blocks.0.0.weight" in names and "out.2.weight" in names:
        _add(out, UNET, {name: name for name in names}, names)
    elif "decoder.conv_in.weight" in names and "decoder.mid.block_1.norm1.weight" in names:
        _add_vae(out, {name: name for name in names if not name.startswith(TRAINING_REMAINS)}, names)
    else:
        _copy_full_file(out, names, ema)
    return out.finish()


def is_diffusers_unet(names: Iterable[str]) -> bool:
    """Whether these are the names of a whole UNet in diffusers' spelling (a ControlNet lacks the way up)."""
    wanted = (
        "conv_in.weight",
        "time_embedding.linear_1.weight",
        "up_blocks.0.resnets.0.norm1.weight",
        "conv_out.weight",
    )
    return all(name in names for name in wanted)


def is_diffusers_vae(names: Iterable[str]) -> bool:
    """Whether these are the names of an autoencoder in diffusers' spelling."""
    return all(name in names for name in ("decoder.conv_in.weight", "decoder.up_blocks.0.resnets.0.norm1.weight"))


def _add(out: _Builder, prefix: str, table: Mapping[str, str], names: Iterable[str], component: str = "") -> None:
    """Add renamed names below a prefix, and those without counterpart under their own."""
    for name in names:
        out.add(prefix + table[name] if name in table else component + name, component + name)


def _add_vae(out: _Builder, table: Mapping[str, str], names: Iterable[str], component: str = "") -> None:
    _add(out, VAE, table, [name for name in names if name in table], component)
    for name in list(out.tensors):
        shape = out.tensors[name].shape
        if name.startswith(VAE) and ".attn_1." in name and name.endswith(CONVOLUTIONS) and len(shape) == 2:
            out.reshape(name, (*shape, 1, 1))


def _copy_full_file(out: _Builder, names: Iterable[str], ema: bool) -> None:
    averages = {}
    if ema:
        flat = {UNET + name: EMA + ("diffusion_model." + name).replace(".", "") for name in out.header.shapes(UNET)}
        averages = {name: average for name, average in flat.items() if average in out.header.tensors}
        if not averages:
            raise IncompatibleModel(
                f"{out.header.path.name} has no running averages (model_ema).", "", "Load it without asking for them."
            )
    old = "cond_stage_model.transformer."
    has_old_names = old + "embeddings.token_embedding.weight" in out.header.tensors
    for name in names:
        if name.startswith(EMA):
            continue
        target = CLIP + name[len(old) :] if has_old_names and name.startswith(old) else name
        out.add(target, averages.get(name, name))


def _from_folder(header: Header) -> Header:
    out = _Builder(header)
    components: dict[str, list[str]] = {}
    for name in header.tensors:
        component, _, rest = name.partition("/")
        components.setdefault(component, []).append(rest)
    prefixes = _text_prefixes(header, components)
    for component, names in components.items():
        if component == "unet":
            _add(out, UNET, unet_to_ldm(names), names, "unet/")
        elif component == "vae":
            _add_vae(out, vae_to_ldm(names), names, "vae/")
        elif component in prefixes:
            _add_text(out, component, names, prefixes[component])
        else:
            _add(out, "", {}, names, component + "/")
    return out.finish()


def _text_prefixes(header: Header, components: Iterable[str]) -> dict[str, str]:
    """Where the authors' files keep each text encoder of a folder."""
    if "text_encoder" not in components:
        return {"text_encoder_2": EMBEDDERS + "0.model."}
    if "text_encoder_2" in components:
        return {"text_encoder": EMBEDDERS + "0.transformer.text_model.", "text_encoder_2": EMBEDDERS + "1.model."}
    config = json.loads(header.metadata.get("text_encoder/config", "{}"))
    return {"text_encoder": OPEN_CLIP if config.get("hidden_act") == "gelu" else CLIP}


def _add_text(out: _Builder, component: str, names: list[str], prefix: str) -> None:
    cut = {name.removeprefix("text_model."): f"{component}/{name}" for name in names}
    if not prefix.endswith(".model."):
        for name, source in cut.items():
            out.add(prefix + name, source)
        return
    for target, sources in text_to_openclip(cut).items():
        full = prefix + target
        if len(sources) > 1:
            out.join(full, tuple(cut[source] for source in sources))
        else:
            out.add(full, cut[sources[0]])
        if target == "text_projection":
            out.transpose(full)
