"""Messages between the web process and a worker: a JSON object and, behind it, the bytes of at most one picture.

Plain data on purpose: nothing in a message can run, and the same bytes can travel to another machine.

To a worker: run (job, task, request, options), interrupt / skip / stop_after (job), load (load, checkpoint), perform
(task, request, options: the same without a job), settings (values), stop. From it: ready (names, facts), broken
(error), facts (facts), loaded (load, error), and of a job: started, progress, preview (with bytes), note (text),
picture, copy (path), done, cancelled (error), failed (error, type).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any

_LENGTH = struct.Struct("<I")  # bytes of the JSON part


def pack(message: Mapping[str, Any], blob: bytes = b"") -> bytes:
    """One message as bytes."""
    head = json.dumps(message, separators=(",", ":")).encode()
    return _LENGTH.pack(len(head)) + head + blob


def unpack(data: bytes) -> tuple[dict[str, Any], bytes]:
    """What `pack` packed."""
    (length,) = _LENGTH.unpack_from(data)
    start = _LENGTH.size
    return json.loads(data[start : start + length]), data[start + length :]
