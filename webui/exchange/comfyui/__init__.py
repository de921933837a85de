"""ComfyUI's workflows as requests. `read_workflow` takes both formats and never fails halfway."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from webui.errors import DamagedFile
from webui.exchange.comfyui.bundles import unbundled
from webui.exchange.comfyui.editor import read_editor_format
from webui.exchange.comfyui.graph import is_api_format, read_api_format
from webui.exchange.comfyui.translate import translate
from webui.exchange.documents import as_list, as_object, parse_json
from webui.exchange.reading import Reading

__all__ = ["is_workflow", "read_workflow"]


def read_workflow(source: str | Mapping[str, Any], size: tuple[int, int] | None = None) -> Reading:
    """The request of a workflow in either of ComfyUI's formats, as JSON or as the object, and what it cannot say.

    `size` is that of the finished picture (width, height in pixels), for workflows that do not tell it. Raises
    DamagedFile where the text is no workflow, or one in which nothing samples.
    """
    data = _unwrapped(parse_json(source) if isinstance(source, str) else source)
    if not isinstance(data, Mapping) or not is_workflow(data):
        raise DamagedFile("This is no workflow of ComfyUI's.", "JSON with nodes was wanted.")
    return translate(unbundled(read_api_format(data) if is_api_format(data) else read_editor_format(data)), size)


def is_workflow(data: Mapping[str, Any]) -> bool:
    """Whether an object has the form of a workflow, or holds one under the name that the server gives it."""
    data = _unwrapped(data)
    nodes = [as_object(node) for node in as_list(data.get("nodes"))]
    return is_api_format(data) or any("type" in node for node in nodes)


def _unwrapped(data: Any) -> Any:
    """The workflow in what is sent to the server, or in a comment with both formats."""
    if isinstance(data, Mapping) and "nodes" not in data:
        for name in ("prompt", "workflow"):
            inner = data.get(name)
            if isinstance(inner, dict) and "class_type" not in inner and ("nodes" in inner or is_api_format(inner)):
                return inner
    return data
