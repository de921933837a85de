"""GET /api/v1/{checkpoints,vaes,loras,embeddings,samplers,schedules,upscalers,scripts,styles,status}."""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import APIRouter, Request

from webui.api.context import Context
from webui.api.native.models import (
    CheckpointFacts,
    Choice,
    FileFacts,
    Habits,
    OptionFacts,
    ScriptFacts,
    Status,
    StyleFacts,
    UpscalerFacts,
)
from webui.api.native.views import PREFIX
from webui.engine.catalogue import CheckpointFile
from webui.engine.embeddings import embedding_files
from webui.environment import program_version
from webui.errors import EmulsionError, NotFound
from webui.extend import Option
from webui.identity import owns
from webui.scripts import SCRIPTS
from webui.upscalers.names import names


def make_router(context: Context) -> APIRouter:
    """The routes. Lists of files are those of the folders now."""
    router = APIRouter(prefix=PREFIX)

    @router.get("/checkpoints")
    def checkpoints() -> list[CheckpointFacts]:
        """Every checkpoint, with what it was made for."""
        context.catalogue.refresh()
        return [_checkpoint(file, context) for file in context.catalogue.checkpoints()]

    @router.get("/vaes")
    def vaes() -> list[FileFacts]:
        """Every separate VAE."""
        context.catalogue.refresh()
        return [_file(file) for file in context.catalogue.vaes()]

    @router.get("/loras")
    def loras() -> list[FileFacts]:
        """Every LoRA; in a prompt <lora:NAME:STRENGTH>."""
        context.catalogue.refresh()
        return [_file(file) for file in context.catalogue.files("loras")]

    @router.get("/embeddings")
    def embeddings() -> list[FileFacts]:
        """Every embedding, by the word that stands for it in a prompt."""
        context.catalogue.refresh()
        found = sorted(embedding_files(context.catalogue).items())
        return [FileFacts(name=name, title=file.title, sha256=file.sha256) for name, file in found]

    @router.get("/samplers")
    def samplers() -> list[Choice]:
        """Every sampler."""
        return [Choice(name=one["name"], aliases=list(one["aliases"])) for one in context.service.names("samplers")]

    @router.get("/schedules")
    def schedules() -> list[Choice]:
        """Every schedule."""
        return [Choice(name=one["name"], aliases=list(one["aliases"])) for one in context.service.names("schedules")]

    @router.get("/upscalers")
    def upscalers() -> list[UpscalerFacts]:
        """Everything that enlarges pictures."""
        found = names(context.store.settings.paths)
        return [UpscalerFacts(name=one.name, scale=one.scale) for one in found if one.name != "None"]

    @router.get("/scripts")
    def scripts() -> list[ScriptFacts]:
        """Every script."""
        return [
            ScriptFacts(
                name=entry.name, tabs=list(entry.value.tabs), options=[_option(one) for one in entry.value.options]
            )
            for entry in SCRIPTS
        ]

    @router.get("/styles")
    def styles() -> list[StyleFacts]:
        """Every style of the user's style files."""
        found = context.catalogue.styles().values()
        return [StyleFacts(name=s.name, prompt=s.prompt, negative_prompt=s.negative_prompt) for s in found]

    @router.get("/status")
    def status(request: Request) -> Status:
        """How the worker and the queue are."""
        told = dataclasses.asdict(context.service.status())
        return Status(version=program_version(), **{**told, "current": _own(told["current"], context, request)})

    return router


def _own(job_id: str | None, context: Context, request: Request) -> str | None:
    """The id of a job where it is one's own."""
    try:
        mine = job_id is not None and owns(request.scope, context.service.job(job_id).client)
    except NotFound:
        mine = False
    return job_id if mine else None


def _file(file: CheckpointFile) -> FileFacts:
    return FileFacts(name=file.name, title=file.title, sha256=file.sha256)


def _checkpoint(file: CheckpointFile, context: Context) -> CheckpointFacts:
    plain: dict[str, Any] = _file(file).model_dump()
    try:
        found = context.catalogue.facts(file)
    except EmulsionError as error:
        return CheckpointFacts(**plain, problem=str(error))
    plain |= {name: getattr(found, name) for name in ("family", "variant", "native_size")}
    return CheckpointFacts(**plain, defaults=Habits(**dataclasses.asdict(found.defaults)))


def _option(option: Option) -> OptionFacts:
    plain = {name: getattr(option, name) for name in ("key", "label", "default", "minimum", "maximum", "step")}
    return OptionFacts(**plain, choices=list(option.choices))
