"""Reading what a model file holds, without its tensors. The bytes decide what a file is, never its name."""

from __future__ import annotations

import stat
from pathlib import Path

from webui.errors import DamagedFile, FileError, NotFound, UnsafeFile
from webui.weights.diffusers_folder import read_folder
from webui.weights.pickles import read_legacy, read_zip
from webui.weights.safetensors_file import read_safetensors
from webui.weights.tensors import Header, Place, TensorInfo

FOREIGN = {
    b"GGUF": "a GGUF file",
    b"\x1f\x8b": "a gzip archive",
    b"7z\xbc\xaf": "a 7-Zip archive",
    b"Rar!": "a RAR archive",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"<!DO": "a web page, probably a failed download",
    b"<htm": "a web page, probably a failed download",
    b"<HTM": "a web page, probably a failed download",
    b"vers": "a Git LFS pointer, not the file itself",
}
READABLE = "A safetensors file, a torch checkpoint or a diffusers folder was wanted."


def read_header(path: str | Path) -> Header:
    """Names, shapes, types and metadata of a model file or diffusers folder.

    Raises NotFound, DamagedFile (truncated or inconsistent), UnsafeFile (a pickle that wants more than tensors, a
    bomb, a folder with code). Nothing in the file is executed, and no tensor is read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return read_folder(path, _read_file)
        return _read_file(path)
    except FileNotFoundError:
        raise NotFound(
            f"There is no file {path}.", "", "It may have been moved or deleted; refresh the list."
        ) from None
    except FileError:
        raise
    except OSError as error:
        raise DamagedFile(f"{path.name} cannot be read: {error.strerror or error}.") from None


def _read_file(path: Path) -> Header:
    if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for ever
        raise DamagedFile(f"{path.name} is no regular file.", READABLE)
    with path.open("rb") as file:
        start = file.read(16)
    if len(start) < 16:
        raise DamagedFile(f"{path.name} has only {len(start)} bytes.", READABLE, "Download it again.")
    if start[:4] == b"PK\x03\x04":
        return read_zip(path)
    for magic, what in FOREIGN.items():
        if start.startswith(magic):
            raise DamagedFile(f"{path.name} is {what}.", READABLE)
    if start[8:9] == b"{":  # before pickles: a safetensors header of the right length may begin with byte 0x80
        return read_safetensors(path)
    if start[:1] == b"\x80":
        return read_legacy(path)
    if start.strip(b"\x00") == b"":
        raise DamagedFile(f"{path.name} starts with zeros.", READABLE, "The download did not finish; fetch it again.")
    if start[257:262] == b"ustar" or start[:1] in b"(cilo]}":
        raise UnsafeFile(f"{path.name} is a bare pickle or an archive.", READABLE)
    raise DamagedFile(f"{path.name} is of an unknown kind (it starts with {start[:8]!r}).", READABLE)


__all__ = ["Header", "Place", "TensorInfo", "read_header"]
