"""How a picture was made: POST /sdapi/v1/png-info in A1111's words, POST /ui/picture-info with all that is known."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile

from webui.api.context import Context
from webui.errors import InvalidRequest
from webui.exchange import PictureInfo, read_document, read_picture
from webui.infotext import read_infotext, request_to_infotext
from webui.upscalers.extras import options_of

# What A1111 adds where a text leaves it out, so that its clients find every key.
_ABSENT = {
    "Clip skip": "1",
    "Hires resize-1": 0,
    "Hires resize-2": 0,
    "Hires sampler": "Use same sampler",
    "Hires schedule type": "Use same scheduler",
    "Hires checkpoint": "Use same checkpoint",
    "Hires prompt": "",
    "Hires negative prompt": "",
    "Mask mode": "Inpaint masked",
    "Masked content": "original",
    "Inpaint area": "Whole picture",
    "Masked area padding": 32,
    "RNG": "GPU",
    "Schedule type": "Automatic",
    "Schedule max sigma": 0,
    "Schedule min sigma": 0,
    "Schedule rho": 0,
    "VAE Encoder": "Full",
    "VAE Decoder": "Full",
    "FP8 weight": "Disable",
    "Cache FP16 weight for LoRA": False,
}
_TEXT_ITEMS = ("parameters", "UserComment", "comment")


class PictureFields(BaseModel):
    """A picture as base64, with or without `data:…,` before it."""

    image: str


def make_router(context: Context) -> APIRouter:
    """The routes. What a picture says is read from it alone; `context` is not needed yet all routers are given it."""
    router = APIRouter()

    @router.post("/sdapi/v1/png-info")
    def png_info(fields: PictureFields) -> Response:
        """A1111's answer: the text, the other items, and the text's fields. Other programs' settings are put into
        A1111's words."""
        if not fields.image.strip():
            return _answer({"info": "", "items": {}, "parameters": {}})
        return _answer(a1111_answer(read_picture(decoded(fields.image))))

    @router.post("/ui/picture-info")
    async def picture_info(request: Request) -> Response:
        """All about a picture or a workflow: multipart with one file, {"image": base64}, or the file as the body.

        `settings` are an infotext here, whatever the program wrote. `request_json` is the request once more as text,
        for a page to hand back: a browser's numbers are exact to 2^53 only, and seeds are longer. `extras` are the
        options of the task "extras" that enlarged the picture, empty where none did.
        """
        info = await run_in_threadpool(read_document, await picture_bytes(request))
        request_json = info.request.to_json() if info.request else None
        known = {"settings": _settings(info), "request_json": request_json, "extras": options_of(info.postprocessing)}
        return _answer({**info.plain(), **known})

    return router


def a1111_answer(info: PictureInfo) -> dict[str, Any]:
    """`info`, `items` and `parameters` as A1111's route has them."""
    text = _settings(info)
    items = {name: value for name, value in info.items.items() if name not in _TEXT_ITEMS or value != text}
    if not text:
        return {"info": "", "items": items, "parameters": {}}
    read = read_infotext(text)
    parameters = {"Prompt": read.prompt, "Negative prompt": read.negative_prompt, **read.fields}
    return {"info": text, "items": items, "parameters": {**_ABSENT, **parameters}}


def _settings(info: PictureInfo) -> str:
    """The text in A1111's form: as it stands in the picture, or as the request of another program's words says it."""
    if info.request is not None and not read_infotext(info.infotext).fields:
        return request_to_infotext(info.request)
    return info.infotext


def decoded(text: str) -> bytes:
    """The bytes of base64, with or without a data address around it. Raises InvalidRequest."""
    body = text.partition(",")[2] if text.lstrip().startswith("data:") else text
    try:
        return base64.b64decode("".join(body.split()), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequest("The picture is not base64.") from None


async def picture_bytes(request: Request) -> bytes:
    """The file that a request brings: as the body, in a multipart form, or as base64 in {"image": …}."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8) as form:
            file = next((value for value in form.values() if isinstance(value, UploadFile)), None)
            if file is None:
                raise InvalidRequest("The form has no file.", "One picture or workflow was wanted.")
            return await file.read()
    data = await request.body()
    if kind == "application/json":
        try:
            fields = json.loads(data)
        except (ValueError, RecursionError):
            return data  # `read_document` says what is wrong with it
        if isinstance(fields, dict) and isinstance(fields.get("image"), str):
            return decoded(fields["image"])
    return data


def _answer(values: dict[str, Any]) -> Response:
    # All in ASCII: texts of files may hold characters that UTF-8 cannot
    return Response(json.dumps(values), media_type="application/json")
