"""What other programs wrote: metadata of pictures and ComfyUI's workflows, as requests. Nothing imports torch."""

from __future__ import annotations

from webui.exchange.comfyui import read_workflow
from webui.exchange.picture import read_document, read_picture
from webui.exchange.reading import PictureInfo, Reading, Untranslated

__all__ = ["PictureInfo", "Reading", "Untranslated", "read_document", "read_picture", "read_workflow"]
