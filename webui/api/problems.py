"""Errors as A1111's clients know them: {"error", "detail", "body", "errors"} with a fitting status."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException as StarletteHTTPException

from webui import errors
from webui.errors import EmulsionError
from webui.workers.views import JobView


def add_handlers(app: FastAPI) -> None:
    """Make every error of the application leave in this form."""
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


def problem(status: int, error: str, detail: Any, text: str | None = None) -> JSONResponse:
    """The answer for an error."""
    headers = {"Retry-After": "5"} if status in (429, 503) else None
    body = {"error": error, "detail": detail, "body": "", "errors": text if text is not None else str(detail)}
    return JSONResponse(body, status, headers)


async def _known(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, EmulsionError)
    return problem(error.status, getattr(error, "name", type(error).__name__), str(error))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, StarletteHTTPException)
    answer = problem(error.status_code, HTTPException.__name__, error.detail)
    answer.headers.update(error.headers or {})
    return answer


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    # Without the input itself: it may be as large as the body, or a number that JSON cannot say (NaN).
    detail = [{"loc": entry["loc"], "msg": entry["msg"], "type": entry["type"]} for entry in error.errors()]
    text = "; ".join(f"{'.'.join(str(part) for part in entry['loc'])}: {entry['msg']}" for entry in detail)
    return problem(422, "RequestValidationError", detail, text)


async def _unexpected(request: Request, error: Exception) -> JSONResponse:
    # The server logs the traceback; it stays out of the answer.
    return problem(500, type(error).__name__, "Something unexpected went wrong. The log has the details.")
