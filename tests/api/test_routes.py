"""The A1111 routes as clients use them, over a fake engine with 20 ms steps."""

from __future__ import annotations

import base64
import io
import json
import threading
import time

import pytest
from PIL import Image

from tests.api.conftest import make_house
from webui.request import GenerationRequest
from webui.workers.service import JobService

SMALL = {"width": 64, "height": 48, "steps": 3}
IDLE = {
    "progress": 0.0,
    "eta_relative": 0.0,
    "state": {
        "skipped": False,
        "interrupted": False,
        "stopping_generation": False,
        "job": "",
        "job_count": 0,
        "job_timestamp": "0",
        "job_no": 0,
        "sampling_step": 0,
        "sampling_steps": 0,
    },
    "current_image": None,
    "textinfo": None,
}
INFO_KEYS = set(
    """prompt all_prompts negative_prompt all_negative_prompts seed all_seeds subseed all_subseeds
subseed_strength width height sampler_name cfg_scale steps batch_size restore_faces face_restoration_model sd_model_name
sd_model_hash sd_vae_name sd_vae_hash seed_resize_from_w seed_resize_from_h denoising_strength extra_generation_params
index_of_first_image infotexts styles job_timestamp clip_skip is_using_inpainting_conditioning version""".split()  # noqa: SIM905 (a table of words)
)


def txt2img(client, **fields):
    return client.post("/sdapi/v1/txt2img", json={**SMALL, **fields})


def last_request(service: JobService):
    return service.jobs(1)[0].request


def in_background(call):
    answers = []
    thread = threading.Thread(target=lambda: answers.append(call()))
    thread.start()
    return thread, answers


def until(happened, timeout: float = 120.0):
    end = time.monotonic() + timeout
    while not (found := happened()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)
    return found


def test_a_prompt_comes_back_as_a_picture_with_its_infotext_inside(client):
    answer = txt2img(client, prompt="an apple", seed=5).json()
    picture = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    info = json.loads(answer["info"])
    assert picture.size == (64, 48) and picture.info["parameters"] == info["infotexts"][0]
    assert picture.info["parameters"].startswith("an apple\nSteps: 3") and info["all_seeds"] == [5]


def test_info_has_every_key_that_clients_read(client):
    info = json.loads(txt2img(client, batch_size=2, n_iter=2, seed=9, prompt="p", negative_prompt="n").json()["info"])
    assert set(info) >= INFO_KEYS
    assert info["all_seeds"] == [9, 10, 11, 12] and info["seed"] == 9
    assert info["all_prompts"] == ["p"] * 4 and info["all_negative_prompts"] == ["n"] * 4
    assert len(info["infotexts"]) == 4 and info["index_of_first_image"] == 0


def test_parameters_echo_the_request_with_its_defaults(client):
    parameters = txt2img(client, prompt="p").json()["parameters"]
    assert parameters["prompt"] == "p" and parameters["cfg_scale"] == 7.0 and parameters["sampler_index"] == "Euler"
    assert parameters["override_settings"] == {} and parameters["send_images"] is True


def test_an_empty_body_is_a_request_of_defaults(client, house):
    assert client.post("/sdapi/v1/txt2img", json={"sampler_name": "Euler a"}).status_code == 200
    step = last_request(house.service).passes[0]
    assert (step.steps, step.width, step.height, step.guidance.scale) == (50, 512, 512, 7.0)


def test_unknown_keys_are_ignored_and_null_means_default(client, house):
    body = {"clip_skip": 2, "url": "x", "auth": "", "steps": 3, "cfg_scale": None, "seed": None, "prompt": None}
    answer = txt2img(client, **body, sampler_name=None, sampler_index="Euler a", eta=None, s_tmax=None, tiling=None)
    assert answer.status_code == 200
    assert last_request(house.service).passes[0].guidance.scale == 7.0


