"""Pictures that come and go over HTTP: base64, data addresses and, where the user allows it, web addresses."""

from __future__ import annotations

import base64
import http.client
import time
from collections.abc import Iterable
from pathlib import Path

from webui.api.picture_info import decoded
from webui.errors import DownloadFailed, InvalidRequest, NotFound
from webui.imaging.files import check_whole
from webui.library.connection import open_url, shown
from webui.settings import Settings
from webui.workers.views import ResultView

MAX_BYTES = 100 << 20  # of a picture that is fetched
PIECE = 1 << 20
SECONDS = 10.0  # for fetching one


def picture_field(text: str, settings: Settings, offline: bool = False) -> str:
    """A picture as plain base64 that is known to be one, from whatever a client put into the field.

    Raises InvalidRequest, FileError for what is no picture, DownloadFailed.
    """
    is_address = text.lstrip().lower().startswith(("http://", "https://"))
    data = _fetched(text.strip(), settings, offline) if is_address else decoded(text)
    check_whole(data)
    return base64.b64encode(data).decode("ascii")


def _fetched(url: str, settings: Settings, offline: bool) -> bytes:
    """The bytes behind an address. Raises InvalidRequest where that is switched off."""
    if offline or not settings["fetch_urls"]:
        raise InvalidRequest(
            "Pictures are not fetched from web addresses here.",
            "Base64 was wanted.",
            "" if offline else "Switch on the setting fetch_urls (api_enable_requests), or send the picture itself.",
        )
    data, end = bytearray(), time.monotonic() + SECONDS
    try:
        with open_url(url, private=not settings["refuse_local_urls"], timeout=SECONDS) as answer:
            if answer.status != 200:
                raise DownloadFailed(f"{shown(url)} answers with {answer.status}.", "A picture was wanted.")
            while piece := answer.read(PIECE):
                data += piece
                if len(data) > MAX_BYTES:
                    raise DownloadFailed(f"{shown(url)} is too large.", f"At most {MAX_BYTES >> 20} MB are fetched.")
                if time.monotonic() > end:
                    raise DownloadFailed(f"{shown(url)} takes too long.", f"At most {SECONDS:g} s are waited.")
    except (OSError, http.client.HTTPException) as error:
        raise DownloadFailed(f"{shown(url)} cannot be fetched: {error}.") from None
    return bytes(data)


def files_of(results: Iterable[ResultView]) -> list[bytes]:
    """The files of a job's pictures. Raises NotFound where one was cleared away meanwhile."""
    try:
        return [Path(result.path).read_bytes() for result in results]
    except OSError as error:
        raise NotFound(f"A picture of this job is gone: {error}.") from None


def encoded(file: bytes) -> str:
    """A file as the base64 that answers hold."""
    return base64.b64encode(file).decode("ascii")
