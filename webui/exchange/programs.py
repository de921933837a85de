"""Programs that write their settings as JSON or as loose texts: one function each, `items -> Found or None`.

Each tells its own files by names that no other program writes. Sources: the programs' own writers; for the hidden text
of NovelAI see stealth.py, for ComfyUI comfyui/.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from webui.exchange.documents import as_list, as_number, as_object, as_text, parse_object, shown
from webui.exchange.names import lora_directive
from webui.exchange.reading import Draft, Reading
from webui.exchange.weights import from_comfyui, from_novelai, is_weighted

Items = Mapping[str, str]
_PLACES = "It stands behind the prompt; that it is of one character, and where, cannot be said here."
COMFY_WEIGHTS = "ComfyUI weighs words against the empty prompt; No norm comes closest, the picture differs a little."


@dataclass(frozen=True)
class Found:
    """A program's name, its text as it was stored, and what was read from it."""

    program: str
    text: str
    reading: Reading | None


def read_swarmui(items: Items) -> Found | None:
    """SwarmUI (formerly StableSwarmUI): JSON with `sui_image_params`."""
    for text in (items.get("parameters"), items.get("UserComment")):
        params = as_object((parse_object(text) or {}).get("sui_image_params"))
        if text and params:
            return Found("SwarmUI", text, _swarmui(params))
    return None


def _swarmui(params: dict[str, Any]) -> Reading:
    draft = Draft()
    _put_comfy_prompts(draft, params.get("prompt"), params.get("negativeprompt"))
    table = {
        "model": "checkpoint",
        "vae": "vae",
        "seed": "seed",
        "variationseed": "variation_seed",
        "variationseedstrength": "variation_strength",
        "steps": "steps",
        "cfgscale": "scale",
        "width": "width",
        "height": "height",
        "sampler": "sampler",
        "comfyuisampler": "sampler",
        "autowebuisampler": "sampler",
        "scheduler": "schedule",
        "comfyuischeduler": "schedule",
        "initimagecreativity": "denoising_strength",
        "seamlesstileable": "tiling",
    }
    silent = {"prompt", "negativeprompt", "loras", "loraweights", "clipstopatlayer", "aspectratio", "swarm_version"}
    silent |= {"images", "automaticvae", "date", "nopreviews", "generation_time", "prep_time"}
    if "initimage" not in params and "initimage_filename" not in params:  # a strength without a picture has no effect
        silent |= {"initimagecreativity"}
        table.pop("initimagecreativity")
    draft.put_all(params, table, silent)
    if params.get("clipstopatlayer") is not None:
        layer = as_number(params["clipstopatlayer"])
        draft.put("clip_skip", -layer if layer else None, "clipstopatlayer")
    loras, weights = (_listed(params.get(name)) for name in ("loras", "loraweights"))
    for index, name in enumerate(loras):
        weight = as_number(weights[index]) if index < len(weights) else 1.0
        draft.append_prompt(lora_directive(str(name), 1.0 if weight is None else weight))
    return draft.finish()


def read_fooocus(items: Items) -> Found | None:
    """Fooocus' own scheme: JSON in `parameters`, or in the comment of a JPEG or WebP."""
    for text in (items.get("parameters"), items.get("UserComment")):
        data = parse_object(text)
        if text and data and ("base_model" in data or "full_prompt" in data):
            return Found("Fooocus", text, _fooocus(data))
    return None


def _fooocus(data: dict[str, Any]) -> Reading:
    draft = Draft()
    # Its parts are encoded apart from each other and joined, which is what BREAK does here.
    for name, attribute in (("prompt", "prompt"), ("negative_prompt", "negative_prompt")):
        parts = [part for part in as_list(data.get(f"full_{name}")) if isinstance(part, str)]
        draft.put(attribute, from_comfyui(" BREAK ".join(parts) if parts else as_text(data.get(name)) or ""))
    table = {
        "base_model": "checkpoint",
        "seed": "seed",
        "steps": "steps",
        "guidance_scale": "scale",
        "sampler": "sampler",
        "scheduler": "schedule",
        "clip_skip": "clip_skip",
    }
    silent = {"prompt", "negative_prompt", "full_prompt", "full_negative_prompt", "loras", "resolution", "vae"}
    silent |= {
        "refiner_model",
        "metadata_scheme",
        "version",
        "base_model_hash",
        "refiner_model_hash",
        "created_by",
        "refiner_switch",
    }
    silent |= {name for name in data if name.startswith("lora_combined_")}
    draft.put_all(data, table, silent)
    if as_text(data.get("vae")) not in (None, "", "Default (model)"):
        draft.put("vae", data["vae"])
    sizes = re.findall(r"[0-9]{1,6}", shown(data.get("resolution", "")))
    if len(sizes) == 2:
        draft.put("width", sizes[0], "resolution")
        draft.put("height", sizes[1], "resolution")
    draft.put_refiner(data.get("refiner_model"), data.get("refiner_switch"), "refiner_model")
    for name, weight in _fooocus_loras(data):
        draft.append_prompt(lora_directive(name, weight))
    return draft.finish()


