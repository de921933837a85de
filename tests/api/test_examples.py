"""The examples of docs/api.md, run as they stand there against a server that was really started."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.api.started import ROOT, server

COMMANDS = {
    "sh": ["bash", "-c"],
    "python": [sys.executable, "-c"],
    "js": ["node", "--experimental-eventsource", "-e"],
}
# section of the page, language: the size of the picture that the example leaves behind
SIZES = {
    ("AUTOMATIC1111", "sh"): (128, 128),
    ("AUTOMATIC1111", "python"): (256, 256),
    ("AUTOMATIC1111", "js"): (128, 128),
    ("OpenAI", "sh"): (128, 128),
    ("OpenAI", "python"): (128, 128),
    ("OpenAI", "js"): (128, 128),
    ("Emulsion's own routes", "sh"): (128, 128),
    ("Emulsion's own routes", "python"): (256, 256),
    ("Emulsion's own routes", "js"): (128, 128),
}


def examples() -> dict[tuple[str, str], str]:
    """The text of each block of code by its section and its language."""
    text = (ROOT / "docs" / "api.md").read_text("utf-8")
    sections = re.split(r"^# (.+)$", re.sub(r"^```(\w+)\n.*?^```", _hidden, text, flags=re.M | re.S), flags=re.M)
    return {
        (title, language): code.replace("\0#", "#")
        for title, section in zip(sections[1::2], sections[2::2])
        for language, code in re.findall(r"^```(\w+)\n(.*?)^```", section, re.M | re.S)
        if language in COMMANDS
    }


def _hidden(block: re.Match[str]) -> str:
    return re.sub(r"^#", "\0#", block[0], flags=re.M)  # a comment in code is no heading


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "first.safetensors").write_bytes(b"first")
    with server(folder) as running:
        yield running.address


def test_there_is_one_for_each_family_of_routes_and_each_language():
    assert set(examples()) == set(SIZES)


@pytest.mark.parametrize(("section", "language"), SIZES)
def test_an_example_makes_a_picture(address, tmp_path, section, language):
    if language == "js" and not _node():
        pytest.skip("there is no Node with EventSource here")
    shutil.copy(ROOT / "webui" / "client.py", tmp_path / "client.py")
    code = examples()[section, language].replace("http://127.0.0.1:7860", address)
    done = subprocess.run(
        [*COMMANDS[language], code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert Image.open(tmp_path / "apple.png").size == SIZES[section, language]
    assert "a red apple" in done.stdout or (language == "sh" and section != "Emulsion's own routes")


def _node() -> bool:
    command = ["node", "--experimental-eventsource", "-e", "new EventSource"]
    if shutil.which("node") is None:
        return False
    return b"bad option" not in subprocess.run(command, capture_output=True, check=False).stderr


def test_the_program_ends_over_http_where_the_command_line_allows_it(tmp_path):
    import httpx

    with server(tmp_path, "nowebui=True, api_server_stop=True") as running:
        assert httpx.post(f"{running.address}/sdapi/v1/server-restart").status_code == 501
        answer = httpx.post(f"{running.address}/sdapi/v1/server-stop")
        assert answer.status_code == 200 and answer.text == "Stopping."
        assert running.process.wait(60) == 0
