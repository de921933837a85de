"""The bodies of POST /v1/images/…: OpenAI's fields, and those of ours that clients may add."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field

from webui.api.fields import TolerantFields
from webui.errors import InvalidRequest, NotFound

MOST_PICTURES = 10
SIZE = re.compile(r"(\d{2,5})\s*[x×*]\s*(\d{2,5})", re.IGNORECASE)
FORMATS = {"png": "png", "jpeg": "jpg", "webp": "webp"}  # OpenAI's word: the setting picture_format's
STEP_SHARES = {"low": 0.5, "high": 1.5, "hd": 1.5}  # of the usual steps, by quality; others leave them alone


class InvalidField(InvalidRequest):
    """A field with a value that cannot be served; `param` names it, as OpenAI's errors do."""

    def __init__(self, param: str, found: str, wanted: str = "", remedy: str = ""):
        super().__init__(found, wanted, remedy)
        self.param = param


class ModelNotFound(NotFound):
    """A model that is not there."""

    param, code = "model", "model_not_found"


class ImageFields(TolerantFields):
    """What the three routes share. Unknown fields are ignored, null means the default, numbers may be texts."""

    model: str | None = Field(None, description="A checkpoint. OpenAI's own names and none mean the default one.")
    n: int = Field(1, ge=1, le=MOST_PICTURES, description="How many pictures.")
    size: str = Field("auto", description='"WIDTHxHEIGHT", or "auto": the native size, or that of the picture sent.')
    response_format: Literal["url", "b64_json"] | None = Field(
        None, description="Default: url; b64_json for models named gpt-image-…"
    )
    quality: str = Field("auto", description="low: half as many steps; high, hd: half as many again, unless steps say.")
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: int = Field(100, ge=0, le=100, description="Quality of JPEG and WebP.")
    background: str = Field("auto", description="auto or opaque; transparent pictures cannot be made.")
    style: str | None = Field(None, description="The name of one of the user's styles; others have no effect.")
    stream: bool = Field(False, description="Only false: pictures come when they are finished.")
    user: str | None = Field(None, description="Ignored.")

    negative_prompt: str = ""
    seed: int = Field(-1, ge=-1, le=2**64 - 1, description="-1: random. Further pictures have the numbers after it.")
    steps: int | None = Field(
        None, ge=1, le=1000, validation_alias=AliasChoices("steps", "num_inference_steps", "sample_steps")
    )
    guidance_scale: float | None = Field(None, validation_alias=AliasChoices("guidance_scale", "cfg_scale"))
    sampler: str | None = Field(None, validation_alias=AliasChoices("sampler", "sampler_name", "sample_method"))
    schedule: str | None = Field(None, validation_alias=AliasChoices("schedule", "scheduler"))
    denoising_strength: float | None = Field(
        None, ge=0, le=1, validation_alias=AliasChoices("denoising_strength", "strength")
    )
    clip_skip: int | None = Field(None, ge=1, le=12)
    vae: str | None = None
    tiling: bool = False
    save: bool = Field(False, description="Keep the pictures in the outputs folder too.")

    @property
    def as_base64(self) -> bool:
        """Whether pictures go into the answer themselves."""
        if self.response_format is None:
            return bool(self.model and self.model.casefold().startswith("gpt-image"))
        return self.response_format == "b64_json"

    def sides(self) -> tuple[int, int] | None:
        """Width and height, None for "auto". Raises InvalidField."""
        text = self.size.strip()
        if text.casefold() in ("", "auto"):
            return None
        match = SIZE.fullmatch(text)
        if match is None:
            raise InvalidField("size", f"The size is {text!r:.40}.", 'Wanted: "WIDTHxHEIGHT" in pixels, or "auto".')
        return int(match[1]), int(match[2])


class PromptFields(ImageFields):
    """The body of POST /v1/images/generations, and with pictures that of POST /v1/images/edits."""

    prompt: str = Field(min_length=1, description="What the pictures shall show.")


class VariationFields(ImageFields):
    """The fields of POST /v1/images/variations."""

    prompt: str = Field("", description="Default: the one that the picture says it was made with, if it does.")


class ImageDatum(BaseModel):
    """One picture: an address on this server, or the file as base64."""

    url: str | None = None
    b64_json: str | None = None
    revised_prompt: str | None = None
    seed: int | None = None
    infotext: str | None = Field(None, description="How it was made; also inside of the file.")


class ImagesAnswer(BaseModel):
    """What the three routes answer."""

    created: int = Field(description="Seconds since 1970.")
    data: list[ImageDatum]
    background: str = "opaque"
    output_format: str = "png"
    quality: str = "auto"
    size: str = Field(description='"WIDTHxHEIGHT" of the first picture.')


class ModelFacts(BaseModel):
    """One checkpoint."""

    id: str
    object: str = "model"
    created: int = Field(description="When the file was changed last, in seconds since 1970.")
    owned_by: str = "local"


class ModelList(BaseModel):
    """Every checkpoint."""

    object: str = "list"
    data: list[ModelFacts]


def form_schema(kind: type[BaseModel], pictures: dict[str, str], wanted: tuple[str, ...] = ()) -> dict[str, Any]:
    """The OpenAPI body of a multipart form: the fields of a model, and files by name with what they are."""
    schema = kind.model_json_schema()
    schema["properties"] |= {
        name: {"type": "string", "format": "binary", "description": about} for name, about in pictures.items()
    }
    schema["required"] = [*schema.get("required", ()), *wanted]
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}
