"""InvokeAI's metadata: `invokeai_metadata` and `invokeai_graph` since version 3, `sd-metadata` and `Dream` of 2."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from webui.exchange.documents import as_integer, as_list, as_number, as_object, as_text, parse_object
from webui.exchange.names import lora_directive
from webui.exchange.programs import Found, Items
from webui.exchange.reading import Draft, Reading
from webui.exchange.weights import from_invokeai, is_weighted

_BLEND = "Blends, conjunctions and swaps cannot be said here; the prompt is as it was written."
_WEIGHTS = "InvokeAI weighs words against the empty prompt; No norm comes closest, the picture differs a little."
_METADATA = {
    "seed": "seed",
    "width": "width",
    "height": "height",
    "steps": "steps",
    "cfg_scale": "scale",
    "cfg_rescale_multiplier": "rescale",
}
_SILENT = {"positive_prompt", "negative_prompt", "scheduler", "model", "vae", "loras", "clip_skip", "seamless_x"}
_SILENT |= {"seamless_y", "generation_mode", "app_version", "rand_device", "strength", "id", "type", "is_intermediate"}
_SILENT |= {"refiner_model", "refiner_start", "use_cache", "canvas_v2_metadata", "ref_images"}
_V2_SAMPLER = re.compile(r"-(?P<name>[sSWHCA])\s*(?P<value>[\w.+-]+)")


def read_invokeai(items: Items) -> Found | None:
    """A picture of any version since 2."""
    for name, read in (
        ("invokeai_metadata", _metadata),
        ("invokeai_graph", _graph),
        ("sd-metadata", _version_2),
    ):
        data = parse_object(items.get(name))
        reading = read(data) if data else None
        if reading:
            return Found("InvokeAI", items[name], reading)
    if "Dream" in items:
        return Found("InvokeAI", items["Dream"], _dream(items["Dream"]))
    return None


def _graph(data: dict[str, Any]) -> Reading | None:
    """The node that collects the metadata, where the picture holds the graph alone."""
    nodes = [as_object(node) for node in as_object(data.get("nodes")).values()]
    kinds = ("core_metadata", "metadata_accumulator")
    return next((_metadata(node) for node in nodes if node.get("type") in kinds), None)


def _metadata(data: dict[str, Any]) -> Reading | None:
    if "positive_prompt" not in data and "model" not in data:
        return None
    draft = Draft()
    _put_prompts(draft, as_text(data.get("positive_prompt")) or "", as_text(data.get("negative_prompt")) or "")
    draft.put_all(data, _METADATA, _SILENT)
    _put_sampler(draft, data.get("scheduler"), "scheduler")
    draft.put("checkpoint", _name_of(data.get("model")), "model")
    draft.put("vae", _name_of(data.get("vae")), "vae")
    draft.put_refiner(_name_of(data.get("refiner_model")), data.get("refiner_start"), "refiner_model")
    skipped = as_integer(data.get("clip_skip"))
    draft.put("clip_skip", skipped + 1 if skipped else None)
    if str(data.get("generation_mode")).endswith(("img2img", "inpaint", "outpaint")):
        draft.put("denoising_strength", data.get("strength"), "strength")
    if data.get("rand_device") not in (None, "cpu"):
        draft.put("noise_source", "CUDA")
    _put_tiling(draft, data.get("seamless_x"), data.get("seamless_y"))
    for lora in map(as_object, as_list(data.get("loras"))):
        name, weight = _name_of(lora.get("lora") or lora.get("model")), as_number(lora.get("weight"))
        if name:
            draft.append_prompt(lora_directive(name, 0.75 if weight is None else weight))
    return draft.finish()


def _version_2(data: dict[str, Any]) -> Reading | None:
    image = as_object(data.get("image"))
    prompt = image.get("prompt")
    if isinstance(prompt, list):  # several with weights, once
        parts = [as_object(part) for part in prompt]
        prompt = as_text(parts[0].get("prompt")) if parts else None
    if not isinstance(prompt, str):
        return None
    draft = Draft()
    _put_prompts(draft, *_without_brackets(prompt))
    table = {"seed": "seed", "width": "width", "height": "height", "steps": "steps", "cfg_scale": "scale"}
    table |= {"seamless": "tiling"}
    silent = {"prompt", "sampler", "type", "strength", "init_image_path"}
    draft.put_all(image, table, silent)
    _put_sampler(draft, image.get("sampler"), "sampler")
    if image.get("type") == "img2img":
        draft.put("denoising_strength", image.get("strength"), "strength")
    draft.put("checkpoint", as_text(data.get("model_weights")), "model_weights")
    return draft.finish()


def _dream(text: str) -> Reading:
    """A command line: "prompt [negative]" -s 50 -S 42 -W 512 -H 512 -C 7.5 -A k_lms."""
    prompt, _, options = text.rpartition('"')
    draft = Draft()
    _put_prompts(draft, *_without_brackets(prompt.removeprefix('"')))
    found = {match["name"]: match["value"] for match in _V2_SAMPLER.finditer(options)}
    for name, attribute in {"s": "steps", "S": "seed", "W": "width", "H": "height", "C": "scale"}.items():
        draft.put(attribute, found.get(name), f"-{name}")
    _put_sampler(draft, found.get("A"), "-A")
    return draft.finish()


def _put_prompts(draft: Draft, *prompts: str) -> None:
    for attribute, prompt in zip(("prompt", "negative_prompt"), prompts, strict=True):
        text, whole = from_invokeai(prompt)
        draft.put(attribute, text)
        if not whole:
            draft.leave_out(attribute, prompt, _BLEND)
        if is_weighted(text) and draft.get("emphasis") is None:
            draft.put("emphasis", "No norm")
            draft.leave_out("emphasis", "No norm", _WEIGHTS)


def _put_sampler(draft: Draft, value: Any, name: str) -> None:
    """Its names end in `_k` where they mean Karras' schedule; without it they never do."""
    if draft.put("sampler", value, name) and draft.get("schedule") is None:
        draft.put("schedule", "Uniform")


def _put_tiling(draft: Draft, across: Any, down: Any) -> None:
    if across and down:
        draft.put("tiling", True)
    elif across or down:
        draft.leave_out("seamless", "x" if across else "y", "Tiling goes both ways here.")


def _name_of(model: Any) -> str | None:
    """A model's name in the form of any version."""
    if isinstance(model, Mapping):
        model = model.get("model_name") or model.get("name")
    return as_text(model)


def _without_brackets(prompt: str) -> tuple[str, str]:
    """Version 2 wrote the negative prompt into the prompt, in square brackets."""
    negative = re.findall(r"(?<!\\)\[([^\[\]]*)\]", prompt)
    return re.sub(r"(?<!\\)\[[^\[\]]*\]", "", prompt).strip(), " ".join(negative).strip()
