"""Requests in the shape in which other people's programs send them, kept as JSON, against a started server.

tests/data/clients/NAME.json holds the headers and, in order, the requests of a program as features of its source show
them, with what it reads of each answer. "{picture}" stands for a small PNG in base64.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.api.pictures import opened, picture
from tests.api.started import complaints, server

CLIENTS = sorted((Path(__file__).parents[1] / "data" / "clients").glob("*.json"))
PICTURE = picture(64, 64)
KINDS: dict[str, Any] = {"number": (int, float), "object": dict, "list": list}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("captured")
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True)
    for name in ("first", "second"):
        (models / f"{name}.safetensors").write_bytes(name.encode())
    with server(folder, "nowebui=True, offline=True") as running:
        yield running
        assert "Traceback" not in complaints(folder)


def filled(body: Any) -> Any:
    """The body with the picture in its places."""
    if isinstance(body, dict):
        return {name: filled(value) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value) for value in body]
    return body.replace("{picture}", PICTURE) if isinstance(body, str) else body


def check(value: Any, wanted: str, what: str) -> None:
    """A value as the program needs it: of a kind, or a text that holds the wanted one."""
    if wanted == "picture":
        assert opened(value).size >= (64, 64), what
    elif wanted == "json":
        assert isinstance(json.loads(value), dict), what
    elif wanted == "text":
        assert isinstance(value, str) and value, what
    elif wanted in KINDS:
        assert isinstance(value, KINDS[wanted]) and not isinstance(value, bool), what
    else:
        assert isinstance(value, str) and wanted in value, what


def part(answer: Any, path: str) -> Any:
    """A part of an answer by names and numbers with dots between."""
    for name in path.split("."):
        answer = answer[int(name)] if isinstance(answer, list) else answer[name]
    return answer


@pytest.mark.parametrize("file", CLIENTS, ids=[file.stem for file in CLIENTS])
def test_a_program_gets_from_each_request_what_it_reads(started, file):
    said, kept = json.loads(file.read_text(encoding="utf-8")), {}
    with requests.Session() as client:  # httpx refuses to send "Basic " with nothing behind it
        client.headers.update(said["headers"])
        for wanted in said["requests"]:
            body = kept if wanted.get("body") == "{options}" else filled(wanted.get("body"))
            asked: dict[str, Any] = {} if body is None else {"json": {**body, **wanted.get("change", {})}}
            if "form" in wanted:
                file_part = {wanted["file"]: ("image.png", base64.b64decode(PICTURE), "image/png")}
                asked = {"data": wanted["form"], "files": file_part}
            answer = client.request(wanted["method"], started.address + wanted["path"], timeout=120, **asked)
            what = f"{wanted['method']} {wanted['path']}: {answer.status_code} {answer.text[:300]}"
            assert answer.status_code == 200, what
            told = answer.json()
            for path, kind in wanted.get("read", {}).items():
                check(part(told, path), kind, f"{what}, {path}")
            if "each" in wanted:
                assert isinstance(told, list) and len(told) >= wanted.get("least", 0), what
                for one in told:
                    for path, kind in wanted["each"].items():
                        check(part(one, path), kind, f"{what}, {path}")
            kept = told if "keep" in wanted else kept


@pytest.mark.parametrize(
    "header", ["", "Basic ", "Basic", "Basic Og==", "Basic !!", "Bearer ", "Bearer sk-x", "Token x"]
)
def test_a_login_that_nobody_asked_for_is_tolerated(started, header):
    headers = {"authorization": header}
    for path in ("/sdapi/v1/options", "/v1/models", "/api/v1/status", "/internal/ping"):
        assert requests.get(started.address + path, headers=headers, timeout=120).status_code == 200, (path, header)
    body = {"prompt": "x", "steps": 1, "width": 64, "height": 64}
    assert (
        requests.post(f"{started.address}/sdapi/v1/txt2img", json=body, headers=headers, timeout=120).status_code == 200
    )