@pytest.mark.parametrize(
    ("fields", "sampler", "schedule"),
    [
        ({"sampler_name": "Euler a"}, "Euler a", "Automatic"),
        ({"sampler_name": "euler A"}, "Euler a", "Automatic"),
        ({"sampler_name": "k_euler_a"}, "Euler a", "Automatic"),
        ({"sampler_index": "Euler a"}, "Euler a", "Automatic"),
        ({"sampler_name": "DPM++ 2M", "sampler_index": "Euler a"}, "DPM++ 2M", "Automatic"),
        ({"sampler_name": "Euler a", "scheduler": "karras"}, "Euler a", "Karras"),
        ({"sampler_name": "Euler a", "scheduler": "no such"}, "Euler a", "Automatic"),
        ({"sampler_name": "Euler a Karras"}, "Euler a", "Karras"),
        ({"sampler_name": "DPM++ 2M Karras"}, "DPM++ 2M", "Automatic"),  # its own default
        ({"sampler_name": "DPM++ 2M", "scheduler": "Karras"}, "DPM++ 2M", "Karras"),
        ({"sampler_name": "k_dpmpp_2m karras"}, "DPM++ 2M", "Automatic"),
    ],
)
def test_sampler_names_old_and_new_are_understood(client, house, fields, sampler, schedule):
    assert txt2img(client, **fields).status_code == 200
    step = last_request(house.service).passes[0]
    assert (step.sampler, step.schedule) == (sampler, schedule)


@pytest.mark.parametrize("name", ["No such", "No such Karras", "Karras", ""])
def test_an_unknown_sampler_is_a_400(client, name):
    answer = txt2img(client, sampler_name=name or None, sampler_index=name or "x")
    assert answer.status_code == 400
    assert answer.json() == {
        "error": "HTTPException",
        "detail": "Sampler not found",
        "body": "",
        "errors": "Sampler not found",
    }


def test_fields_reach_the_request(client, house):
    fields = {
        "sampler_name": "Euler a",
        "seed": 4294967296,
        "subseed": 3,
        "subseed_strength": 0.25,
        "seed_resize_from_w": 512,
        "seed_resize_from_h": 256,
        "eta": 0.5,
        "s_churn": 1,
        "s_tmin": 0.1,
        "s_tmax": 2,
        "s_noise": 1.01,
        "s_min_uncond": 0.3,
        "tiling": True,
    }
    assert txt2img(client, **fields).status_code == 200
    request = last_request(house.service)
    step, options = request.passes[0], request.passes[0].options
    assert (request.seed, request.variation_seed, request.variation_strength) == (4294967296, 3, 0.25)
    assert (request.resize_seed_from, request.tiling) == ((512, 256), True)
    assert (options.eta, options.s_churn, options.s_tmin, options.s_tmax, options.s_noise) == (0.5, 1, 0.1, 2, 1.01)
    assert step.guidance.minimum_sigma == 0.3


def test_override_settings_count_for_this_job_only(client, house):
    overrides = {
        "sd_model_checkpoint": "second",
        "CLIP_stop_at_last_layers": 2,
        "sd_vae": "None",
        "eta_noise_seed_delta": 31337,
        "randn_source": "NV",
        "no_such_option": 1,
        "samples_format": "webp",
    }
    assert txt2img(client, sampler_name="Euler a", override_settings=overrides).status_code == 200
    request = last_request(house.service)
    assert (request.checkpoint, request.clip_skip, request.vae, request.noise_source) == ("second", 2, "None", "CUDA")
    assert request.passes[0].options.noise_seed_delta == 31337
    assert house.store.settings["clip_skip"] == 1 and house.store.settings["checkpoint"] == ""


def test_an_override_with_an_unknown_checkpoint_is_dropped(client, house):
    overrides = {"sd_model_checkpoint": "no such model"}
    assert txt2img(client, sampler_name="Euler a", override_settings=overrides).status_code == 200
    assert last_request(house.service).checkpoint is None


def test_nothing_is_saved_or_sent_unless_asked(client, house):
    answer = txt2img(client, sampler_name="Euler a", send_images=False).json()
    assert answer["images"] == [] and not house.paths.outputs.exists()
    answer = txt2img(client, sampler_name="Euler a", save_images=True, do_not_save_samples=True, seed=77).json()
    assert (house.paths.outputs / "77.png").read_bytes() == base64.b64decode(answer["images"][0])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"steps": 0}, 422),
        ({"steps": "many"}, 422),
        ({"width": 1}, 422),
        ({"batch_size": 1000}, 422),
        ({"cfg_scale": 1e9}, 422),
        ({"script_name": "x/y/z plot"}, 422),
        ({"alwayson_scripts": {"ADetailer": {"args": []}}}, 422),
        ({"override_settings": {"CLIP_stop_at_last_layers": 99}}, 422),
        ({"prompt": "wrong"}, 422),  # the engine refuses it
        ({"prompt": "bug"}, 500),
        ({"prompt": "memory"}, 507),
    ],
)
def test_errors_have_the_shape_and_status_that_clients_know(client, fields, status):
    answer = txt2img(client, **{"sampler_name": "Euler a", **fields})
    assert answer.status_code == status
    assert set(answer.json()) == {"error", "detail", "body", "errors"} and answer.json()["errors"]
    assert "Traceback" not in answer.text and "site-packages" not in answer.text


