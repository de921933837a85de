"""/openapi.json, right for every route: the forms of errors, the logins, and one group for each kind of client."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from webui.environment import program_version

GROUPS = (  # path, group, the form of its errors; the first that fits counts
    ("/api/v1/", "Emulsion", "Error"),
    ("/v1/", "OpenAI", "OpenAIError"),
    ("/sdapi/", "AUTOMATIC1111", "A1111Error"),
    ("/internal/", "AUTOMATIC1111", "A1111Error"),
    ("/ui/", "Page", "A1111Error"),
    ("/", "Operation", "A1111Error"),
)
ABOUT = {
    "Emulsion": "Requests, jobs, events and lists as plain typed data. webui/client.py speaks this.",
    "OpenAI": "The images API of OpenAI, for programs that speak it.",
    "AUTOMATIC1111": "The HTTP API of AUTOMATIC1111's web UI, for programs that speak it.",
    "Page": "What the web page asks for; it may change with the page.",
    "Operation": "How the server is.",
}
TEXT = {"type": "string"}
MAYBE_TEXT = {"anyOf": [{"type": "string"}, {"type": "null"}]}


def _object(about: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "description": about, "properties": properties, "required": list(properties)}


ERRORS = {
    "Error": _object(
        "What went wrong.",
        error=_object("In words for people, in three parts.", type=TEXT, found=TEXT, wanted=TEXT, remedy=TEXT),
    ),
    "OpenAIError": _object(
        "What went wrong, as OpenAI says it.",
        error=_object("The error.", message=TEXT, type=TEXT, param=MAYBE_TEXT, code=MAYBE_TEXT),
    ),
    "A1111Error": _object(
        "What went wrong, as AUTOMATIC1111's web UI says it.", error=TEXT, detail={}, body=TEXT, errors=TEXT
    ),
}
LOGINS = {
    "basic": {"type": "http", "scheme": "basic", "description": "User and password."},
    "bearer": {"type": "http", "scheme": "bearer", "description": "A token."},
}
OPEN: tuple[dict[str, list[str]], ...] = ({}, {"basic": []}, {"bearer": []})  # {}: where no login is in force


def describe(app: FastAPI) -> None:
    """Have the application answer GET /openapi.json with this description; made when it is first asked for."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = description(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def description(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI description of an application."""
    found = get_openapi(title=app.title, version=program_version(), routes=app.routes)
    parts = found.setdefault("components", {})
    schemas = parts.setdefault("schemas", {})
    for path, operation in _operations(found):
        _, group, error = next(row for row in GROUPS if path.startswith(row[0]))
        operation["tags"] = [group]
        form = {"application/json": {"schema": {"$ref": f"#/components/schemas/{error}"}}}
        responses = operation.setdefault("responses", {})
        responses.pop("422", None)  # FastAPI's own form of errors, which no route answers with
        responses["default"] = {"description": "What went wrong.", "content": form}
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    schemas |= ERRORS
    parts["securitySchemes"] = LOGINS
    used = {group for _, operation in _operations(found) for group in operation["tags"]}
    return {
        **found,
        "security": list(OPEN),
        "tags": [{"name": name, "description": about} for name, about in ABOUT.items() if name in used],
    }


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for operation in methods.values():
            yield path, operation
