"""Errors with a fitting status, in the form that the clients of a group of routes know.

/sdapi and what belongs to it: {"error", "detail", "body", "errors"}, as A1111's clients know it. /v1: OpenAI's
{"error": {"message", "type", "param", "code"}}. /api/v1: {"error": {"type", "found", "wanted", "remedy"}}.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from webui import errors, logs
from webui.api.traffic import note
from webui.errors import EmulsionError
from webui.workers.views import JobView

log = logging.getLogger(__name__)

RETRY_SECONDS = 5


@dataclass(frozen=True)
class Problem:
    """What went wrong. `detail` is what /sdapi says under that name; `param` the field that is to blame."""

    status: int
    name: str  # of a class in errors.py, or what comes closest to one
    found: str
    wanted: str = ""
    remedy: str = ""
    detail: Any = None
    param: str | None = None
    code: str | None = None  # a word of OpenAI's, where the status does not say it
    retry_after: int = RETRY_SECONDS  # said with 429 and 503

    @property
    def text(self) -> str:
        """All of it in a line."""
        return " ".join(part.strip() for part in (self.found, self.wanted, self.remedy) if part.strip())


def add_handlers(app: FastAPI) -> None:
    """Make every error of the application leave in the form of its routes."""
    app.add_exception_handler(EmulsionError, _known)
    app.add_exception_handler(StarletteHTTPException, _http)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(Exception, _unexpected)


class JobFailed(EmulsionError):
    """A job that a client waited for ended with an error; it goes to the client as that error."""

    def __init__(self, job: JobView):
        super().__init__(job.error or "The job failed.")
        self.name = job.error_type or "JobFailed"
        known = getattr(errors, self.name, None)
        self.status = known.status if isinstance(known, type) and issubclass(known, EmulsionError) else 500


def status_and_body(path: str, problem: Problem) -> tuple[int, dict[str, Any]]:
    """The status and the JSON body that answer a request to `path`."""
    form = next((form for prefix, form in FORMS if path.startswith(prefix)), _a1111)
    return form(problem)


class PlainJson(JSONResponse):
    """JSON in ASCII: what a client sent may hold half a character, which UTF-8 cannot say, and errors quote it."""

    def render(self, content: Any) -> bytes:
        """The body."""
        return json.dumps(content, allow_nan=False, separators=(",", ":")).encode("ascii")


def answer(path: str, problem: Problem) -> JSONResponse:
    """The answer to a request to `path`."""
    status, body = status_and_body(path, problem)
    return PlainJson(body, status, {"Retry-After": str(problem.retry_after)} if status in (429, 503) else None)


# The forms -------------------------------------------------------------------------------------------------------

OPENAI = {  # status: type, code
    400: ("invalid_request_error", None),
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "forbidden"),
    404: ("invalid_request_error", "not_found"),
    429: ("requests", "rate_limit_exceeded"),
}


def _a1111(problem: Problem) -> tuple[int, dict[str, Any]]:
    detail = problem.text if problem.detail is None else problem.detail
    return problem.status, {"error": problem.name, "detail": detail, "body": "", "errors": problem.text}


def _openai(problem: Problem) -> tuple[int, dict[str, Any]]:
    status = 400 if problem.status == 422 else problem.status
    kind, code = OPENAI.get(status, ("server_error" if status >= 500 else "invalid_request_error", None))
    body = {"message": problem.text, "type": kind, "param": problem.param, "code": problem.code or code}
    return status, {"error": body}


def _native(problem: Problem) -> tuple[int, dict[str, Any]]:
    names = ("found", "wanted", "remedy")
    return problem.status, {"error": {"type": problem.name, **{name: getattr(problem, name) for name in names}}}


FORMS: tuple[tuple[str, Callable[[Problem], tuple[int, dict[str, Any]]]], ...] = (
    ("/v1/", _openai),
    ("/api/v1/", _native),
)


# The handlers ----------------------------------------------------------------------------------------------------


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EmulsionError)
    name = getattr(error, "name", type(error).__name__)
    facts: dict[str, Any] = {"param": getattr(error, "param", None), "code": getattr(error, "code", None)}
    facts |= {"retry_after": getattr(error, "retry_after", RETRY_SECONDS)}
    return answer(request.scope["path"], Problem(error.status, name, error.found, error.wanted, error.remedy, **facts))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    found = Problem(error.status_code, HTTPException.__name__, str(error.detail), detail=error.detail)
    told = answer(request.scope["path"], found)
    told.headers.update(error.headers or {})
    return told


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without the input itself: it may be as large as the body, or a number that JSON cannot say (NaN).
    detail = [{"loc": entry["loc"], "msg": entry["msg"], "type": entry["type"]} for entry in error.errors()]
    text = "; ".join(f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}" for entry in detail)
    named = [str(part) for entry in detail[:1] for part in entry["loc"][1:]]
    param = ".".join(named) or None
    return answer(request.scope["path"], Problem(422, "RequestValidationError", text, detail=detail, param=param))


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    error_id = logs.report(log, f"{request.method} {request.scope['path']} failed", error)
    note(request.scope, error=error_id)  # the traceback stays out of the answer
    text = f"Something unexpected went wrong. The log has the details, error {error_id}."
    return answer(request.scope["path"], Problem(500, type(error).__name__, text))
