"""Who is asking, as the login wrote it into the ASGI scope, and what a role may do. Read by the page and the routes."""

from __future__ import annotations

import enum
import ipaddress
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from webui.errors import Forbidden, NotFound

USER = "emulsion_user"  # key of the ASGI scope: the name after a login, or None where no login is in force
FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")  # headers of whatever stands between
ROLE = "emulsion_role"  # key of the ASGI scope: one of ROLES


class Level(enum.IntEnum):
    """What a route demands, and what a role reaches."""

    OPEN = 0  # anybody, without a login
    READ = 1  # look, and start nothing
    USE = 2  # make pictures, and stop one's own jobs
    ADMINISTER = 3  # settings, model files, other people's jobs, folders of the server


ADMINISTRATOR = "administrator"
ROLES: Mapping[str, Level] = MappingProxyType(
    {ADMINISTRATOR: Level.ADMINISTER, "user": Level.USE, "read-only": Level.READ}
)


def role_of(scope: Mapping[str, Any]) -> str:
    """The role of who is asking; without a login everybody who is let in is the administrator."""
    return str(scope.get(ROLE) or ADMINISTRATOR)


def may(scope: Mapping[str, Any], level: Level) -> bool:
    """Whether who is asking reaches a level."""
    return ROLES.get(role_of(scope), Level.OPEN) >= level


def sits_here(scope: Mapping[str, Any]) -> bool:
    """Whether who is asking is an administrator before this very machine.

    Not behind a proxy, a tunnel or a share link, and not under another name of the server. Only they name its folders.
    """
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope.get("headers", ())}
    if not may(scope, Level.ADMINISTER) or any(name in headers for name in FORWARDED):
        return False
    return _is_loopback((scope.get("client") or ("",))[0]) and _is_loopback(_name(headers.get("host", "")))


def _name(host: str) -> str:
    """The name in a Host header; nothing for what is none."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _is_loopback(name: str) -> bool:
    try:
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def client_of(scope: Mapping[str, Any]) -> str:
    """Whose turn it is in the queue: the user's name after a login, else the address."""
    return str(scope.get(USER) or (scope.get("client") or ("",))[0])


def owner_of(scope: Mapping[str, Any]) -> str | None:
    """Whose jobs who is asking may see and stop: one client's, or everybody's (None) for an administrator."""
    return None if may(scope, Level.ADMINISTER) else client_of(scope)


def owns(scope: Mapping[str, Any], client: str) -> bool:
    """Whether a client's job is one that who is asking may see."""
    return owner_of(scope) in (None, client)


def check_owner(scope: Mapping[str, Any], client: str, job_id: str) -> None:
    """Raise NotFound for a job of somebody else: it is as if it were not there."""
    if not owns(scope, client):
        raise NotFound(f"There is no job {job_id!r}.")


def demand(scope: Mapping[str, Any], level: Level, what: str) -> None:
    """Raise Forbidden where the role is too small; `what` is the beginning of a sentence: "Making pictures"."""
    if not may(scope, level):
        raise Forbidden(f"{what} {refusal(scope, level)}", "", "Ask an administrator.")


def refusal(scope: Mapping[str, Any], level: Level) -> str:
    """The end of a sentence on what a role may not do."""
    wanted = next(name for name, reached in ROLES.items() if reached == level)
    article = "an" if wanted == ADMINISTRATOR else "a"
    return f"needs {article} {wanted}, and {scope.get(USER) or 'this visitor'} is {role_of(scope)}."
