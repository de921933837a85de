"""Lists of LoRAs, embeddings and hypernetworks, as A1111 gives them: /sdapi/v1/{loras,embeddings,hypernetworks}."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from webui.adapters.embedding import embedding_header, vector_count, vector_tensors
from webui.api.context import Context
from webui.engine.catalogue import CheckpointFile
from webui.engine.embeddings import embedding_files
from webui.errors import FileError, NotFound
from webui.families import FAMILIES, ModelFacts
from webui.weights.header import read_header


def make_router(context: Context) -> APIRouter:
    """The routes. Lists are those of the folders now."""
    router = APIRouter(prefix="/sdapi/v1")

    @router.get("/loras")
    def loras() -> list[dict[str, Any]]:
        """Every LoRA and LyCORIS file with its metadata."""
        context.catalogue.refresh()
        return [_lora(file) for file in context.catalogue.files("loras")]

    @router.post("/refresh-loras")
    def refresh_loras() -> None:
        """Look at the folders again."""
        context.catalogue.refresh()

    @router.get("/embeddings")
    def embeddings() -> dict[str, dict[str, Any]]:
        """Embeddings that the chosen checkpoint can take, and the others."""
        context.catalogue.refresh()
        return _embeddings(context)

    @router.post("/refresh-embeddings")
    def refresh_embeddings() -> None:
        """Look at the folders again."""
        context.catalogue.refresh()

    @router.get("/hypernetworks")
    def hypernetworks() -> list[dict[str, str]]:
        """Every hypernetwork file."""
        context.catalogue.refresh()
        return [{"name": file.stem, "path": str(file.path)} for file in context.catalogue.files("hypernetworks")]

    return router


def _lora(file: CheckpointFile) -> dict[str, Any]:
    try:
        metadata = dict(read_header(file.path).metadata)
    except FileError:
        metadata = {}  # a damaged file is in the list all the same; using it says what is wrong
    alias = metadata.get("ss_output_name") or file.stem
    return {"name": file.stem, "alias": alias, "path": str(file.path), "metadata": metadata}


def _embeddings(context: Context) -> dict[str, dict[str, Any]]:
    answer: dict[str, dict[str, Any]] = {"loaded": {}, "skipped": {}}
    try:
        facts = context.catalogue.facts(context.catalogue.find(None))
    except (FileError, NotFound):
        facts = None
    for name, file in sorted(embedding_files(context.catalogue).items()):
        place, told = _embedding(file, facts)
        answer[place][name] = told
    return answer


def _embedding(file: CheckpointFile, facts: ModelFacts | None) -> tuple[str, dict[str, Any]]:
    told: dict[str, Any] = {"step": None, "sd_checkpoint": None, "sd_checkpoint_name": None, "shape": 0, "vectors": 0}
    try:
        header = embedding_header(file.path)
        said = header.metadata
        told |= {"step": int(said["step"]) if said.get("step", "").isdigit() else None}
        told |= {key: said.get(key) for key in ("sd_checkpoint", "sd_checkpoint_name")}
        shapes = [info.shape for info in header.tensors.values() if len(info.shape) in (1, 2)]
        told["shape"] = sum(shape[-1] for shape in shapes)  # A1111 counts both encoders of XL together
        if facts is None:
            return "skipped", told
        encoders = len(FAMILIES[facts.family].text_encoders)
        tensors = vector_tensors(header, encoders, facts.context_width)
        return "loaded", {**told, "shape": facts.context_width, "vectors": vector_count(header, tensors)}
    except FileError:
        return "skipped", told