@pytest.mark.parametrize(
    "body", ["{", "[]", '"x"', '{"steps": NaN}', '{"cfg_scale": 1e400}', '{"prompt": "\\ud800"}', "[" * 100_000]
)
def test_no_body_is_answered_with_a_500(client, body):
    answer = client.post("/sdapi/v1/txt2img", content=body, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    assert set(answer.json()) == {"error", "detail", "body", "errors"}


def test_a_form_cannot_start_a_job(client):
    answer = client.post("/sdapi/v1/txt2img", content="{}", headers={"content-type": "text/plain"})
    assert answer.status_code == 422


def test_idle_looks_exactly_as_clients_expect(client, house):
    until(lambda: house.service.current() is None)
    assert client.get("/sdapi/v1/progress").json() == IDLE


def test_progress_of_a_running_job(client, house):
    thread, _ = in_background(lambda: txt2img(client, prompt="held", sampler_name="Euler a", steps=8, n_iter=2))
    until(lambda: (job := house.service.current()) and (job.batch, job.step) == (1, 4) and job.preview)
    seen = client.get("/sdapi/v1/progress").json()
    bare = client.get("/sdapi/v1/progress", params={"skip_current_image": "true"}).json()
    client.post("/sdapi/v1/interrupt")
    thread.join()
    assert set(seen) == set(IDLE) and set(seen["state"]) == set(IDLE["state"])
    assert 0.01 <= seen["progress"] < 1 and seen["state"]["job_count"] == 2 and seen["state"]["sampling_steps"] == 8
    assert seen["state"]["sampling_step"] > 0 and len(seen["state"]["job_timestamp"]) == 14
    assert base64.b64decode(seen["current_image"]) and bare["current_image"] is None


def test_an_interrupted_job_answers_with_what_was_finished(client, house):
    body = {"prompt": "held", "sampler_name": "Euler a", "steps": 10, "n_iter": 50, "seed": 1}
    thread, answers = in_background(lambda: txt2img(client, **body))
    until(lambda: (job := house.service.current()) and len(job.results) >= 2)
    assert client.post("/sdapi/v1/interrupt").json() == {}
    thread.join()
    assert answers[0].status_code == 200 and 2 <= len(answers[0].json()["images"]) < 50


def test_skip_answers_null(client):
    assert client.post("/sdapi/v1/skip").json() is None


def test_samplers_and_schedulers_are_listed(client):
    samplers = client.get("/sdapi/v1/samplers").json()
    assert samplers[1] == {"name": "DPM++ 2M", "aliases": ["k_dpmpp_2m"], "options": {"scheduler": "karras"}}
    assert samplers[0] == {
        "name": "Euler a",
        "aliases": ["k_euler_a", "k_euler_ancestral"],
        "options": {"uses_ensd": "True"},
    }
    assert client.get("/sdapi/v1/schedulers").json()[1] == {
        "name": "karras",
        "label": "Karras",
        "aliases": None,
        "default_rho": 7.0,
        "need_inner_model": False,
    }


def test_models_are_listed_as_clients_know_them(client):
    models = {model["model_name"]: model for model in client.get("/sdapi/v1/sd-models").json()}
    first = models["first"]
    assert first["title"] == f"first.safetensors [{first['hash']}]" and first["sha256"].startswith(first["hash"])
    assert len(first["hash"]) == 10 and first["filename"].endswith("first.safetensors") and first["config"] is None


def test_the_whole_dictionary_of_options_can_be_sent_back(client, house):
    options = client.get("/sdapi/v1/options").json()
    assert options["sd_model_checkpoint"].endswith(".safetensors") or "[" in options["sd_model_checkpoint"]
    before = house.store.settings
    answer = client.post("/sdapi/v1/options", json=options)
    assert answer.status_code == 200 and answer.json() is None
    assert house.store.settings == before


def test_a_changed_checkpoint_is_loaded_before_the_answer_comes(client, house):
    options = client.get("/sdapi/v1/options").json()
    assert client.post("/sdapi/v1/options", json={**options, "sd_model_checkpoint": "second"}).status_code == 200
    assert house.service.status().checkpoint == "second.safetensors"
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"] == "second.safetensors"
    title = client.get("/sdapi/v1/sd-models").json()[1]["title"]
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": title}).status_code == 200
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": "first"}).status_code == 200


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"sd_model_checkpoint": "no such"}, 404),
        ({"sd_vae": "no such"}, 404),
        ({"quicksettings_list": {"sd_vae": 1}}, 422),
        ({"CLIP_stop_at_last_layers": 99}, 422),
        ({"samples_format": "bmp", "jpeg_quality": 50}, 422),
        ({"outdir_txt2img_samples": "/etc"}, 422),
        ({"no_such_option": 1}, 200),
    ],
)
def test_bad_options_change_nothing(client, house, changes, status):
    before = house.store.settings
    assert client.post("/sdapi/v1/options", json=changes).status_code == status
    assert house.store.settings == before


