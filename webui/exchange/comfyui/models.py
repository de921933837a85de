"""The ways of network and text encoder through a workflow: checkpoint, LoRAs, clip skip, and what patches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from webui.exchange.comfyui.graph import HOPS, Node
from webui.exchange.comfyui.walk import Walk
from webui.exchange.documents import as_integer, as_number, as_object, as_text
from webui.exchange.names import file_stem, lora_directive, short

LOADERS = {  # type -> input with the file's name
    "CheckpointLoaderSimple": "ckpt_name",
    "CheckpointLoader": "ckpt_name",
    "CheckpointLoaderNF4": "ckpt_name",
    "CheckpointLoader|pysssss": "ckpt_name",
    "unCLIPCheckpointLoader": "ckpt_name",
    "ImageOnlyCheckpointLoader": "ckpt_name",
    "DiffusersLoader": "model_path",
    "UNETLoader": "unet_name",
    "UnetLoaderGGUF": "unet_name",
    "UnetLoaderGGUFAdvanced": "unet_name",
    "MZ_KolorsUNETLoader": "unet_name",
    "MZ_KolorsUNETLoaderV2": "unet_name",
    "MZ_KolorsCheckpointLoaderSimple": "ckpt_name",
    "DownloadAndLoadKolorsModel": "model",
}
TEXT_LOADERS = (
    *("CLIPLoader", "CLIPLoaderGGUF", "DualCLIPLoader", "DualCLIPLoaderGGUF", "TripleCLIPLoader"),
    *("TripleCLIPLoaderGGUF", "MZ_ChatGLM3Loader", "DownloadAndLoadChatGLM3", "LoadChatGLM3"),
)
LORA_LOADERS = ("LoraLoader", "LoraLoader|pysssss", "LoraLoaderModelOnly", "Power Lora Loader (rgthree)")
_ENCODER_FILES = "The files of text encoders are chosen by the checkpoint's family here."
_SHIFT = "The shift of the noise levels is the checkpoint's own here."
_REASONS = {
    "ModelSamplingFlux": _SHIFT,
    "ModelSamplingSD3": _SHIFT,
    "ModelSamplingAuraFlow": _SHIFT,
    "ModelSamplingStableCascade": _SHIFT,
    "ModelSamplingDiscrete": "What the network predicts is read from the checkpoint here.",
    "DifferentialDiffusion": "Soft inpainting is chosen with the mask here.",
}


@dataclass(frozen=True)
class Lora:
    """A LoRA's file and its strengths in the network and in the text encoder; None where it is not on that way."""

    name: str
    network: float | None
    text: float | None


@dataclass(frozen=True)
class ModelChain:
    """What was found from a sampler's model input upwards. Keys of LoRAs are node and place in it, in loading order."""

    checkpoint: str | None
    loras: dict[tuple[str, int], Lora]
    hypernetworks: tuple[str, ...] = ()
    rescale: float = 0.0


@dataclass(frozen=True)
class TextChain:
    """What was found from a prompt's clip input upwards."""

    loras: dict[tuple[str, int], Lora]
    clip_skip: int = 1


def walk_model(walk: Walk, node: Node | None) -> ModelChain:
    """The way from a sampler's model input to the loader; what patches the network otherwise is listed."""
    loras: list[tuple[tuple[str, int], Lora]] = []
    hypernetworks: list[str] = []
    rescale, checkpoint = 0.0, None
    for _ in range(HOPS):
        if node is None:
            break
        if node.type in LORA_LOADERS:
            loras[:0] = _loras(walk, node)
        elif node.type == "HypernetworkLoader":
            strength = as_number(walk.value(node, "strength")) or 0.0
            name = file_stem(as_text(walk.value(node, "hypernetwork_name")) or "")
            hypernetworks.insert(0, f"<hypernet:{name}:{short(strength)}>")
        elif node.type == "RescaleCFG":
            rescale = min(max(as_number(walk.value(node, "multiplier")) or 0.0, 0.0), 1.0)
        elif checkpoint := checkpoint_name(walk, node):
            walk.use(node)
            break
        else:
            walk.note(node, _REASONS.get(node.type, "It changes the network in a way that is not known here."))
        node = walk.graph.source(walk.use(node), "model", "kolors_model")
    return ModelChain(checkpoint, dict(loras), tuple(hypernetworks), rescale)


