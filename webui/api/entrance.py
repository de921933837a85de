"""The login page's routes: GET and POST /login, its files below /login/, and POST /logout."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qs, quote

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from webui.api.passwords import Passwords, TooManyAttempts
from webui.api.proxy import ROOT
from webui.api.sessions import DAYS, Sessions

LOGIN, LOGOUT = "/login", "/logout"
FORM_BYTES = 16 << 10
UNSAFE = frozenset('\\"<>') | {chr(code) for code in (*range(33), 127)}


@dataclass(frozen=True)
class Scene:
    """What the login page shows."""

    wanted: str  # where to go afterwards: `safe_path` made it
    language: str  # what the address asks for, or empty
    languages: str  # the header Accept-Language
    name: str = ""
    failed: bool = False
    seconds: int = 0  # until the next attempt


@dataclass(frozen=True)
class LoginPage:
    """How the page looks: HTML for a scene, and files by name as media type and bytes."""

    html: Callable[[Scene], str]
    files: Mapping[str, tuple[str, bytes]]


def safe_path(text: str) -> str:
    """A path of this server to go to, or "/" for anything that a browser could take for another place."""
    plain = text.startswith("/") and not text.startswith("//") and text.isascii() and not UNSAFE & set(text)
    if not plain or len(text) > 2000 or text.split("?")[0].rstrip("/") in (LOGIN, LOGOUT):
        return "/"
    return text


class Entrance:
    """Answers at /login and /logout."""

    def __init__(self, page: LoginPage, sessions: Sessions, passwords: Passwords):
        self._page, self._sessions, self._passwords = page, sessions, passwords

    async def __call__(self, scope: Scope, receive: Receive, send: Send, cookie: str, inside: bool) -> None:
        """`cookie` is what the browser sent; `inside`: it needs no login."""
        request = Request(scope, receive)
        answer = await self._answer(request, cookie, inside)
        answer.headers.setdefault("cache-control", "no-store")
        await answer(scope, receive, send)

    async def _answer(self, request: Request, cookie: str, inside: bool) -> Response:
        path, method = request.scope["path"].rstrip("/"), request.method
        if path == LOGOUT:
            return self._log_out(request) if method == "POST" else _only("POST")
        if path != LOGIN:
            return self._file(path) if method in ("GET", "HEAD") else _only("GET, HEAD")
        if method == "POST":
            return await self._log_in(request, cookie)
        if method not in ("GET", "HEAD"):
            return _only("GET, HEAD, POST")
        wanted = safe_path(request.query_params.get("next", "/"))
        if inside or request.scope["path"] != LOGIN:
            return _go(request, wanted if inside else LOGIN)
        return self._shown(self._scene(request, wanted), 200)

    def _scene(self, request: Request, wanted: str, **facts: object) -> Scene:
        languages = request.headers.get("accept-language", "")
        return Scene(wanted, request.query_params.get("lang", ""), languages, **facts)  # type: ignore[arg-type]

    def _shown(self, scene: Scene, status: int) -> Response:
        headers = {"retry-after": str(scene.seconds)} if scene.seconds else {}
        return Response(self._page.html(scene), status, headers, media_type="text/html")

    async def _log_in(self, request: Request, cookie: str) -> Response:
        fields = await _form(request)
        if fields is None:
            return Response("This is not the form of the login page.", 400, media_type="text/plain")
        name, password = fields.get("name", ""), fields.get("password", "")
        wanted, address = safe_path(fields.get("next", "/")), request.client.host if request.client else ""
        ticket = self._sessions.ticket(cookie)
        device = cookie if ticket is not None and ticket.name == name else None
        try:
            person = await self._passwords.person(name, password, address, device)
        except TooManyAttempts as refused:
            seconds = math.ceil(refused.seconds)
            return self._shown(self._scene(request, wanted, name=name, seconds=seconds), 429)
        if person is None:
            return self._shown(self._scene(request, wanted, name=name, failed=True), 401)
        answer = _go(request, wanted)
        self._set_cookie(request, answer, self._sessions.make(person), DAYS * 86400)
        return answer

    def _log_out(self, request: Request) -> Response:
        answer = _go(request, LOGIN)
        self._set_cookie(request, answer, "", 0)
        return answer

    def _set_cookie(self, request: Request, answer: Response, value: str, seconds: int) -> None:
        answer.set_cookie(
            self._sessions.cookie,
            value,
            max_age=seconds,
            path=quote(request.scope.get(ROOT) or "/"),
            secure=request.scope.get("scheme") == "https",
            httponly=True,
            samesite="lax",
        )

    def _file(self, path: str) -> Response:
        kind, data = self._page.files.get(path.removeprefix(f"{LOGIN}/"), ("", b""))
        if not kind:
            return Response("There is no such file.", 404, media_type="text/plain")
        return Response(data, media_type=kind, headers={"cache-control": "max-age=300"})


def _go(request: Request, path: str) -> Response:
    """To a path of this server; relative, so that a proxy in front needs no help."""
    answer = RedirectResponse("/", 303)
    answer.headers["location"] = quote(request.scope.get(ROOT, "")) + path
    return answer


def _only(methods: str) -> Response:
    return Response("Not this way.", 405, {"allow": methods}, media_type="text/plain")


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a form as browsers send it; None when it is too long or holds something else."""
    data = bytearray()
    async for part in request.stream():
        data += part
        if len(data) > FORM_BYTES:
            return None
    try:
        found = parse_qs(data.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=20)
    except ValueError:
        return None
    return {name: values[-1] for name, values in found.items()}
