"""Answering with the file of a picture, for the page and for the HTTP routes."""

from __future__ import annotations

import mimetypes
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from os import fstat
from pathlib import Path

import anyio
from starlette.responses import FileResponse
from starlette.types import Receive, Scope, Send

from webui.errors import NotFound


class PictureFile(FileResponse):
    """Sends a file that was opened before the answer began: one that goes to the trash meanwhile arrives whole.

    Starlette alone opens it after it has promised its length. Opens a file, so make it in a thread.
    """

    def __init__(self, path: Path, headers: Mapping[str, str], name: str | None = None):
        """`name`: what a browser that keeps it calls it. Raises NotFound for a file that is not there any more."""
        try:
            self._file = path.open("rb")
        except OSError:
            raise NotFound(f"{path.name} is not there any more.", "", "It was moved or cleared away.") from None
        facts = fstat(self._file.fileno())
        kind, disposition = media_type(path), "inline"
        super().__init__(path, 200, headers, kind, None, name, facts, disposition)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends it, or the part that is asked for."""
        with self._file:
            await super().__call__(scope, receive, send)

    @asynccontextmanager
    async def _open_file(self) -> AsyncIterator[anyio.AsyncFile[bytes]]:
        yield anyio.wrap_file(self._file)


def media_type(path: Path) -> str:
    """The media type of a picture file, by its name."""
    return {".webp": "image/webp", ".avif": "image/avif"}.get(path.suffix.lower()) or (
        mimetypes.guess_type(path.name)[0] or "image/png"
    )


def preview_type(picture: bytes) -> str:
    """The media type of a preview, by its first bytes."""
    if picture.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if picture.startswith(b"RIFF") else "image/jpeg"
