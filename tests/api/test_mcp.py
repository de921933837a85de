"""/mcp, spoken to by the official SDK's own client over a started server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import sys
from contextlib import asynccontextmanager

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from PIL import Image

from tests.api.conftest import make_house
from tests.api.started import server, until
from tests.house import test_lock
from webui.api.application import make_application
from webui.errors import InvalidRequest
from webui.paths import StartOptions

SMALL = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("mcp")
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "first.safetensors").write_bytes(b"first")
    with server(folder, 'nowebui=True, mcp=True, auth=(("me", "secret"),)') as started:
        yield started


@asynccontextmanager
async def connected(running):
    async with httpx2.AsyncClient(auth=("me", "secret"), timeout=120) as web:
        async with Client(streamable_http_client(f"{running.address}/mcp", http_client=web)) as client:
            yield client


def called(running, tool: str, **arguments):
    async def call():
        async with connected(running) as client:
            return await client.call_tool(tool, arguments)

    return asyncio.run(call())


def opened(content) -> Image.Image:
    assert content.mime_type == "image/webp"
    return Image.open(io.BytesIO(base64.b64decode(content.data)))


def test_the_tools_are_listed_with_their_arguments(running):
    async def listed():
        async with connected(running) as client:
            return (await client.list_tools()).tools

    tools = {tool.name: tool for tool in asyncio.run(listed())}
    assert set(tools) == {"generate", "upscale", "list_models"}
    assert tools["generate"].input_schema["required"] == ["prompt"]
    assert "call" not in tools["generate"].input_schema["properties"]


def test_a_picture_is_made_and_then_enlarged_by_its_id(running):
    made = called(running, "generate", prompt="a red apple", seed=7, count=2, **SMALL)
    assert not made.is_error and [one.type for one in made.content] == ["image", "text", "image", "text"]
    assert opened(made.content[0]).size == (64, 64)
    assert "seed 7." in made.content[1].text and "a red apple" in made.content[1].text
    name = made.content[1].text.split()[1].rstrip(",")
    larger = called(running, "upscale", image=name, scale=3)
    assert opened(larger.content[0]).size == (192, 192)


def test_a_picture_is_enlarged_that_was_sent(running):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 32)).save(buffer, "PNG")
    larger = called(running, "upscale", image=base64.b64encode(buffer.getvalue()).decode())
    assert opened(larger.content[0]).size == (128, 64)


def test_models_are_listed(running):
    told = [json.loads(one.text) for one in called(running, "list_models").content]
    assert [one["name"] for one in told] == ["first.safetensors"] and told[0]["problem"]


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("generate", {"prompt": "memory", **SMALL}, "does not fit"),
        ("generate", {"prompt": "x", "model": "zzz-unknown"}, "no checkpoint"),
        ("generate", {"prompt": "x", "count": 99}, "less than or equal to 4"),
        ("upscale", {"image": "unknown/0"}, "unknown"),
        ("upscale", {"image": "bm8="}, "cannot be read as a picture"),
    ],
)
def test_what_goes_wrong_is_told_to_the_model(running, tool, arguments, words):
    answer = called(running, tool, **arguments)
    assert answer.is_error and words in answer.content[0].text


def test_it_stands_behind_the_login_and_the_doors(running):
    body = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert httpx.post(f"{running.address}/mcp", json=body).status_code == 401
    headers = {"Host": "evil.example"}
    assert httpx.post(f"{running.address}/mcp", json=body, headers=headers, auth=("me", "secret")).status_code == 403


def test_a_job_ends_when_its_caller_goes(running):
    async def leave():
        async with connected(running) as client:
            call = asyncio.create_task(client.call_tool("generate", {"prompt": "held", "steps": 1000}))
            await asyncio.to_thread(until, lambda: states() == ["running"])
            call.cancel()
            await asyncio.wait([call])

    def states() -> list[str]:
        jobs = httpx.get(f"{running.address}/api/v1/jobs?limit=1", auth=("me", "secret")).json()
        return [job["state"] for job in jobs]

    asyncio.run(leave())
    until(lambda: states() == ["cancelled"])


# Without a server ------------------------------------------------------------------------------------------------


def test_it_is_not_there_unless_it_is_asked_for(tmp_path):
    house = make_house(tmp_path)
    assert house.client.post("/mcp", json={}).status_code == 404
    house.service.stop(1)


def test_missing_packages_are_told_with_the_command_that_brings_them(tmp_path, monkeypatch):
    house = make_house(tmp_path)
    object.__setattr__(house.context, "options", StartOptions(mcp=True))
    monkeypatch.setitem(sys.modules, "mcp.server.mcpserver", None)
    monkeypatch.delitem(sys.modules, "webui.api.mcp_tools", raising=False)
    with pytest.raises(InvalidRequest, match=r"launch\.py --mcp"):
        make_application(house.context)
    house.service.stop(1)


def test_its_packages_are_pinned_whole_and_the_same_for_the_tests():
    test_lock.test_the_lock_holds_all_that_its_packages_need(("requirements.txt", "requirements-mcp.txt"))
    assert set(test_lock.lines_of("requirements-mcp.txt")) <= set(test_lock.lines_of("requirements-dev.txt"))
    assert not set(test_lock.lock("requirements-mcp.txt")) & set(test_lock.lock("requirements.txt"))
