"""In what order nodes keep the values of their widgets, as the editor's format stores them without names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

CONTROL = ("fixed", "increment", "decrement", "randomize")  # the editor's own value behind each seed
SEEDS = ("seed", "noise_seed")

WIDGETS: dict[str, tuple[str, ...]] = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "CheckpointLoaderNF4": ("ckpt_name",),
    "unCLIPCheckpointLoader": ("ckpt_name",),
    "ImageOnlyCheckpointLoader": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "UnetLoaderGGUFAdvanced": ("unet_name", "dequant_dtype", "patch_dtype", "patch_on_device"),
    "CLIPLoader": ("clip_name", "type", "device"),
    "CLIPLoaderGGUF": ("clip_name", "type"),
    "DualCLIPLoader": ("clip_name1", "clip_name2", "type", "device"),
    "DualCLIPLoaderGGUF": ("clip_name1", "clip_name2", "type"),
    "TripleCLIPLoader": ("clip_name1", "clip_name2", "clip_name3"),
    "TripleCLIPLoaderGGUF": ("clip_name1", "clip_name2", "clip_name3"),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "HypernetworkLoader": ("hypernetwork_name", "strength"),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeSDXL": (
        *("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    ),
    "CLIPTextEncodeSDXLRefiner": ("ascore", "width", "height", "text"),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSD3": ("clip_l", "clip_g", "t5xxl", "empty_padding"),
    "FluxGuidance": ("guidance",),
    "ModelSamplingFlux": ("max_shift", "base_shift", "width", "height"),
    "ModelSamplingSD3": ("shift",),
    "ModelSamplingAuraFlow": ("shift",),
    "ModelSamplingStableCascade": ("shift",),
    "ModelSamplingDiscrete": ("sampling", "zsnr"),
    "RescaleCFG": ("multiplier",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "StableCascade_EmptyLatentImage": ("width", "height", "compression", "batch_size"),
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        *("add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step"),
        "return_with_leftover_noise",
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "cfg"),
    "SamplerCustomAdvanced": (),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "SDTurboScheduler": ("steps", "denoise"),
    "KarrasScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "ExponentialScheduler": ("steps", "sigma_max", "sigma_min"),
    "PolyexponentialScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "AlignYourStepsScheduler": ("model_type", "steps", "denoise"),
    "BetaSamplingScheduler": ("steps", "alpha", "beta"),
    "SplitSigmas": ("step",),
    "CFGGuider": ("cfg",),
    "DualCFGGuider": ("cfg_conds", "cfg_cond2_negative"),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "ImageScale": ("upscale_method", "width", "height", "crop"),
    "ImageScaleBy": ("upscale_method", "scale_by"),
    "ImageScaleToTotalPixels": ("upscale_method", "megapixels"),
    "UpscaleModelLoader": ("model_name",),
    "VAEEncodeForInpaint": ("grow_mask_by",),
    "InpaintModelConditioning": ("noise_mask",),
    "RepeatLatentBatch": ("amount",),
    "LoadImage": ("image",),
    "LoadImageMask": ("image", "channel"),
    "ConditioningAverage": ("conditioning_to_strength",),
    "ConditioningSetTimestepRange": ("start", "end"),
    "ConditioningSetArea": ("width", "height", "x", "y", "strength"),
    "ConditioningSetMask": ("strength", "set_cond_area"),
    "ControlNetLoader": ("control_net_name",),
    "DiffControlNetLoader": ("control_net_name",),
    "ControlNetApply": ("strength",),
    "ControlNetApplyAdvanced": ("strength", "start_percent", "end_percent"),
    "ControlNetApplySD3": ("strength", "start_percent", "end_percent"),
    "SetUnionControlNetType": ("type",),
    "FreeU": ("b1", "b2", "s1", "s2"),
    "FreeU_V2": ("b1", "b2", "s1", "s2"),
    "PerturbedAttentionGuidance": ("scale",),
    "HyperTile": ("tile_size", "swap_size", "max_depth", "scale_depth"),
    "TomePatchModel": ("ratio",),
    "Efficient Loader": (
        *("ckpt_name", "vae_name", "clip_skip", "lora_name", "lora_model_strength", "lora_clip_strength", "positive"),
        *("negative", "token_normalization", "weight_interpretation", "empty_latent_width", "empty_latent_height"),
        "batch_size",
    ),
    "KSampler (Efficient)": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "CR LoRA Stack": tuple(
        f"{name}_{row}" for row in (1, 2, 3) for name in ("switch", "lora_name", "model_weight", "clip_weight")
    ),
    "easy fullLoader": (
        *("ckpt_name", "config_name", "vae_name", "clip_skip", "lora_name", "lora_model_strength"),
        *("lora_clip_strength", "resolution", "empty_latent_width", "empty_latent_height", "positive"),
        *("positive_token_normalization", "positive_weight_interpretation", "negative"),
        *("negative_token_normalization", "negative_weight_interpretation", "batch_size"),
    ),
    "easy preSampling": ("steps", "cfg", "sampler_name", "scheduler", "denoise", "seed"),
    "SaveImage": ("filename_prefix",),
    "CLIPVisionLoader": ("clip_name",),
    "StyleModelLoader": ("style_model_name",),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "DownloadAndLoadKolorsModel": ("model", "precision"),
    "DownloadAndLoadChatGLM3": ("precision",),
    "LoadChatGLM3": ("chatglm3_checkpoint",),
    "KolorsTextEncode": ("prompt", "negative_prompt", "num_images_per_prompt"),
    "KolorsSampler": ("width", "height", "seed", "steps", "cfg", "scheduler", "denoise_strength"),
    "MZ_KolorsUNETLoader": ("unet_name",),
    "MZ_KolorsUNETLoaderV2": ("unet_name",),
    "MZ_KolorsCheckpointLoaderSimple": ("ckpt_name",),
    "MZ_ChatGLM3Loader": ("chatglm3_checkpoint",),
    "MZ_ChatGLM3": ("text",),
    "MZ_ChatGLM3_V2": ("text",),
    "MZ_KolorsControlNetLoader": ("control_net_name",),
}


def named_values(kind: str, values: Sequence[Any], shown: Sequence[str]) -> dict[str, Any]:
    """Values by name. `shown` are the widgets that the node itself lists, in order, for types that the table lacks."""
    names = WIDGETS.get(kind, tuple(shown))
    if kind == "Power Lora Loader (rgthree)":
        return {f"lora_{number}": value for number, value in enumerate(values) if isinstance(value, dict)}
    found: dict[str, Any] = {}
    waiting = list(values)
    for name in names:
        if not waiting:
            break
        found[name] = waiting.pop(0)
        if name in SEEDS and waiting and waiting[0] in CONTROL:
            waiting.pop(0)
    return found
