"""The list of settings: name, kind, default, section, A1111's option name, and limits. Data only; see settings.py."""

from __future__ import annotations

from typing import Any

Row = tuple[str, str, Any, str, str | None, dict[str, Any]]


def _row(name: str, kind: str, default: Any, section: str, alias: str | None = None, **facts: Any) -> Row:
    return (name, kind, default, section, alias, facts)


def _between(low: float, high: float) -> dict[str, Any]:
    return {"low": low, "high": high}


_FORMATS = {"choices": ("png", "jpg", "webp", "avif"), "spellings": {"jpeg": "jpg"}}
_LANGUAGES = {"choices": ("auto", "en", "zh-CN"), "spellings": {"None": "auto", "zh": "zh-CN", "zh_CN": "zh-CN"}}
# A1111's "GPU" draws on the card itself; ours emulates what an NVIDIA card draws, its "NV".
_NOISE = {"choices": ("CPU", "CUDA"), "spellings": {"NV": "CUDA", "GPU": "CUDA"}}
# What becomes of styles whose words a pasted infotext holds.
_INFOTEXT_STYLES = {"choices": ("Ignore", "Apply", "Discard", "Apply if any")}
_PREVIEWS = {
    "choices": ("Automatic", "Tiny decoder", "Latent colours"),
    "spellings": {
        "TAESD": "Tiny decoder",
        "Approx NN": "Automatic",
        "Approx cheap": "Latent colours",
        "Full": "Automatic",
    },
}

