"""Where the members of a torch zip archive lie, with torch's own rules for their names.

Format: PKWARE APPNOTE (end record, ZIP64 end record, central directory, local headers). The directory is read here
and not by `zipfile`, so that its size is bounded before anything is allocated.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from webui.errors import DamagedFile, UnsafeFile

MAXIMUM_DIRECTORY = 16 << 20
MEMBER_NAME = re.compile(
    r"([^/]+)/(data\.pkl|version|byteorder|data/\d+|\.data/serialization_id|\.format_version|\.storage_alignment)"
)
STORED, DEFLATED = 0, 8
SLACK = 16 << 20  # a compressed archive may grow to four times its size and this much


@dataclass(frozen=True, slots=True)
class Member:
    """`packed` bytes at `offset` that become `size` bytes."""

    offset: int
    packed: int
    size: int
    method: int


def read_members(path: Path) -> dict[str, Member]:
    """Members of a torch archive by name without the top folder. Raises UnsafeFile, DamagedFile."""
    size = path.stat().st_size
    members: dict[str, Member] = {}
    folders: set[str] = set()
    with path.open("rb") as file:
        try:
            entries = list(_directory(path, file, size))
            for name, header, packed, unpacked, method in entries:
                match = MEMBER_NAME.fullmatch(name)
                if match is None:
                    raise UnsafeFile(
                        f"{path.name} contains {name!r:.100}.",
                        "A torch checkpoint holds data.pkl and data/<number> only.",
                    )
                folders.add(match[1])
                if match[2] in members or len(folders) > 1:
                    raise UnsafeFile(f"{path.name} contains {name!r:.100} twice, or two archives in one.")
                members[match[2]] = Member(_data_offset(file, header), packed, unpacked, method)
        except (struct.error, UnicodeDecodeError, IndexError) as error:
            raise _damaged(path, f"its directory cannot be read ({error})") from None
    _check_sizes(path, members, size)
    return members


def read_member(path: Path, member: Member, limit: int) -> bytes:
    """The bytes of one member, at most `limit`."""
    if member.size > limit:
        raise UnsafeFile(f"A part of {path.name} has {member.size} bytes.", f"At most {limit} are read.")
    with path.open("rb") as file:
        file.seek(member.offset)
        data = file.read(member.packed)
    return inflate(path, data, member.size) if member.method == DEFLATED else data


def inflate(path: Path, data: bytes, size: int) -> bytes:
    """Decompress to exactly `size` bytes."""
    try:
        result = zlib.decompressobj(-15).decompress(data, size + 1)
    except zlib.error as error:
        raise _damaged(path, f"a compressed part cannot be unpacked ({error})") from None
    if len(result) != size:
        raise _damaged(path, "a compressed part has another size than its directory says")
    return result


def _damaged(path: Path, why: str) -> DamagedFile:
    return DamagedFile(f"{path.name} is damaged: {why}.", "", "The download may be incomplete; fetch it again.")


def _check_sizes(path: Path, members: dict[str, Member], size: int) -> None:
    for member in members.values():
        if member.method not in (STORED, DEFLATED) or (member.method == STORED and member.size != member.packed):
            raise _damaged(path, "a member is stored in an unknown way")
        if member.offset + member.packed > size:
            raise _damaged(path, f"a member ends at byte {member.offset + member.packed} of {size}")
    if sum(m.size for m in members.values()) > 4 * size + SLACK:
        raise UnsafeFile(f"{path.name} would unpack to far more than its size: a decompression bomb.")
    if "data.pkl" not in members:
        raise _damaged(path, "it has no data.pkl, so it is no torch checkpoint")


def _directory(path: Path, file: BinaryIO, size: int) -> Iterator[tuple[str, int, int, int, int]]:
    """(name, offset of the local header, packed, unpacked, method) of each entry."""
    start, length, count = _end_record(path, file, size)
    if length > MAXIMUM_DIRECTORY:
        raise UnsafeFile(
            f"The directory of {path.name} takes {length} bytes.", f"At most {MAXIMUM_DIRECTORY} are read."
        )
    if start + length > size:
        raise _damaged(path, "its directory lies beyond its end")
    file.seek(start)
    data = file.read(length)
    position = 0
    for _ in range(count):
        signature, flags, method, packed, unpacked, names, extras, comment, header = struct.unpack_from(
            "<I4xHH8xIIHHH8xI", data, position
        )
        if signature != 0x02014B50 or flags & 1:
            raise _damaged(path, "its directory is inconsistent or encrypted")
        position += 46
        name = data[position : position + names].decode("utf-8")
        extra = data[position + names : position + names + extras]
        position += names + extras + comment
        yield name, *_wide(extra, unpacked, packed, header), method


def _wide(extra: bytes, unpacked: int, packed: int, header: int) -> tuple[int, int, int]:
    """(header, packed, unpacked), those that overflow 32 bits taken from the ZIP64 field."""
    values, position = [unpacked, packed, header], 0
    while position + 4 <= len(extra):
        kind, length = struct.unpack_from("<HH", extra, position)
        position += 4
        if kind == 1:
            inner = position
            for index, value in enumerate(values):
                if value == 0xFFFFFFFF:
                    (values[index],) = struct.unpack_from("<Q", extra, inner)
                    inner += 8
        position += length
    return values[2], values[1], values[0]


def _end_record(path: Path, file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Start, length and number of entries of the central directory."""
    tail_start = max(0, size - 65_557)
    file.seek(tail_start)
    tail = file.read()
    at = tail.rfind(b"PK\x05\x06")
    if at < 0:
        raise _damaged(path, "the end of the archive is missing")
    count, length, start = struct.unpack_from("<10xHII", tail, at)
    if 0xFFFF in (count,) or 0xFFFFFFFF in (length, start):
        locator = tail.rfind(b"PK\x06\x07", 0, at)
        if locator < 0:
            raise _damaged(path, "the end of the archive is missing")
        (record,) = struct.unpack_from("<8xQ", tail, locator)
        file.seek(min(record, size))
        signature, count, length, start = struct.unpack("<I28xQQQ", file.read(56))
        if signature != 0x06064B50:
            raise _damaged(path, "the end of the archive is inconsistent")
    return start, length, count


def _data_offset(file: BinaryIO, header: int) -> int:
    file.seek(header)
    signature, names, extras = struct.unpack("<I22xHH", file.read(30))
    if signature != 0x04034B50:
        raise struct.error("a member is not where the directory says")
    return header + 30 + names + extras
