"""Bearer tokens of an account, as scripts use them: in the one-file client, in OpenAI's package and by hand."""

from __future__ import annotations

import httpx
import openai
import pytest

from tests.api.started import server
from webui.api.accounts import FILE, AccountsFile
from webui.client import Client

SMALL = {"steps": 1, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokens")
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "first.safetensors").write_bytes(b"first")
    with server(folder, "nowebui=True") as started:
        yield started


@pytest.fixture(scope="module")
def file(running):
    """The people of the running server, who came while it ran."""
    file = AccountsFile(running.folder / "data" / FILE)
    file.add("bob", "user", "a long password")
    file.add("eve", "read-only", "another password")
    return file


@pytest.fixture(scope="module")
def token(file):
    return file.add_token("bob")


def test_the_one_file_client_makes_pictures_with_a_token(running, token):
    (picture,) = Client(running.address, token=token).generate("a cat", seed=5, **SMALL)
    assert picture.data.startswith(b"\x89PNG")


def test_openais_package_takes_the_token_for_its_key(running, token):
    client = openai.OpenAI(base_url=f"{running.address}/v1", api_key=token, max_retries=0)
    made = client.images.generate(prompt="a cat", size="64x64", response_format="b64_json", extra_body={"steps": 1})
    assert made.data and made.data[0].b64_json


def test_a_token_reaches_no_further_than_its_account(running, file, token):
    def ask(method, path, key):
        header = {"authorization": f"Bearer {key}"}
        return httpx.request(method, running.address + path, headers=header, json={}).status_code

    assert ask("GET", "/api/v1/checkpoints", token) == 200
    assert ask("POST", "/sdapi/v1/options", token) == 403
    reader = file.add_token("eve")
    assert ask("GET", "/api/v1/checkpoints", reader) == 200
    assert ask("POST", "/sdapi/v1/txt2img", reader) == 403
    assert ask("GET", "/api/v1/checkpoints", token[:-1] + ("a" if token[-1] != "a" else "b")) == 401


def test_a_token_ends_with_its_account(running, file):
    file.add("ann", "user", "a third password")
    key = {"authorization": f"Bearer {file.add_token('ann')}"}
    assert httpx.get(f"{running.address}/api/v1/status", headers=key).status_code == 200
    file.remove("ann")
    assert httpx.get(f"{running.address}/api/v1/status", headers=key).status_code == 401
