"""Find a port to listen on, before anything heavy is imported."""

from __future__ import annotations

import errno
import os
import socket

from webui.errors import InvalidRequest

TRIES = 10


def choose_port(host: str, wanted: int | None, default: int) -> int:
    """The wanted port, or the first free one from `default` on. Raises InvalidRequest if it cannot be had."""
    if wanted is not None:
        problem = port_problem(host, wanted)
        if problem:
            raise InvalidRequest(problem, "", "Choose another one with --port, or leave --port out.")
        return wanted
    problem = None
    for port in range(default, default + TRIES):
        problem = port_problem(host, port)
        if not problem:
            return port
    raise InvalidRequest(f"{problem} So are the {TRIES - 1} before it.", "", "Choose one with --port.")


def port_problem(host: str, port: int) -> str | None:
    """Why one cannot listen there, as a sentence; None if one can."""
    if not 1 <= port <= 65535:
        return f"{port} is no port number."
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            if os.name != "nt":  # there it would allow to steal the port of another program
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return f"Port {port} is taken by another program, perhaps by an Emulsion that is still running."
        if error.errno in (errno.EACCES, errno.EPERM):
            return f"Port {port} may not be used by an ordinary user."
        return f"One cannot listen on {host}, port {port} ({error.strerror or error})."
    return None
