"""Scripts from the page: sent with its fields, and counted before that."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.ui.fake_service import FakeService
from webui.request import GenerationRequest, Pass
from webui.scripts.values import join_list
from webui.settings import SettingsStore
from webui.text.styles import Style
from webui.ui import actions, scripting
from webui.ui.fields import NAMES, default_values
from webui.ui.script_routes import script_routes

STEPS = {"x_type": "Steps", "x_values": "2,4"}


def sent(
    service: FakeService, script: str, arguments: dict[str, Any], here: bool = True, **changes: Any
) -> dict[str, Any]:
    """The ticket of a filled page with a script."""
    values = default_values() | {"prompt": "a cat", "steps": 2, "width": 64, "height": 64} | changes
    wanted = json.dumps({"script": script, "arguments": arguments})
    return json.loads(actions.submit(service, [values[name] for name in NAMES], "me", wanted, here))  # type: ignore[arg-type]


@pytest.fixture
def client(service: FakeService, store: SettingsStore) -> TestClient:
    """A browser on this machine."""
    app = Starlette(routes=script_routes(service, store))  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1", client=("127.0.0.1", 5000))


def cost(client: TestClient, script: str, arguments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """What the server says of a filled script."""
    body = {"arguments": arguments, "fields": {"steps": 3, **fields}}
    return client.post(f"/ui/scripts/{script}/cost", json=body).json()


def test_a_page_with_a_script_becomes_a_job_of_it(service: FakeService) -> None:
    view = service.job(sent(service, "X/Y/Z plot", STEPS)["job"])
    assert (view.task, view.client, view.values["script"]) == ("script", "me", "X/Y/Z plot")
    assert view.values["arguments"]["x_values"] == "2,4"
    assert view.values["request"]["prompt"] == "a cat"


def test_a_reloaded_page_gets_the_fields_of_its_script(service: FakeService) -> None:
    job = sent(service, "X/Y/Z plot", STEPS)["job"]
    assert actions.restore(service, job, "en")["prompt"] == "a cat"  # type: ignore[arg-type]


def test_a_script_that_cannot_run_is_refused_with_the_reason(service: FakeService) -> None:
    for script, arguments, words in (
        ("X/Y/Z plot", {"x_values": "many"}, "'many' is no number"),
        ("Loopback", {}, "does not work in this tab"),
        ("Nothing such", {}, "no script named"),
    ):
        assert words in sent(service, script, arguments)["error"]["found"]


def test_folders_of_this_machine_are_for_those_who_sit_before_it(service: FakeService, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    given = {"folder": str(tmp_path)}
    told = sent(service, "Batch from a folder", given, here=False, mode="img2img")
    assert "folders of the machine" in told["error"]["found"]
    ticket = sent(service, "Batch from a folder", given, mode="img2img")
    assert service.job(ticket["job"]).values["request"]["passes"][0]["image"] == scripting.ONE_PIXEL


def test_the_cost_is_told_before_the_start(client: TestClient) -> None:
    found = cost(client, "X/Y/Z plot", {**STEPS, "y_type": "CFG Scale", "y_values": "1-3"})
    wanted = {"cells": 6, "pictures": 6, "steps": 18, "loads": 1, "seconds": None, "limit": 1000}
    assert {name: found[name] for name in wanted} == wanted
    assert cost(client, "Loopback", {"loops": 2}, mode="img2img", denoising_strength=0.5)["pictures"] == 2
    assert cost(client, "Prompt matrix", {}, prompt="a cat|red|fat")["pictures"] == 4


def test_the_speed_of_the_last_jobs_tells_how_long_it_takes(service: FakeService) -> None:
    request = GenerationRequest(passes=(Pass(width=1000, height=1000, steps=10),))
    view = service.job(service.submit(request))
    done = dataclasses.replace(view, state="done", started=100.0, finished=120.0, results=({},))  # type: ignore[arg-type]
    service.jobs = lambda limit: [view, done]  # type: ignore[method-assign]
    assert scripting.seconds_per_work(service) == pytest.approx(2.0)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"x_values": "many"}, "'many' is no number"),
        ({"x_type": "Sampler", "x_values": "Nowhere"}, "no sampler named 'Nowhere'"),
        ({"x_type": "Checkpoint name", "x_values": "elsewhere"}, "no model named 'elsewhere'"),
        ({"x_type": "Face restore", "x_values": "GFPGAN"}, "no face restorer is installed"),
    ],
)
def test_what_is_wrong_is_told_with_the_cost(client: TestClient, arguments: dict[str, Any], words: str) -> None:
    assert words in cost(client, "X/Y/Z plot", arguments)["error"]["found"]


def test_a_wrong_name_is_answered_with_the_shown_names_alone(client: TestClient, service: FakeService) -> None:
    samplers = [{"name": "Euler a", "aliases": ["k_euler_a"]}]
    service.names = lambda kind, *_: samplers if kind == "samplers" else []  # type: ignore[method-assign]
    assert "error" not in cost(client, "X/Y/Z plot", {"x_type": "Sampler", "x_values": "K_euler_a"})
    wrong = cost(client, "X/Y/Z plot", {"x_type": "Sampler", "x_values": "Nowhere"})["error"]
    assert wrong["wanted"] == "Known: Euler a."


def test_a_style_with_a_comma_in_its_name_is_one_value_of_a_plot(
    client: TestClient, service: FakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    style = Style('Ink, "wash"', "ink")
    monkeypatch.setattr(service.catalogue, "styles", lambda: {style.name: style})
    ((shown, value),) = client.get("/ui/scripts").json()["menus"]["styles"]
    assert shown == style.name
    arguments = {"x_type": "Styles", "x_values": join_list([value])}
    assert cost(client, "X/Y/Z plot", arguments)["pictures"] == 1


def test_the_page_learns_of_scripts_axes_and_menus(client: TestClient) -> None:
    said = client.get("/ui/scripts?language=zh-CN").json()
    assert said["scripts"][0]["name"] == "X/Y/Z plot"
    options = {option["key"]: option for option in said["scripts"][0]["options"]}
    assert "csv_mode" not in options and options["margin_size"]["maximum"] == 500
    axes = {axis["name"]: axis for axis in said["axes"]}
    assert axes["Sampler"]["menu"] == "sampler" and axes["Face restore"]["problem"]
    assert ["Euler", "Euler"] in said["menus"]["sampler"]
    assert {axis["menu"] for axis in axes.values()} - {""} == set(said["menus"])
