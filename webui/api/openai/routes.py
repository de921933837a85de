"""POST /v1/images/{generations,edits,variations}, GET /v1/models: what OpenAI's clients ask for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from pydantic import ValidationError
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from webui.api.context import Context, client_of
from webui.api.follow import follow
from webui.api.openai.fields import (
    ImageDatum,
    ImageFields,
    ImagesAnswer,
    ModelFacts,
    ModelList,
    PromptFields,
    VariationFields,
    form_schema,
)
from webui.api.openai.requests import checkpoint, from_pictures, job_settings, make_request, prompt_of
from webui.api.pictures import encoded, files_of
from webui.api.problems import JobFailed
from webui.engine.catalogue import CheckpointFile
from webui.errors import Cancelled, InvalidRequest
from webui.identity import check_owner
from webui.picture_answer import PictureFile
from webui.request import GenerationRequest
from webui.workers.queue import FAILED
from webui.workers.views import JobView, picture_of

Fields = TypeVar("Fields", bound=ImageFields)
IMAGE = "The picture to start from: PNG, JPEG, WebP, AVIF or GIF. image[] is taken too."
MASK = "A PNG that is transparent where the picture is to change. Default: the picture's own transparency, else all."
FILE: dict[str, Any] = {"description": "The file.", "content": {"image/*": {}}}
MOST_FILES, MOST_FIELDS, PRIVATE = 20, 100, {"Cache-Control": "private, max-age=3600"}


async def form_of(request: Request) -> AsyncIterator[FormData]:
    """The multipart form of a request, open while it is answered. Raises InvalidRequest for another kind of body."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise InvalidRequest("The body is no multipart form.", "multipart/form-data was wanted.")
    async with request.form(max_files=MOST_FILES, max_fields=MOST_FIELDS) as form:
        yield form


Form = Annotated[FormData, Depends(form_of)]


def make_router(context: Context) -> APIRouter:
    """The routes. Those that make pictures block until they are there and end the job when the client goes."""
    router = APIRouter(prefix="/v1")

    @router.post("/images/generations", response_model_exclude_none=True)
    async def generations(fields: PromptFields, request: Request) -> ImagesAnswer:
        """Make pictures from text."""
        wanted = await run_in_threadpool(make_request, fields, fields.prompt, context)
        return await _made(context, fields, wanted, request)

    edit_body = form_schema(PromptFields, {"image": IMAGE, "mask": MASK}, ("image",))

    @router.post("/images/edits", response_model_exclude_none=True, openapi_extra=edit_body)
    async def edits(form: Form, request: Request) -> ImagesAnswer:
        """Change a picture: where the mask is transparent, or all of it. Checkpoints of the instruct-pix2pix kind take
        the prompt as an order, others as a description of the whole result."""
        fields = _fields(PromptFields, form)
        images, masks = await _files(form, "image", "image[]"), await _files(form, "mask")
        mask = masks[0] if masks else None
        wanted = await run_in_threadpool(from_pictures, fields, fields.prompt, images, mask, context)
        return await _made(context, fields, wanted, request)

    variation_body = form_schema(VariationFields, {"image": IMAGE}, ("image",))

    @router.post("/images/variations", response_model_exclude_none=True, openapi_extra=variation_body)
    async def variations(form: Form, request: Request) -> ImagesAnswer:
        """Pictures like another one."""
        fields = _fields(VariationFields, form)
        images = await _files(form, "image", "image[]")
        prompt = fields.prompt or (prompt_of(images[0]) if images else "")
        wanted = await run_in_threadpool(from_pictures, fields, prompt, images, None, context)
        return await _made(context, fields, wanted, request)

    @router.get("/images/files/{job_id}/{index}", response_class=FileResponse, responses={200: FILE})
    def file(job_id: str, index: int, request: Request) -> Response:
        """A picture that an answer named, for whoever asked for it. The address is good for some hours."""
        job = context.service.job(job_id)
        check_owner(request.scope, job.client, job_id)
        return PictureFile(picture_of(job, index), PRIVATE)

    @router.get("/models")
    def models() -> ModelList:
        """Every checkpoint."""
        context.catalogue.refresh()
        return ModelList(data=[_model(one) for one in context.catalogue.checkpoints()])

    @router.get("/models/{model:path}")
    def model(model: str) -> ModelFacts:
        """One checkpoint."""
        return _model(checkpoint(context, model))

    return router


async def _made(context: Context, fields: ImageFields, wanted: GenerationRequest, request: Request) -> ImagesAnswer:
    tab = "txt2img" if wanted.passes[0].source == "noise" else "img2img"
    options = {"settings": job_settings(fields)}
    job_id = await run_in_threadpool(context.service.submit, wanted, client_of(request), tab, True, 0, options)
    job = await follow(request, context.service, job_id)
    if job.state == FAILED:
        raise JobFailed(job)
    if not job.results:
        raise Cancelled("The job was interrupted before a picture was finished.")
    return await run_in_threadpool(_answer, fields, wanted, job, str(request.base_url))


def _answer(fields: ImageFields, wanted: GenerationRequest, job: JobView, base: str) -> ImagesAnswer:
    files: Sequence[bytes | None] = files_of(job.results) if fields.as_base64 else [None] * len(job.results)
    data = [
        ImageDatum(
            url=None if file is not None else f"{base}v1/images/files/{job.id}/{index}",
            b64_json=None if file is None else encoded(file),
            revised_prompt=wanted.prompt,
            seed=result.seed,
            infotext=result.infotext,
        )
        for index, (file, result) in enumerate(zip(files, job.results))
    ]
    first = job.results[0]
    return ImagesAnswer(
        created=int(time.time()),
        data=data,
        output_format=fields.output_format,
        quality=fields.quality,
        size=f"{first.width}x{first.height}",
    )


def _model(file: CheckpointFile) -> ModelFacts:
    return ModelFacts(id=file.name, created=int(file.path.stat().st_mtime) if file.path.exists() else 0)


def _fields(kind: type[Fields], form: FormData) -> Fields:
    """The form's texts as fields. Raises RequestValidationError, as FastAPI does for JSON."""
    texts: dict[str, Any] = {name: value for name, value in form.items() if isinstance(value, str) and value != ""}
    try:
        return kind.model_validate(texts)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in found]) from None


async def _files(form: FormData, *names: str) -> list[bytes]:
    """The files of a form under some names, in its order."""
    files = [value for name, value in form.multi_items() if name in names and isinstance(value, UploadFile)]
    return [await file.read() for file in files]