DECLARED: tuple[Row, ...] = (
    # model
    _row("checkpoint", "str", "", "model", "sd_model_checkpoint"),
    _row("vae", "str", "Automatic", "model", "sd_vae"),
    _row("vae_choices", "map", {}, "model"),  # title of a checkpoint -> name of the VAE that Automatic means with it
    # kind of model (paths.MODEL_FOLDERS) -> further folders, with ":" (on Windows ";") between
    _row("model_folders", "map", {}, "model", by_hand=True),
    _row("clip_skip", "int", 1, "model", "CLIP_stop_at_last_layers", **_between(1, 12)),
    _row("checkpoints_kept", "int", 1, "model", "sd_checkpoints_limit", **_between(1, 10)),
    # prompts
    _row("emphasis", "str", "Original", "prompts", choices=("None", "Ignore", "Original", "No norm")),
    _row("comma_backtrack", "int", 20, "prompts", "comma_padding_backtrack", **_between(0, 74)),
    _row("infotext_styles", "str", "Apply", "prompts", "infotext_styles", **_INFOTEXT_STYLES),
    # sampling
    _row("noise_source", "str", "CPU", "sampling", "randn_source", **_NOISE),
    _row("noise_seed_delta", "int", 0, "sampling", "eta_noise_seed_delta", **_between(0, 2**32 - 1)),
    _row("eta_ancestral", "float", 1.0, "sampling", **_between(0, 1)),
    _row("eta_ddim", "float", 0.0, "sampling", **_between(0, 1)),
    _row("s_churn", "float", 0.0, "sampling", **_between(0, 100)),
    _row("s_tmin", "float", 0.0, "sampling", **_between(0, 10)),
    _row("s_tmax", "float", 0.0, "sampling", **_between(0, 999)),  # 0: no upper bound
    _row("s_noise", "float", 1.0, "sampling", **_between(0, 2)),
    _row("s_min_uncond", "float", 0.0, "sampling", **_between(0, 15)),
    _row("skip_early_cond", "float", 0.0, "sampling", **_between(0, 1)),
    _row("sigma_min", "float", 0.0, "sampling", **_between(0, 10)),  # 0: the model's own
    _row("sigma_max", "float", 0.0, "sampling", **_between(0, 200)),
    _row("rho", "float", 0.0, "sampling", **_between(0, 20)),  # 0: the schedule's own
    _row("discard_penultimate", "bool", False, "sampling", "always_discard_next_to_last_sigma"),
    # pictures to start from
    _row("noise_multiplier", "float", 1.0, "img2img", "initial_noise_multiplier", **_between(0, 1.5)),
    _row("extra_noise", "float", 0.0, "img2img", "img2img_extra_noise", **_between(0, 1)),
    _row("exact_steps", "bool", False, "img2img", "img2img_fix_steps"),
    _row("match_colours", "bool", False, "img2img", "img2img_color_correction"),
    _row("background", "str", "#ffffff", "img2img", "img2img_background_color"),
    _row("inpainting_mask_weight", "float", 1.0, "img2img", **_between(0, 1)),
    # saving
    _row("save_pictures", "bool", True, "saving", "samples_save"),
    _row("picture_format", "str", "png", "saving", "samples_format", **_FORMATS),
    _row("quality", "int", 90, "saving", "jpeg_quality", **_between(1, 100)),
    _row("webp_lossless", "bool", False, "saving"),
    _row("write_infotext", "bool", True, "saving", "enable_pnginfo"),
    _row("infotext_files", "bool", False, "saving", "save_txt"),
    _row("name_pattern", "str", "[number]-[seed]", "saving", "samples_filename_pattern"),
    _row("folder_per_pattern", "bool", True, "saving", "save_to_dirs"),
    _row("folder_pattern", "folder", "[date]", "saving", "directories_filename_pattern"),
    _row("folder_txt2img", "folder", "txt2img", "saving", "outdir_txt2img_samples"),
    _row("folder_img2img", "folder", "img2img", "saving", "outdir_img2img_samples"),
    _row("folder_extras", "folder", "extras", "saving", "outdir_extras_samples"),
    _row("extras_own_names", "bool", False, "saving", "use_original_name_batch"),
    _row("folder_grids", "folder", "grids", "saving", "outdir_grids"),
    _row("save_grids", "bool", False, "saving", "grid_save"),
    _row("return_grid", "bool", False, "saving"),
    _row("grid_name_pattern", "bool", False, "saving", "grid_extended_filename"),
    _row("grid_rows", "int", -1, "saving", "n_rows", **_between(-1, 100)),  # -1: nearly square, 0: the batch size
    # what is kept beside a picture
    _row("save_before_hires", "bool", False, "copies", "save_images_before_highres_fix"),
    _row("save_before_colours", "bool", False, "copies", "save_images_before_color_correction"),
    _row("save_masks", "bool", False, "copies", "save_mask"),
    _row("save_mask_composites", "bool", False, "copies", "save_mask_composite"),
    _row("return_masks", "bool", False, "copies", "return_mask"),
    _row("return_mask_composites", "bool", False, "copies", "return_mask_composite"),
    _row("save_sources", "bool", False, "copies", "save_init_img"),
    _row("folder_sources", "folder", "init-images", "copies", "outdir_init_images"),
    _row("small_copies", "bool", False, "copies", "export_for_4chan"),
    _row("small_copy_megabytes", "float", 4.0, "copies", "img_downscale_threshold", **_between(0.01, 512)),
    _row("small_copy_side", "int", 4000, "copies", "target_side_length", **_between(64, 16384)),
    # previews
    _row("live_previews", "bool", True, "previews", "live_previews_enable"),
    _row("preview_every_steps", "int", 1, "previews", "show_progress_every_n_steps", **_between(-1, 32)),
    _row("preview_method", "str", "Automatic", "previews", "show_progress_type", **_PREVIEWS),
    _row("preview_period", "int", 500, "previews", "live_preview_refresh_period", **_between(50, 10_000)),  # ms
    # page
    _row("language", "str", "auto", "page", "localization", **_LANGUAGES),
    _row("theme", "str", "auto", "page", choices=("auto", "light", "dark")),
    _row("quick_settings", "list", ("checkpoint", "vae", "clip_skip"), "page", "quicksettings_list"),
    _row("weight_step", "float", 0.1, "page", "keyedit_precision_attention", **_between(0.01, 0.2)),
    _row("network_weight_step", "float", 0.05, "page", "keyedit_precision_extra", **_between(0.01, 0.2)),
    _row("weight_delimiters", "str", r".,\/!?%^*;:{}=`~() ", "page", "keyedit_delimiters"),
    # extensions
    _row("disabled_extensions", "list", (), "extensions", "disabled_extensions", restart=True),
    # queue and HTTP
    _row("queue_limit", "int", 64, "queue", **_between(1, 10_000)),
    _row("queue_limit_per_client", "int", 64, "queue", **_between(1, 10_000)),
    _row("job_silence", "int", 900, "queue", **_between(0, 86_400)),  # seconds; 0: for ever
    _row("interrupt_patience", "int", 30, "queue", **_between(1, 3600)),  # seconds
    _row("script_limit", "int", 1000, "queue", **_between(1, 100_000)),  # pictures of one script
    # what one request may ask for at most (limits.py)
    _row("limit_megapixels", "float", 128.0, "limits", **_between(0.1, 10_000)),
    _row("limit_steps", "int", 1000, "limits", **_between(1, 1000)),
    _row("limit_pictures", "int", 1000, "limits", **_between(1, 640_000)),
    _row("limit_prompt", "int", 50_000, "limits", **_between(100, 1_000_000)),
    _row("limit_passes", "int", 32, "limits", **_between(1, 1000)),
    _row("limit_networks", "int", 64, "limits", **_between(0, 1000)),
    _row("limit_files", "int", 1000, "limits", **_between(1, 100_000)),
    _row("fetch_urls", "bool", False, "http", "api_enable_requests"),
    _row("hub_endpoint", "str", "", "http"),  # empty: HF_ENDPOINT, or the Hugging Face Hub
    _row("refuse_local_urls", "bool", True, "http", "api_forbid_local_requests"),
)
