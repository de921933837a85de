"""What /sdapi/v1/{txt2img,img2img} answer: pictures, the fields once more, and A1111's `info` as JSON within JSON."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import Any

from webui.api.fields import GenerationFields, ImageToImageFields
from webui.api.grid import grid_file
from webui.api.pictures import encoded, files_of
from webui.imaging.grid import grid_rows
from webui.infotext import read_infotext
from webui.request import GenerationRequest
from webui.settings import Settings
from webui.workers.tasks import GENERATE
from webui.workers.views import JobView, ResultView

# Infotext fields that A1111 writes in any case; it tells the others as `extra_generation_params`.
_USUAL = frozenset(
    (
        *("Steps", "Sampler", "Schedule type", "CFG scale", "Image CFG scale", "Seed", "Face restoration", "Size"),
        *("Size-1", "Size-2", "Model hash", "Model", "VAE hash", "VAE", "Variation seed", "Variation seed strength"),
        *("Seed resize from", "Seed resize from-1", "Seed resize from-2", "Denoising strength", "Clip skip", "ENSD"),
        *("Conditional mask weight", "Init image hash", "RNG", "Tiling", "Version", "User"),
    )
)


def reply(fields: GenerationFields, request: GenerationRequest, job: JobView, settings: Settings) -> dict[str, Any]:
    """The answer. An interrupted job brings what was finished before; sheets of pictures come first."""
    wants_grid = settings["return_grid"] and not fields.do_not_save_grid
    sent = [result for result in job.results if wants_grid or not result.facts.get("usual")]
    sheets = [result for result in sent if result.facts.get("sheet")]
    results = [*sheets, *(result for result in sent if result not in sheets)]
    own = [number for number, result in enumerate(results) if not result.facts.get("aside")]  # no mask
    gridded = job.task == GENERATE and wants_grid and len(own) > 1
    files: list[bytes] = []
    if fields.send_images:
        files = files_of(results)
        if gridded:
            rows, format = grid_rows(settings["grid_rows"], request.batch_size), settings["picture_format"]
            pictures = [files[number] for number in own]
            files.insert(0, grid_file(pictures, results[0], format, settings["quality"], rows))
    return {
        "images": [encoded(file) for file in files],
        "parameters": _parameters(fields),
        "info": json.dumps(_info(fields, request, job, results, len(sheets) or (1 if gridded else 0))),
    }


def _parameters(fields: GenerationFields) -> dict[str, Any]:
    """The fields as they were understood; pictures only where the client wants them back."""
    hidden = {} if getattr(fields, "include_init_images", True) else {"init_images": None, "mask": None}
    return fields.model_dump() | hidden


def _info(
    fields: GenerationFields, request: GenerationRequest, job: JobView, results: Sequence[ResultView], first: int
) -> dict[str, Any]:
    step = request.passes[0]
    facts = next((result.facts for result in results if not result.facts.get("sheet")), {})
    infotexts = [result.infotext for result in results]
    pictures = [result for result in results if not (result.facts.get("sheet") or result.facts.get("aside"))]
    seeds = [result.seed for result in pictures]
    subseeds = [result.facts.get("variation_seed", request.variation_seed) for result in pictures]
    read = read_infotext(infotexts[0]).fields if infotexts else {}
    resize = request.resize_seed_from or (-1, -1)
    # A grid has the text of the first picture; sheets have their own.
    is_repeated = first and not any(result.facts.get("sheet") for result in results)
    return {
        "prompt": request.prompt,
        "all_prompts": [request.prompt] * len(pictures),
        "negative_prompt": request.negative_prompt,
        "all_negative_prompts": [request.negative_prompt] * len(pictures),
        "seed": seeds[0] if seeds else request.seed,
        "all_seeds": seeds,
        "subseed": subseeds[0] if subseeds else request.variation_seed,
        "all_subseeds": subseeds,
        "subseed_strength": request.variation_strength,
        "width": step.width,
        "height": step.height,
        "sampler_name": step.sampler,
        "cfg_scale": step.guidance.scale,
        "steps": step.steps,
        "batch_size": request.batch_size,
        "restore_faces": False,
        "face_restoration_model": None,
        "sd_model_name": facts.get("checkpoint") or request.checkpoint or "",
        "sd_model_hash": facts.get("checkpoint_hash") or "",
        "sd_vae_name": facts.get("vae"),
        "sd_vae_hash": facts.get("vae_hash"),
        "seed_resize_from_w": resize[0],
        "seed_resize_from_h": resize[1],
        "denoising_strength": _strength(fields, request),
        "extra_generation_params": {name: value for name, value in read.items() if name not in _USUAL},
        "index_of_first_image": first,
        "infotexts": infotexts[:1] * first + infotexts if is_repeated else infotexts,
        "styles": list(request.styles),
        "job_timestamp": timestamp(job),
        "clip_skip": request.clip_skip,
        "is_using_inpainting_conditioning": False,
        "version": facts.get("version", "Emulsion"),
        "notes": [*_ignored_styles(fields, request), *job.notes],
    }


def _ignored_styles(fields: GenerationFields, request: GenerationRequest) -> list[str]:
    return [
        f"There is no style named {name!r}; it was left out." for name in fields.styles if name not in request.styles
    ]


def _strength(fields: GenerationFields, request: GenerationRequest) -> float | None:
    if isinstance(fields, ImageToImageFields) or len(request.passes) > 1:
        return request.passes[-1].denoising_strength
    return fields.denoising_strength


def timestamp(job: JobView) -> str:
    """When a job began, as A1111 writes it."""
    return time.strftime("%Y%m%d%H%M%S", time.localtime(job.started or job.created))
