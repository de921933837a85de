"""What people type to have a model fetched: an address, or an id of a model hub.

Ids: `owner/name`, `owner/name/path/file.safetensors`, both with `@revision` behind. The protocol is the Hugging Face
Hub's, which its mirrors speak too: `/api/models/{id}/revision/{revision}` lists files,
`/{id}/resolve/{revision}/{file}` gives one, with the SHA-256 of large files in `X-Linked-Etag`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from webui.errors import DownloadFailed, InvalidRequest, NotFound
from webui.library.connection import Answer, shown, split_url
from webui.library.files import SUFFIXES

HUB = "https://huggingface.co"
HUB_HOSTS = ("huggingface.co", "www.huggingface.co", "hf.co")
HUB_ID = re.compile(r"(?:hf:)?([\w.-]+/[\w.-]+)((?:/[^/@\s][^/@]*)*)(?:@([^\s@]+))?")
HUB_PAGE = re.compile(r"/([\w.-]+/[\w.-]+)/(?:blob|resolve)/([^/]+)/(.+)")
LISTING_BYTES = 16 << 20
SHOWN = 12  # files of a repository in a message

Open = Callable[[str], Answer]


@dataclass(frozen=True)
class Source:
    """Where a file is. `name` is what it is called there, where that is known."""

    url: str
    name: str = ""
    label: str = ""  # for people: never with a token


def find_source(typed: str, endpoint: str, open_one: Open) -> Source:
    """What was typed, as the address of one file. `open_one` asks the hub where an id names no file.

    Raises InvalidRequest for what is neither an address nor an id, or where there are several files to choose from;
    NotFound, DownloadFailed.
    """
    text = typed.strip()
    if "://" in text:
        parts = split_url(text)
        page = HUB_PAGE.fullmatch(parts.path) if _is_hub(parts.hostname, endpoint) else None
        if page is not None:
            return _hub_file(endpoint, page[1], unquote(page[3]), unquote(page[2]))
        return Source(text, unquote(parts.path.rpartition("/")[2]), shown(text))
    found = HUB_ID.fullmatch(text)
    if found is None or ".." in text:
        raise InvalidRequest(
            f"{text!r:.120} is neither an address nor a model of a hub.",
            "Wanted: https://…, owner/name or owner/name/file.safetensors, with @revision if need be.",
        )
    repository, file, revision = found[1], found[2].strip("/"), found[3] or "main"
    return _hub_file(endpoint, repository, file or _only_file(endpoint, repository, revision, open_one), revision)


def hub_endpoint(setting: str = "") -> str:
    """The hub's address: the user's setting, else HF_ENDPOINT, else the hub itself. Raises InvalidRequest."""
    endpoint = (setting or os.environ.get("HF_ENDPOINT") or HUB).strip().rstrip("/")
    split_url(endpoint)
    return endpoint


def token_for(host: str, endpoint: str, data: Path) -> str | None:
    """What proves who the user is at a host: from `tokens.json` in the data folder ({"host": "token"}), else for the
    hub from HF_TOKEN or its own login, for Civitai from CIVITAI_API_TOKEN."""
    try:
        kept: Any = json.loads((data / "tokens.json").read_text("utf-8"))
    except (OSError, ValueError):
        kept = {}
    token = kept.get(host) if isinstance(kept, dict) else None
    if isinstance(token, str) and token.strip():
        return token.strip()
    if _is_hub(host, endpoint):
        from huggingface_hub import get_token

        return get_token()
    if host == "civitai.com" or host.endswith(".civitai.com"):
        return os.environ.get("CIVITAI_API_TOKEN") or os.environ.get("CIVITAI_TOKEN")
    return None


def _is_hub(host: str | None, endpoint: str) -> bool:
    return (host or "").lower() in (*HUB_HOSTS, urlsplit(endpoint).hostname)


def _hub_file(endpoint: str, repository: str, file: str, revision: str) -> Source:
    from huggingface_hub import hf_hub_url

    url = hf_hub_url(repository, file, revision=revision, endpoint=endpoint)
    return Source(url, file.rpartition("/")[2], f"{repository}/{file}" + (f"@{revision}" if revision != "main" else ""))


def _only_file(endpoint: str, repository: str, revision: str, open_one: Open) -> str:
    """The model file of a repository that has one, those in safetensors before others."""
    with open_one(f"{endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true") as answer:
        raise_for_status(answer, repository)
        data = bytearray()
        while block := answer.read(1 << 16):
            data += block
            if len(data) > LISTING_BYTES:
                raise DownloadFailed(f"The list of files of {repository} is too long.")
    try:
        names = [str(entry["rfilename"]) for entry in json.loads(data)["siblings"]]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DownloadFailed(f"{shown(endpoint)} does not answer as a model hub does.") from None
    files = [name for name in names if name.lower().endswith(SUFFIXES)]
    top = [name for name in files if "/" not in name]
    for some in ([name for name in top if name.lower().endswith(".safetensors")], top, files):
        if len(some) == 1:
            return some[0]
    choices = ", ".join(files[:SHOWN]) + (f" and {len(files) - SHOWN} more" if len(files) > SHOWN else "")
    if not files:
        raise NotFound(f"{repository} holds no model files.")
    remedy = f"Name one of them: {repository}/FILE."
    raise InvalidRequest(f"{repository} holds several model files.", f"They are: {choices}.", remedy)


def raise_for_status(answer: Answer, label: str) -> None:
    """Turn an answer that is no file into an error in words."""
    status = answer.status
    if status in (200, 206):
        return
    if status in (401, 403):
        raise DownloadFailed(
            f"{label} wants to know who is asking (status {status}).",
            "",
            "Its terms may have to be accepted on its page. Give a token: HF_TOKEN, CIVITAI_API_TOKEN, or tokens.json.",
        )
    if status in (404, 410):
        raise NotFound(f"There is no {label} (status {status}).", "", "Check the address.")
    raise DownloadFailed(f"The server answered {label} with status {status}.", "", "Try again later.")