def _fooocus_loras(data: dict[str, Any]) -> list[tuple[str, float]]:
    """From `loras`, lists of name, weight and hash, or from `lora_combined_1` "name : weight"."""
    found = []
    for entry in as_list(data.get("loras")):
        weight = as_number(entry[1]) if isinstance(entry, list) and len(entry) > 1 else None
        if weight is not None and isinstance(entry[0], str):
            found.append((entry[0], weight))
    for name in [] if found else sorted(name for name in data if name.startswith("lora_combined_")):
        *enabled, stem, number = ["", *shown(data[name]).split(" : ")]
        weight = as_number(number)
        if weight is not None and stem not in ("", "None") and "False" not in enabled:
            found.append((stem, weight))
    return found


def read_novelai(items: Items) -> Found | None:
    """NovelAI: `Software`, `Description` and settings as JSON in `Comment`."""
    data = parse_object(items.get("Comment"))
    if items.get("Software") != "NovelAI" or data is None:
        return None
    return Found("NovelAI", items["Comment"], _novelai(data, items))


def _novelai(data: dict[str, Any], items: Items) -> Reading:
    draft = Draft()
    captions = [as_object(as_object(data.get(name)).get("caption")) for name in ("v4_prompt", "v4_negative_prompt")]
    prompt = as_text(captions[0].get("base_caption")) or as_text(data.get("prompt")) or items.get("Description", "")
    negative = as_text(captions[1].get("base_caption")) or as_text(data.get("uc")) or ""
    for name, text, caption in zip(("prompt", "negative_prompt"), (prompt, negative), captions, strict=True):
        own = [as_text(as_object(one).get("char_caption")) for one in as_list(caption.get("char_captions"))]
        texts = [text, *(words for words in own if words)]
        draft.put(name, from_novelai(", ".join(words.strip().rstrip(",") for words in texts) if texts[1:] else text))
        for words in texts[1:]:
            draft.leave_out("character prompt", words, _PLACES)
    table = {
        "steps": "steps",
        "sampler": "sampler",
        "noise_schedule": "schedule",
        "scale": "scale",
        "cfg_rescale": "rescale",
        "seed": "seed",
        "width": "width",
        "height": "height",
    }
    if as_text(data.get("request_type")) not in (None, "PromptGenerateRequest"):  # for that one it has no effect
        table["strength"] = "denoising_strength"
    silent = {
        "strength",
        "noise",
        "prompt",
        "uc",
        "v4_prompt",
        "v4_negative_prompt",
        "n_samples",
        "version",
        "request_type",
        "signed_hash",
    }
    silent |= {"extra_passthrough_testing", "cfg_sched_eligibility", "uncond_per_vibe", "wonky_vibe_correlation"}
    silent |= {"stream"}
    if not data.get("dynamic_thresholding"):
        silent |= {"dynamic_thresholding_percentile", "dynamic_thresholding_mimic_scale"}
    if not data.get("controlnet_model"):
        silent |= {"controlnet_strength"}
    silent |= {"params_version", "legacy", "legacy_v3_extend", "deliberate_euler_ancestral_bug", "prefer_brownian"}
    draft.put_all(data, table, silent)
    if not captions[0]:  # models up to version 3, as A1111 reads them
        draft.put("clip_skip", 2)
        draft.put("noise_seed_delta", 31337)
    if items.get("Source"):
        draft.leave_out("Source", items["Source"], "The model is not to be had as a file.")
    return draft.finish()


_EASY = {  # its names inside the program, and the ones that it shows
    ("use_stable_diffusion_model", "Stable Diffusion model"): "checkpoint",
    ("use_vae_model", "VAE model"): "vae",
    ("seed", "Seed"): "seed",
    ("num_inference_steps", "Steps"): "steps",
    ("guidance_scale", "Guidance Scale"): "scale",
    ("sampler_name", "Sampler"): "sampler",
    ("scheduler_name", "Scheduler"): "schedule",
    ("width", "Width"): "width",
    ("height", "Height"): "height",
}
_EASY_TABLE = {name: attribute for names, attribute in _EASY.items() for name in names}


def read_easy_diffusion(items: Items) -> Found | None:
    """Easy Diffusion: one PNG text for each setting, or JSON in a comment."""
    for data in (dict(items), parse_object(items.get("UserComment"))):
        if data and ("num_inference_steps" in data or {"Negative Prompt", "Guidance Scale"} <= set(data)):
            text = items.get("UserComment") or "\n".join(f"{name}: {value}" for name, value in items.items())
            return Found("Easy Diffusion", text, _easy_diffusion(data))
    return None


