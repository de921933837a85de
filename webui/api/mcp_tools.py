"""/mcp: tools for language models, over the Model Context Protocol's streamable HTTP. Only with --mcp.

This module needs the packages of requirements-mcp.txt; `application.make_application` imports it when it is wanted.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import FastAPI
from mcp.server.mcpserver import Context as Call
from mcp.server.mcpserver import Image as Picture
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from mcp.server.transport_security import TransportSecuritySettings
from PIL import Image
from pydantic import Field
from starlette.concurrency import run_in_threadpool
from starlette.routing import Route

from webui.api.context import Context
from webui.api.native.requests import read_request
from webui.api.pictures import encoded, picture_field
from webui.api.problems import JobFailed
from webui.api.watching import watched
from webui.environment import program_version
from webui.errors import Cancelled, EmulsionError, WorkerLost
from webui.identity import check_owner, client_of
from webui.imaging.metadata import encode_picture
from webui.upscalers.names import names
from webui.workers.queue import FAILED
from webui.workers.views import JobView, read_picture

PATH = "/mcp"
MOST_BYTES = 64 << 20  # of a call
QUALITY = 90  # of the WebP files that are sent: PNGs are too much for most models
ABOUT = (
    "Makes pictures with diffusion models on the user's own machine. Describe in English what shall be seen, as a list "
    "of phrases. Sizes near the model's native one look best; leave them out where the user does not ask for another."
)
Prompt = Annotated[str, Field(description="What the picture shall show.")]
Without = Annotated[str, Field(description="What it shall not show.")]
Side = Annotated[int | None, Field(ge=16, le=16384, description="In pixels; default: the model's native size.")]
Steps = Annotated[int | None, Field(ge=1, le=1000, description="More take longer; default: what suits the model.")]
Seed = Annotated[int, Field(ge=-1, description="-1: random. The same seed and words give the same picture.")]
Count = Annotated[int, Field(ge=1, le=4, description="How many pictures.")]
Model = Annotated[str | None, Field(description="A name that list_models gave; default: the user's choice.")]
Source = Annotated[str, Field(description='The id of a picture made before, such as "5f2e…/0", or base64.')]
Scale = Annotated[float, Field(gt=0, le=8, description="By which factor.")]
Upscaler = Annotated[str, Field(description="Default: a trained one where there is one.")]


def add_endpoint(app: FastAPI, context: Context) -> None:
    """Put /mcp in front of whatever is mounted later. The doors around the application check host, origin and login."""
    doors = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # webui/api/door.py does it for all
    inner = make_server(context).streamable_http_app(
        streamable_http_path=PATH, stateless_http=True, max_request_body_size=MOST_BYTES, transport_security=doors
    )
    outer = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(application: Any) -> AsyncIterator[Any]:
        async with inner.router.lifespan_context(inner), outer(application) as state:
            yield state

    app.router.routes.extend(route for route in inner.router.routes if isinstance(route, Route))
    app.router.lifespan_context = lifespan


def make_server(context: Context) -> MCPServer:
    """The tools."""
    server: MCPServer = MCPServer("emulsion", "Emulsion", version=program_version(), instructions=ABOUT)

    @server.tool(structured_output=False)
    async def generate(
        prompt: Prompt,
        call: Call,
        negative_prompt: Without = "",
        width: Side = None,
        height: Side = None,
        steps: Steps = None,
        seed: Seed = -1,
        count: Count = 1,
        model: Model = None,
    ) -> list[Any]:
        """Make pictures from words. Each comes with its id and with how it was made."""
        step = {"width": width, "height": height, "steps": steps}
        request = {"prompt": prompt, "negative_prompt": negative_prompt, "seed": seed, "count": count}
        request |= {"checkpoint": model, "passes": [{key: value for key, value in step.items() if value is not None}]}
        with _told():
            wanted = await run_in_threadpool(read_request, request, context, context.store.settings)
            job_id = await run_in_threadpool(context.service.submit, wanted, client_of(_scope(call)), "txt2img", True)
            return await _pictures(context, job_id, call)

    @server.tool(structured_output=False)
    async def upscale(image: Source, call: Call, scale: Scale = 2.0, upscaler: Upscaler = "") -> list[Any]:
        """Enlarge a picture."""
        with _told():
            values = await run_in_threadpool(_values, context, image, scale, upscaler, _scope(call))
            client = client_of(_scope(call))
            job_id = await run_in_threadpool(context.service.submit_task, "extras", values, client, "extras", True)
            return await _pictures(context, job_id, call)

    @server.tool(structured_output=False)
    def list_models() -> list[dict[str, Any]]:
        """Which models there are, what they are for, and their native size."""
        context.catalogue.refresh()
        return [_model(context, name) for name in (file.name for file in context.catalogue.checkpoints())]

    return server


@contextlib.contextmanager
def _told() -> Any:
    """Errors of ours in their own words; others are told by the SDK without details."""
    try:
        yield
    except EmulsionError as error:
        raise ToolError(str(error)) from None


def _scope(call: Call) -> Mapping[str, Any]:
    """The ASGI scope of the request that brought a call: it says who asks."""
    request = call.request_context.request
    return {} if request is None else request.scope


async def _pictures(context: Context, job_id: str, call: Call) -> list[Any]:
    """What a job made, when it is over. The job ends with the call."""
    job = await _followed(context, job_id, call)
    if job.state == FAILED:
        raise JobFailed(job)
    if not job.results:
        raise Cancelled("The job was cancelled before a picture was finished.")
    return await run_in_threadpool(_contents, job)


async def _followed(context: Context, job_id: str, call: Call) -> JobView:
    over = False
    with watched(context.service, job_id) as changed:
        try:
            while True:
                changed.clear()
                job = await run_in_threadpool(context.service.job, job_id)
                over = job.over
                if over:
                    return job
                if context.service.draining:
                    raise WorkerLost("The program is about to end.", remedy="Try again when it runs.")
                await call.report_progress(job.progress, 1.0)
                await changed.wait()
        finally:
            if not over:
                context.service.interrupt(job_id)


def _contents(job: JobView) -> list[Any]:
    contents: list[Any] = []
    for index, result in enumerate(job.results):
        with Image.open(result.path) as picture:
            data = encode_picture(picture.convert("RGB"), result.infotext, "webp", QUALITY)
        about = f"Picture {job.id}/{index}, {result.width}x{result.height}, seed {result.seed}.\n{result.infotext}"
        contents += [Picture(data=data, format="webp"), about]
    return contents


def _values(context: Context, image: str, scale: float, upscaler: str, scope: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the task that enlarges. Raises NotFound, InvalidRequest, FileError."""
    job_id, _, index = image.rpartition("/")
    if len(image) < 64 and index.isdecimal():
        job = context.service.job(job_id)
        check_owner(scope, job.client, job_id)
        data = encoded(read_picture(job, int(index)))
    else:
        data = picture_field(image, context.store.settings, context.offline)
    known = names(context.store.settings.paths)
    trained = next((one.name for one in known if one.file is not None), "Lanczos")
    options = {"upscaler": upscaler or trained, "mode": "by", "scale": scale}
    return {"images": [data], "options": options, "save": False}


def _model(context: Context, name: str) -> dict[str, Any]:
    try:
        facts = context.catalogue.facts(context.catalogue.find(name))
    except EmulsionError as error:
        return {"name": name, "problem": str(error)}
    concepts = {"can_draw_only": list(facts.concepts)} if facts.concepts else {}
    return {"name": name, "family": facts.label, "native_size": facts.native_size, "kind": facts.variant, **concepts}
