"""The examples of docs/api.md, run as they stand there against a server that was really started."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.api.started import ROOT, server

LANGUAGES = {"sh": ["bash", "-c"], "python": [sys.executable, "-c"], "js": ["node", "-e"]}
SIZES = {"sh": (128, 128), "python": (256, 256), "js": (128, 128)}


def examples() -> dict[str, str]:
    """The text of each block of code by its language."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    return dict(re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    with server(tmp_path_factory.mktemp("examples")) as running:
        yield running.address


def test_there_is_one_for_each_language():
    assert set(examples()) == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_an_example_makes_a_picture(address, tmp_path, language):
    if shutil.which("node") is None and language == "js":
        pytest.skip("there is no Node here")
    code = examples()[language].replace("http://127.0.0.1:7860", address)
    done = subprocess.run([*LANGUAGES[language], code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "apple.png").size == SIZES[language]
    assert language == "sh" or "a red apple" in done.stdout


def test_the_program_ends_over_http_where_the_command_line_allows_it(tmp_path):
    import httpx

    with server(tmp_path, "nowebui=True, api_server_stop=True") as running:
        assert httpx.post(f"{running.address}/sdapi/v1/server-restart").status_code == 501
        answer = httpx.post(f"{running.address}/sdapi/v1/server-stop")
        assert answer.status_code == 200 and answer.text == "Stopping."
        assert running.process.wait(20) == 0
