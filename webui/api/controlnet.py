"""ControlNet's routes, /controlnet/…: they say that nothing is there to control with, in the words that clients read.

Its models do not run in this version. Clients ask for the lists at their start and send empty units with every request,
so the lists are there, empty units pass, and a unit that would change the picture is refused by name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, HTTPException
from starlette.concurrency import run_in_threadpool

from webui.api.context import Context
from webui.api.fields import TolerantFields
from webui.api.pictures import picture_field
from webui.errors import InvalidRequest

TITLE = "ControlNet"
VERSION = 3
NONE = "none"  # the module that leaves a picture as it is; as a name in any case, it means that none is wanted
ABSENT = "This version does not run ControlNet."


class DetectFields(TolerantFields):
    """Pictures as base64 and what shall be made of them. The numbers are those of other modules than "none"."""

    controlnet_module: str = NONE
    controlnet_input_images: list[str] = []
    controlnet_masks: list[str] | None = None
    controlnet_processor_res: int = -1
    controlnet_threshold_a: float = -1
    controlnet_threshold_b: float = -1
    low_vram: bool = False


def make_router(context: Context) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix="/controlnet")

    @router.get("/version")
    def version() -> dict[str, int]:
        """Of the interface that these routes speak."""
        return {"version": VERSION}

    @router.get("/model_list")
    def model_list(update: bool = True) -> dict[str, list[str]]:
        """Models that could be used: none."""
        return {"model_list": []}

    @router.get("/module_list")
    def module_list(alias_names: bool = False) -> dict[str, Any]:
        """Preprocessors that could be used."""
        return {"module_list": [NONE], "module_detail": {NONE: {"model_free": False, "sliders": []}}}

    @router.get("/control_types")
    def control_types() -> dict[str, Any]:
        """Preprocessors and models by what they control."""
        every = {"module_list": [NONE], "model_list": ["None"], "default_option": NONE, "default_model": "None"}
        return {"control_types": {"All": every}}

    @router.get("/settings")
    def settings() -> dict[str, int]:
        """How many units there are."""
        return {"control_net_unit_count": 0}

    @router.post("/detect")
    async def detect(fields: DetectFields) -> dict[str, Any]:
        """What a preprocessor makes of pictures. 422, in the extension's words, for one that is not here."""
        if not is_none(fields.controlnet_module):
            raise HTTPException(422, f"Module not available: {fields.controlnet_module[:60]}. Known: {NONE}.")
        if not fields.controlnet_input_images:
            raise HTTPException(422, "No image selected")
        if len(fields.controlnet_input_images) > context.service.limits.files:
            raise InvalidRequest("There are too many pictures.", f"At most {context.service.limits.files} are taken.")

        def read() -> list[str]:
            settings = context.store.settings
            return [picture_field(text, settings, context.offline) for text in fields.controlnet_input_images]

        return {"images": await run_in_threadpool(read), "poses": [], "tensor": [], "info": "Success"}

    @router.post("/render_openpose_json")
    def render_openpose_json() -> None:
        """Poses as pictures: not drawn here."""
        raise HTTPException(501, "Poses are not drawn by this version.")

    return router


def refuse_units(given: Any) -> None:
    """Raises InvalidRequest where one of the units that a client sent would take part in the picture."""
    units = given if isinstance(given, list) else [given]
    if any(unit is True for unit in units):  # the arguments of one unit by position, the first says that it is on
        raise InvalidRequest("A ControlNet unit is switched on.", ABSENT, "Switch it off.")
    for number, unit in enumerate(units):
        if not isinstance(unit, Mapping) or unit.get("enabled", True) in (False, 0, None, "false"):
            continue
        named = [str(unit[name])[:80] for name in ("model", "module") if not is_none(unit.get(name))]
        named += ["a picture"] if any(unit.get(name) for name in ("image", "input_image")) else []
        if named:
            raise InvalidRequest(
                f"ControlNet unit {number} is switched on and holds {' and '.join(named)}.",
                ABSENT,
                "Switch the unit off, or leave it out.",
            )


def is_none(name: Any) -> bool:
    """Whether a name of a model or module means that none is wanted."""
    return str(name or NONE).strip().casefold() in (NONE, "")
