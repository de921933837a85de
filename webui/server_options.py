"""Options of the server that say how it is operated: its log, and the bounds of connections."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from webui.errors import InvalidRequest
from webui.logs import FORMATS, LEVELS, LogOptions

SECONDS = (0.1, 3600.0)
CONNECTIONS = (8, 100_000)


def add_operation_options(parser: argparse.ArgumentParser) -> None:
    """The options."""
    log = parser.add_argument_group("log")
    log.add_argument("--log-format", choices=FORMATS, default="human", help="lines for people, or JSON objects")
    about = "least importance of what is written; default: info"
    log.add_argument("--log-level", choices=LEVELS, default="info", help=about)
    log.add_argument("--log-file", type=Path, metavar="FILE", help="write the log there too; at most 60 MB are kept")
    log.add_argument("--access-log", action="store_true", help="a line for each HTTP answer")
    log.add_argument("--log-prompts", action="store_true", help="let prompts appear in the log")
    many = parser.add_argument_group("connections")
    about = "connections that may be open at once; default: 512"
    many.add_argument("--max-connections", type=int, default=512, metavar="N", help=about)
    about = "within which the headers of a request have to be there; default: 10"
    many.add_argument("--header-timeout", type=float, default=10.0, metavar="SECONDS", help=about)
    about = "that a body may pause while it is being sent; default: 30"
    many.add_argument("--idle-timeout", type=float, default=30.0, metavar="SECONDS", help=about)


def operation_of(options: argparse.Namespace) -> dict[str, Any]:
    """The fields of StartOptions that these options give. Raises InvalidRequest for a number out of bounds."""
    for name, (low, high) in (
        ("max_connections", CONNECTIONS),
        ("header_timeout", SECONDS),
        ("idle_timeout", SECONDS),
    ):
        if not low <= getattr(options, name) <= high:
            flag = name.replace("_", "-")
            raise InvalidRequest(f"--{flag} is {getattr(options, name):g}.", f"It must be from {low:g} to {high:g}.")
    log = LogOptions(options.log_format, options.log_level, options.log_file, options.access_log, options.log_prompts)
    names = ("max_connections", "header_timeout", "idle_timeout")
    return {"log": log, **{name: getattr(options, name) for name in names}}