def walk_text_encoder(walk: Walk, node: Node | None) -> TextChain:
    """The way from a prompt's clip input to the loader."""
    loras: list[tuple[tuple[str, int], Lora]] = []
    clip_skip = 1
    for _ in range(HOPS):
        if node is None:
            break
        if node.type in LORA_LOADERS:
            loras[:0] = _loras(walk, node)
        elif node.type == "CLIPSetLastLayer":
            layer = as_integer(walk.value(node, "stop_at_clip_layer")) or -1
            clip_skip = min(max(-layer, 1), 12)
        elif node.type in TEXT_LOADERS:
            walk.note(node, _ENCODER_FILES)
        elif checkpoint_name(walk, node):
            walk.use(node)
            break
        else:
            walk.note(node, "It changes the text encoder in a way that is not known here.")
        node = walk.graph.source(walk.use(node), "clip")
    return TextChain(dict(loras), clip_skip)


def adapter_directives(model: ModelChain, text: TextChain) -> str:
    """All LoRAs and hypernetworks as they stand in a prompt here. One that is on one way only has strength 0 on the
    other."""
    words = list(model.hypernetworks)
    for key in [*model.loras, *(key for key in text.loras if key not in model.loras)]:
        network = (model.loras[key].network if key in model.loras else None) or 0.0
        strength = (text.loras[key].text if key in text.loras else None) or 0.0
        if network or strength:
            words.append(lora_directive({**text.loras, **model.loras}[key].name, network, strength))
    return " ".join(words)


def checkpoint_name(walk: Walk, node: Node) -> str | None:
    """The file that a loader loads; of an unknown one, where it has the input that loaders have."""
    names = [LOADERS[node.type]] if node.type in LOADERS else ["ckpt_name", "unet_name", "base_ckpt_name"]
    found = next((name for name in names if name in node.inputs), None)
    value = _content(walk.value(node, found)) if found else None
    return file_stem(value) if value else None


def vae_name(walk: Walk, node: Node | None) -> str | None:
    """The file of a VAE loader, or None where the VAE is the checkpoint's own."""
    if node is None or node.type != "VAELoader":
        return None
    name = as_text(walk.value(walk.use(node), "vae_name"))
    if name and name.startswith("tae"):  # ComfyUI's small decoders, which are no files in its list
        walk.note(node, "Small decoders are chosen in the settings here.")
        return None
    return file_stem(name) if name else None


def _loras(walk: Walk, node: Node) -> list[tuple[tuple[str, int], Lora]]:
    found: list[Lora] = []
    if node.type == "Power Lora Loader (rgthree)":
        for name, value in node.inputs.items():
            row = as_object(value)
            strength = as_number(row.get("strength"))
            text = as_number(row.get("strengthTwo"))
            if name.lower().startswith("lora_") and row.get("on") and as_text(row.get("lora")) and strength is not None:
                found.append(Lora(str(row["lora"]), strength, strength if text is None else text))
    else:
        file, strength = _content(walk.value(node, "lora_name")), as_number(walk.value(node, "strength_model"))
        text = None if node.type == "LoraLoaderModelOnly" else as_number(walk.value(node, "strength_clip"))
        if file and file != "None":
            found.append(Lora(file, 1.0 if strength is None else strength, text))
    return [((node.id, place), lora) for place, lora in enumerate(found)]


def _content(value: Any) -> str | None:
    """A name, or an object that shows one with a picture (of a widely used set of nodes)."""
    return as_text(value.get("content")) if isinstance(value, dict) else as_text(value)
