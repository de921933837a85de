"""The short routes: lists, orders to look again, the program itself, and what A1111's page asks for."""

from __future__ import annotations

import threading

import pytest
from starlette.testclient import TestClient

from tests.api.conftest import make_house
from tests.api.test_routes import in_background, txt2img, until
from webui.api.application import make_application
from webui.api.context import Context
from webui.api.operation import flags
from webui.paths import Paths, StartOptions
from webui.request import LATENT_UPSCALERS, GenerationRequest
from webui.upscalers.restorers import RESTORERS

REFRESH = ("refresh-checkpoints", "refresh-vae", "refresh-embeddings", "refresh-loras")


def get(client, route):
    answer = client.get(f"/sdapi/v1/{route}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_upscalers_are_listed_as_clients_know_them(client, house):
    folder = house.paths.models / "ESRGAN"
    folder.mkdir()
    (folder / "RealESRGAN_x2plus.pth").write_bytes(b"x")
    try:
        upscalers = {one["name"]: one for one in get(client, "upscalers")}
        real = get(client, "realesrgan-models")
    finally:
        (folder / "RealESRGAN_x2plus.pth").unlink()
    assert list(upscalers)[:3] == ["None", "Lanczos", "Nearest"]
    assert upscalers["Lanczos"] == {
        "name": "Lanczos",
        "model_name": None,
        "model_path": None,
        "model_url": None,
        "scale": 4,
    }
    file = str(folder / "RealESRGAN_x2plus.pth")
    assert upscalers["RealESRGAN_x2plus"]["model_path"] == file and upscalers["RealESRGAN_x2plus"]["scale"] == 2
    assert real == [{"name": "RealESRGAN_x2plus", "path": file, "scale": 2}]


def test_latent_upscale_modes(client):
    modes = get(client, "latent-upscale-modes")
    assert modes[0] == {"name": "Latent"} and [mode["name"] for mode in modes] == list(LATENT_UPSCALERS)


def test_vaes_are_listed_by_file_name(client, house):
    folder = house.paths.models / "VAE"
    folder.mkdir()
    (folder / "soft.safetensors").write_bytes(b"x")
    try:
        assert get(client, "sd-vae") == [
            {"model_name": "soft.safetensors", "filename": str(folder / "soft.safetensors")}
        ]
    finally:
        (folder / "soft.safetensors").unlink()
    assert get(client, "sd-vae") == []


def test_face_restorers_are_those_that_extensions_brought(client):
    assert get(client, "face-restorers") == [{"name": name, "cmd_dir": None} for name in RESTORERS.names()]


@pytest.mark.parametrize("route", REFRESH)
def test_orders_to_look_again_answer_null(client, route):
    answer = client.post(f"/sdapi/v1/{route}", json={})
    assert answer.status_code == 200 and answer.json() is None
    assert client.post(f"/sdapi/v1/{route}").json() is None


def test_a_new_checkpoint_is_there_after_looking_again(client, house):
    file = house.paths.models / "checkpoints" / "third.safetensors"
    file.write_bytes(b"third")
    try:
        client.post("/sdapi/v1/refresh-checkpoints")
        assert "third" in [model["model_name"] for model in get(client, "sd-models")]
    finally:
        file.unlink()


def test_the_checkpoint_is_unloaded_and_loaded_again(client, house):
    assert client.post("/sdapi/v1/unload-checkpoint").json() == {}
    assert house.service.jobs(1)[0].outcome == {"unloaded": True}
    assert client.post("/sdapi/v1/reload-checkpoint").json() == {}


@pytest.mark.parametrize("kind", ["create/embedding", "create/hypernetwork", "train/embedding", "train/hypernetwork"])
def test_what_cannot_be_done_over_http_says_so(client, kind):
    answer = client.post(f"/sdapi/v1/{kind}", json={"name": "x"})
    assert answer.status_code == 501 and set(answer.json()) == {"error", "detail", "body", "errors"}


# scripts -----------------------------------------------------------------------------------------------------------


def test_scripts_are_listed_by_tab_in_lower_case(client):
    scripts = get(client, "scripts")
    assert set(scripts) == {"txt2img", "img2img"} and all(name == name.lower() for name in scripts["txt2img"])
    assert {"x/y/z plot", "prompt matrix", "aesthetic embeddings", "refiner"} <= set(scripts["txt2img"])
    assert {"loopback", "soft inpainting"} <= set(scripts["img2img"]) - set(scripts["txt2img"])


def test_script_info_describes_every_listed_script(client):
    info, scripts = get(client, "script-info"), get(client, "scripts")
    assert [one["name"] for one in info if one["is_img2img"]] == scripts["img2img"]
    assert [one["name"] for one in info if not one["is_img2img"]] == scripts["txt2img"]
    soft = next(one for one in info if one["name"] == "soft inpainting")
    assert soft["is_alwayson"] and soft["is_img2img"] and len(soft["args"]) == 7
    assert soft["args"][1] == {
        "label": "Schedule bias",
        "value": 1.0,
        "minimum": 0.0,
        "maximum": 8.0,
        "step": 0.1,
        "choices": None,
    }
    plot = next(one for one in info if one["name"] == "x/y/z plot")
    assert not plot["is_alwayson"] and "Seed" in plot["args"][0]["choices"]


def test_no_extension_is_no_entry(client):
    assert get(client, "extensions") == []


# the program ---------------------------------------------------------------------------------------------------------


def test_memory_tells_of_the_machine_and_says_when_there_is_no_graphics_card(client):
    memory = get(client, "memory")
    assert set(memory["ram"]) == {"free", "used", "total"} and 0 < memory["ram"]["used"] < memory["ram"]["total"]
    assert memory["cuda"] == {"error": "unavailable"}


def test_flags_hold_no_password(client, tmp_path):
    assert get(client, "cmd-flags")["api"] is True
    paths = Paths(tmp_path / "d", tmp_path / "m")
    options = StartOptions(paths=paths, host="0.0.0.0", auth=(("me", "secret"),), api_auth=(("me", "hidden"),))
    shown = flags(options)
    assert shown["listen"] is True and shown["data_dir"] == str(tmp_path / "d") and shown["nowebui"] is False
    assert shown["ckpt_dir"] == str(tmp_path / "m" / "checkpoints")
    assert "secret" not in str(shown) and "hidden" not in str(shown)


@pytest.mark.parametrize("route", ["server-kill", "server-stop", "server-restart"])
def test_nobody_can_end_the_program_unless_it_was_started_so(client, route):
    assert client.post(f"/sdapi/v1/{route}").status_code == 404


def test_restarting_is_a_501(house):
    options = StartOptions(api_server_stop=True)
    context = Context(house.service, house.store, house.catalogue, house.context.for_worker, options=options)
    answer = TestClient(make_application(context)).post("/sdapi/v1/server-restart")
    assert answer.status_code == 501


# what A1111's page asks ------------------------------------------------------------------------------------------


def test_ping(client):
    assert client.get("/internal/ping").json() == {}


def test_a_job_is_followed_by_the_name_that_its_client_gave_it(client, house):
    name = "task(abc)"
    thread, _ = in_background(lambda: txt2img(client, sampler_name="Euler a", steps=40, force_task_id=name))
    until(lambda: (job := house.service.current()) and job.step > 2)
    seen = client.post("/internal/progress", json={"id_task": name}).json()
    again = client.post("/internal/progress", json={"id_task": name, "live_preview": False}).json()
    client.post("/sdapi/v1/interrupt")
    thread.join()
    assert (seen["active"], seen["queued"], seen["completed"]) == (True, False, False)
    assert 0 < seen["progress"] < 1 and seen["live_preview"].startswith("data:image/jpeg;base64,")
    assert seen["id_live_preview"] > 0 and again["live_preview"] is None
    after = client.post("/internal/progress", json={"id_task": name}).json()
    assert (after["active"], after["completed"]) == (False, True)


def test_an_unknown_job_waits_for_ever(client):
    assert client.post("/internal/progress", json={"id_task": "task(none)"}).json() == {
        "active": False,
        "queued": False,
        "completed": False,
        "progress": None,
        "eta": None,
        "live_preview": None,
        "id_live_preview": -1,
        "textinfo": "Waiting...",
    }


def test_waiting_jobs_are_listed_and_know_their_place(client, house):
    thread, _ = in_background(lambda: txt2img(client, sampler_name="Euler a", steps=200))
    until(lambda: house.service.current())
    ids = [house.service.submit(GenerationRequest()) for _ in range(2)]
    pending = client.get("/internal/pending-tasks").json()
    told = client.post("/internal/progress", json={"id_task": ids[1]}).json()
    for job_id in ids:
        house.service.interrupt(job_id)
    client.post("/sdapi/v1/interrupt")
    thread.join()
    assert pending == {"size": 2, "tasks": ids}
    assert told["queued"] and told["textinfo"] == "In queue: 2/2"


def test_reports_hold_no_paths_or_addresses(client, house):
    house.context.change_settings({"hub_endpoint": "https://private.example"})
    try:
        report = client.get("/internal/sysinfo")
        file = client.get("/internal/sysinfo-download")
    finally:
        house.context.change_settings({"hub_endpoint": ""})
    assert report.json()["Worker"]["state"] in ("idle", "busy") and "private.example" not in report.text
    assert str(house.paths.data) not in report.text
    assert "attachment" in file.headers["content-disposition"] and file.json().keys() == report.json().keys()


def test_the_remaining_routes_of_the_page(client):
    hints = client.get("/internal/quicksettings-hint").json()
    assert {"name": "sd_model_checkpoint", "label": "Checkpoint"} in hints
    assert client.get("/internal/profile-startup").json()["total"] > 0


def test_names_of_jobs_are_forgotten_when_there_are_too_many():
    from webui.api.task_ids import MOST, TaskIds

    names = TaskIds()
    threads = [
        threading.Thread(target=lambda n=n: [names.remember(f"{n}-{i}", "job") for i in range(MOST)]) for n in (1, 2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    names.remember("mine", "its job")
    assert names.job("mine") == "its job" and names.job("unknown") == "unknown"
    assert sum(names.job(f"{n}-{i}") == "job" for n in (1, 2) for i in range(MOST)) == MOST - 1


def test_an_interrupt_is_heard_by_a_job_that_has_not_begun_yet(tmp_path):
    house = make_house(tmp_path)  # not started: jobs stay waiting
    try:
        job_id = house.service.submit(GenerationRequest())
        other = house.service.submit(GenerationRequest())
        assert house.client.get("/sdapi/v1/progress").json()["state"]["job_count"] == 1
        assert house.client.post("/sdapi/v1/interrupt").json() == {}
        assert house.service.job(job_id).state == "cancelled" and house.service.job(other).state == "waiting"
    finally:
        house.service.stop(1)


def test_answers_say_how_long_the_server_took(client):
    assert 0 <= float(client.get("/sdapi/v1/samplers").headers["x-process-time"]) < 60
    assert "x-process-time" in client.post("/sdapi/v1/img2img", json={}).headers
    assert "x-process-time" not in client.get("/internal/ping").headers