def _easy_diffusion(data: dict[str, Any]) -> Reading:
    def value(*names: str) -> Any:
        return next((data[name] for name in names if data.get(name) not in (None, "", "None", "none", "False")), None)

    draft = Draft()
    draft.put("prompt", value("prompt", "Prompt"))
    draft.put("negative_prompt", value("negative_prompt", "Negative Prompt"))
    if value("clip_skip", "Clip Skip") in (True, "True", "true"):
        draft.put("clip_skip", 2)
    if value("tiling", "Tiling") == "xy":
        draft.put("tiling", True)
    elif value("tiling", "Tiling"):
        draft.leave_out("tiling", value("tiling", "Tiling"), "Tiling goes both ways here.")
    if value("init_image", "use_init_image"):
        draft.put("denoising_strength", value("prompt_strength", "Prompt Strength"), "prompt_strength")
    loras, weights = (_listed(value(*n)) for n in (("use_lora_model", "LoRA model"), ("lora_alpha", "LoRA strength")))
    for index, name in enumerate(loras):
        weight = as_number(weights[index]) if index < len(weights) else None
        draft.append_prompt(lora_directive(str(name), 1.0 if weight is None else weight))
    silent = {"prompt", "Prompt", "negative_prompt", "Negative Prompt", "clip_skip", "Clip Skip", "tiling", "Tiling"}
    silent |= {"prompt_strength", "Prompt Strength", "use_lora_model", "LoRA model", "lora_alpha", "LoRA strength"}
    silent |= {"num_outputs", "output_format", "output_quality", "vram_usage_level", "used_random_seed", "UserComment"}
    draft.put_all(data, _EASY_TABLE, silent)
    return draft.finish()


_XMP_COMMENT = re.compile(r"<exif:UserComment>.{0,200}?<rdf:li[^>]*>(.*?)</rdf:li>", re.DOTALL)


def read_draw_things(items: Items) -> Found | None:
    """Draw Things: JSON with `c` and `uc`, in XMP or in a comment."""
    packet = _XMP_COMMENT.search(items.get("XML:com.adobe.xmp", ""))
    for text in (html.unescape(packet.group(1)) if packet else None, items.get("UserComment"), items.get("comment")):
        data = parse_object(text)
        if text and data and {"c", "uc", "scale"} <= set(data):
            return Found("Draw Things", text, _draw_things(data))
    return None


def _draw_things(data: dict[str, Any]) -> Reading:
    draft = Draft()
    draft.put("prompt", (as_text(data.get("c")) or "").strip())
    draft.put("negative_prompt", (as_text(data.get("uc")) or "").strip())
    table = {"model": "checkpoint", "sampler": "sampler", "seed": "seed", "scale": "scale", "steps": "steps"}
    draft.put_all(data, table, {"c", "uc", "size", "lora", "strength", "v2", "seed_mode", "profile", "original_size"})
    width, _, height = (as_text(data.get("size")) or "").partition("x")
    draft.put("width", width or None, "size")
    draft.put("height", height or None, "size")
    if as_number(data.get("strength")) not in (None, 1.0):
        draft.put("denoising_strength", data["strength"], "strength")
    for lora in map(as_object, as_list(data.get("lora"))):
        weight = as_number(lora.get("weight"))
        if isinstance(lora.get("model"), str):
            draft.append_prompt(lora_directive(lora["model"], 1.0 if weight is None else weight))
    return draft.finish()


_MIDJOURNEY = re.compile(r"(.*?)((?:\s--\w.*)?)\s*Job ID:\s*[0-9a-f-]{36}", re.DOTALL)


def read_midjourney(items: Items) -> Found | None:
    """Midjourney: prompt, options and job in `Description`. Its models are no files; the words are what can be used."""
    match = _MIDJOURNEY.fullmatch(items.get("Description", "")[:100_000].strip())
    if match is None:
        return None
    draft = Draft()
    draft.put("prompt", match.group(1).strip())
    for option in re.split(r"\s--(?=\w)", match.group(2))[1:]:
        name, _, value = option.strip().partition(" ")
        if name == "no":
            draft.put("negative_prompt", value.strip())
        else:
            draft.leave_out(f"--{name}", value.strip())
    return Found("Midjourney", items["Description"], draft.finish())


def _put_comfy_prompts(draft: Draft, prompt: Any, negative: Any) -> None:
    texts = [from_comfyui(as_text(text) or "") for text in (prompt, negative)]
    draft.put("prompt", texts[0])
    draft.put("negative_prompt", texts[1])
    if any(map(is_weighted, texts)):
        draft.put("emphasis", "No norm")
        draft.leave_out("emphasis", "No norm", COMFY_WEIGHTS)


def _listed(value: Any) -> list[Any]:
    """A list, or one that is written with commas; a single value is a list of one."""
    if isinstance(value, str):
        return [part.strip() for part in value.strip("[]").replace("'", "").split(",") if part.strip()]
    return value if isinstance(value, list) else [] if value is None else [value]