def test_options_survive_a_change_and_return(client, house):
    client.post("/sdapi/v1/options", json={"jpeg_quality": 55})
    assert client.get("/sdapi/v1/options").json()["jpeg_quality"] == 55
    client.post("/sdapi/v1/options", json={"jpeg_quality": 90})


def test_a_full_queue_answers_429_with_a_time_to_wait(tmp_path):
    house = make_house(tmp_path, limit=1)  # not started: jobs stay waiting
    house.service._dispatcher.names = {"samplers": [{"name": "Euler", "aliases": [], "facts": {}}], "schedules": []}
    house.service.submit(GenerationRequest())
    answer = txt2img(house.client)
    assert answer.status_code == 429 and answer.headers["retry-after"] and answer.json()["error"] == "QueueFull"
    house.service.stop(1)


def test_a_worker_that_never_starts_is_a_503_with_the_reason(tmp_path):
    house = make_house(tmp_path, settings={"raise_at_start": True})
    house.service.start()
    answer = txt2img(house.client)
    assert answer.status_code == 503 and "no such device" in answer.json()["detail"]
    assert house.client.get("/sdapi/v1/samplers").json() == []
    house.service.stop(1)


def test_the_grid_comes_first_when_it_is_wanted(client, house):
    house.store.change({"return_grid": True})
    try:
        answer = txt2img(client, sampler_name="Euler a", n_iter=3, seed=7).json()
        single = txt2img(client, sampler_name="Euler a", seed=7).json()
        without = txt2img(client, sampler_name="Euler a", n_iter=3, do_not_save_grid=True).json()
    finally:
        house.store.change({"return_grid": False})
    grid, first, *_ = [Image.open(io.BytesIO(base64.b64decode(image))) for image in answer["images"]]
    info = json.loads(answer["info"])
    assert len(answer["images"]) == 4 and grid.size == (128, 96) and first.size == (64, 48)
    assert info["index_of_first_image"] == 1 and len(info["infotexts"]) == 4 and info["all_seeds"] == [7, 8, 9]
    assert grid.info["parameters"] == info["infotexts"][0] == info["infotexts"][1]
    assert len(single["images"]) == 1 and len(without["images"]) == 3


def test_styles_are_listed_as_a1111_lists_them(client, house):
    path = house.paths.data / "styles.csv"
    path.write_text('name,prompt,negative_prompt\nInk,"ink, {prompt}",photo\n', "utf-8")
    try:
        answer = client.get("/sdapi/v1/prompt-styles")
    finally:
        path.unlink()
    assert answer.json() == [{"name": "Ink", "prompt": "ink, {prompt}", "negative_prompt": "photo"}]


def test_the_limits_of_the_queue_count_from_the_moment_that_they_are_changed(house):
    changed = house.context.change_settings({"queue_limit": 3, "queue_limit_per_client": 2})
    try:
        queue = house.service._queue
        assert (queue.limit, queue.limit_per_client) == (3, 2) == (changed["queue_limit"], 2)
    finally:
        house.context.change_settings({"queue_limit": 64, "queue_limit_per_client": 64})


def test_styles_that_are_not_there_are_left_out_as_a1111_does_and_said(client, house):
    path = house.paths.data / "styles.csv"
    path.write_text("name,prompt,negative_prompt\nInk,ink,\n", "utf-8")
    try:
        answer = txt2img(client, styles=["Ink", "Of elsewhere"])
    finally:
        path.unlink()
    info = json.loads(answer.json()["info"])
    assert answer.status_code == 200
    assert last_request(house.service).styles == ("Ink",) and info["styles"] == ["Ink"]
    assert info["notes"] == ["There is no style named 'Of elsewhere'; it was left out."]
