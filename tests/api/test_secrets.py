"""Passwords, tokens and keys: nowhere in what the program tells, writes or puts into pictures."""

from __future__ import annotations

import base64
import io
import json
import os
import stat
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.api.people import PASSWORD, make_file
from tests.api.started import complaints, server

GIVEN = "given-on-the-command-line-7Qx"
MEANT = "typed-into-the-wrong-field-4Zk"
BODY = {"sampler_name": "Euler a", "width": 64, "height": 64, "steps": 1}


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """A started server, a client of its administrator, and every secret that must stay inside."""
    folder = tmp_path_factory.mktemp("secrets")
    file = make_file(folder / "data")
    tokens = {name: file.add_token(name) for name in ("adam", "uma")}
    options = f"nowebui=False, auth=(('root', '{GIVEN}'),), api_server_stop=True"
    with server(folder, options) as running, httpx.Client(base_url=running.address, timeout=120) as client:
        client.auth = ("root", GIVEN)
        cookie = client.post("/login", data={"name": "uma", "password": PASSWORD}).headers["set-cookie"]
        value = cookie.split(";")[0].split("=", 1)[1]
        client.cookies.clear()
        key = (folder / "data" / "session.key").read_bytes()
        hashes = [account.password for account in file.read().values()]
        sums = [token.sha256 for account in file.read().values() for token in account.tokens]
        secrets = [
            GIVEN,
            PASSWORD,
            MEANT,
            value,
            key.hex(),
            base64.b64encode(key).decode(),
            *tokens.values(),
            *hashes,
            *sums,
        ]
        secrets += [
            base64.b64encode(f"{name}:{word}".encode()).decode() for name, word in (("root", GIVEN), ("uma", PASSWORD))
        ]
        yield running, client, folder, secrets, tokens


def leaks(text: str, secrets: list[str]) -> list[str]:
    return [secret[:12] for secret in secrets if secret in text]


TELLING = (
    *("/sdapi/v1/cmd-flags", "/sdapi/v1/options", "/internal/sysinfo", "/internal/sysinfo-download", "/config", "/"),
    *("/ui/options", "/ui/options/page", "/ui/me", "/openapi.json", "/metrics", "/healthz", "/readyz", "/login"),
    *("/gradio_api/info", "/gradio_api/token", "/gradio_api/user", "/gradio_api/app_id", "/sdapi/v1/extensions"),
)


@pytest.mark.parametrize("path", TELLING)
def test_nothing_that_tells_of_the_program_holds_a_secret(house, path):
    _, client, _, secrets, tokens = house
    for headers in ({}, {"authorization": f"Bearer {tokens['adam']}"}):
        answer = client.get(path, headers=headers, auth=None if headers else client.auth)
        assert answer.status_code < 500 and leaks(answer.text + str(answer.headers), secrets) == []


def test_no_error_repeats_what_was_tried(house):
    running, _, _, secrets, tokens = house
    tries = (
        httpx.get(f"{running.address}/ui/me", auth=("uma", MEANT)),
        httpx.get(f"{running.address}/ui/me", headers={"authorization": f"Bearer {MEANT}"}),
        httpx.post(f"{running.address}/login", data={"name": "uma", "password": MEANT}),
        httpx.get(f"{running.address}/ui/options", headers={"authorization": f"Bearer {tokens['uma']}"}),
        httpx.get(f"{running.address}/nothing", headers={"authorization": f"Bearer {tokens['adam']}"}),
        httpx.post(f"{running.address}/sdapi/v1/txt2img", json={"steps": "x"}, auth=("root", GIVEN)),
    )
    assert [answer.status_code for answer in tries] == [401, 401, 401, 403, 404, 422]
    for answer in tries:
        assert leaks(answer.text + str(answer.headers), secrets) == []


def test_a_picture_tells_nothing_of_who_made_it(house):
    _, client, _, secrets, tokens = house
    answer = client.post(
        "/sdapi/v1/txt2img", json=BODY, headers={"authorization": f"Bearer {tokens['uma']}"}, auth=None
    )
    info, picture = answer.json()["info"], base64.b64decode(answer.json()["images"][0])
    text = json.dumps(Image.open(io.BytesIO(picture)).info)
    assert leaks(info + text, secrets) == [] and "uma" not in text


def test_neither_the_log_nor_any_file_but_two_holds_a_secret(house):
    running, _, folder, secrets, _ = house
    said = "\n".join(running.lines) + complaints(folder)
    assert leaks(said, secrets) == []
    keepers = {"accounts.json", "session.key", "start.py"}  # the last is this test's own
    for path in Path(folder).rglob("*"):
        if path.is_file() and path.name not in keepers:
            assert leaks(path.read_bytes().decode("latin-1"), secrets) == [], path


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_only_their_owner_reads_the_accounts_and_the_key(house):
    for name in ("accounts.json", "session.key"):
        assert stat.S_IMODE((house[2] / "data" / name).stat().st_mode) == 0o600
