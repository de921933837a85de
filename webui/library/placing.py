"""What becomes of a file that has arrived: its header is looked at, it gets a plain name, and goes to its folder."""

from __future__ import annotations

import hashlib
import itertools
import shutil
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

from webui.atomic import publish, sync_folder
from webui.errors import FileError
from webui.imaging.names import safe_name
from webui.library.files import SUFFIXES
from webui.weights.header import read_header
from webui.weights.tensors import Header


def file_name(disposition: str) -> str:
    """The name in a Content-Disposition header, in any of its spellings."""
    if not disposition:
        return ""
    message = Message()
    message["content-disposition"] = disposition
    return message.get_filename("") or ""


def checked_header(path: Path, name: str) -> Header:
    """The header of what has come. Raises DamagedFile or UnsafeFile in the name that the file will have."""
    try:
        return read_header(path)
    except FileError as error:
        found = error.found.replace(path.name, name)
        raise type(error)(found, error.wanted, error.remedy) from None


def model_name(name: str, header: Header) -> str:
    """A plain file name that ends as its contents do. Whatever folders the server names are left out."""
    bare = name.replace("\\", "/").rpartition("/")[2]
    stem, suffix = bare, ""
    for known in SUFFIXES:
        if bare.lower().endswith(known):
            stem, suffix = bare[: -len(known)], known
    if header.container == "safetensors":
        suffix = ".safetensors"
    elif suffix in ("", ".safetensors", ".sft"):  # the contents decide how a file is read, but names should not lie
        suffix = ".pt"
    return safe_name(stem or "model") + suffix


def put(part: Path, folder: Path, name: str, sha256: str) -> Path:
    """Give the file its name in a folder; a number is added where the name is taken by another file. The same file
    that is there already stays."""
    there = folder / name
    if there.is_file() and there.stat().st_size == part.stat().st_size and _sha256(there) == sha256:
        return there
    temporary = part
    if part.stat().st_dev != folder.stat().st_dev:  # another disk: copied beside its place first
        temporary = folder / part.name
        shutil.copyfile(part, temporary)
    try:
        path = next(place for place in _names(folder / name) if publish(temporary, place))
    finally:
        if temporary != part:
            temporary.unlink(missing_ok=True)
    sync_folder(folder)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _names(path: Path) -> Iterator[Path]:
    yield path
    for number in itertools.count(1):
        yield path.with_name(f"{path.stem}-{number}{path.suffix}")
