"""Programs that speak A1111's API, against a server that was really started, with the starter in its worker."""

from __future__ import annotations

import base64
import json

import httpx
import pytest
import sd_backend_client
import webuiapi
from PIL import Image, ImageDraw

from tests.api.pictures import encoded, opened
from tests.api.started import REAL, complaints, server
from webui.request import LATENT_UPSCALERS

SIZE = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clients")
    with server(folder, "nowebui=True, device='cpu', api_auth=(('me', 'secret'),)", engine=REAL) as running:
        yield running
        assert "REACHED" not in complaints(folder) and "Traceback" not in complaints(folder)


@pytest.fixture(scope="module")
def address(started):
    return started.address


@pytest.fixture(scope="module")
def api(address):
    host, port = address.removeprefix("http://").split(":")
    return webuiapi.WebUIApi(host, int(port), sampler="Euler a", steps=2, username="me", password="secret")


@pytest.fixture(scope="module")
def backend(address):
    return sd_backend_client.connect_to_backend(address, lambda: ("me", "secret"))


def half(colour: str = "navy") -> Image.Image:
    image = Image.new("RGB", (64, 64), "white")
    ImageDraw.Draw(image).rectangle((0, 0, 31, 63), fill=colour)
    return image


def left(size: int = 64) -> Image.Image:
    image = Image.new("L", (size, size), 0)
    ImageDraw.Draw(image).rectangle((0, 0, size // 2 - 1, size - 1), fill=255)
    return image


# webuiapi ----------------------------------------------------------------------------------------------------------


def test_webuiapi_makes_pictures_from_text(api):
    result = api.txt2img(prompt="an apple", negative_prompt="blur", seed=1, n_iter=2, **SIZE)
    assert [image.size for image in result.images] == [(64, 64)] * 2 and result.info["all_seeds"] == [1, 2]
    assert result.parameters["prompt"] == "an apple" and result.image.info["parameters"] == result.info["infotexts"][0]
    assert (
        result.image.tobytes() == api.txt2img(prompt="an apple", negative_prompt="blur", seed=1, **SIZE).image.tobytes()
    )


def test_webuiapi_makes_a_second_pass(api):
    result = api.txt2img(
        prompt="an apple", enable_hr=True, hr_scale=2, hr_upscaler=webuiapi.HiResUpscaler.Latent, **SIZE
    )
    assert result.image.size == (128, 128) and "Hires upscale: 2" in result.info["infotexts"][0]
    assert result.info["extra_generation_params"]["Hires upscaler"] == "Latent"


def test_webuiapi_makes_pictures_from_pictures(api):
    result = api.img2img([half()], prompt="an apple", seed=1, denoising_strength=0.4, **SIZE)
    assert result.image.size == (64, 64) and result.info["denoising_strength"] == 0.4
    several = api.img2img([half(), half("red")], seed=1, **SIZE)
    assert len(several.images) == 2 and several.image.tobytes() != several.images[1].tobytes()


def test_webuiapi_repaints_what_is_masked_and_nothing_else(api):
    source = half()
    result = api.img2img([source], mask_image=left(), mask_blur=0, inpainting_fill=1, inpaint_full_res=False, **SIZE)
    kept = (48, 0, 64, 64)
    assert result.image.convert("RGB").crop(kept).tobytes() == source.crop(kept).tobytes()
    assert result.image.convert("RGB").tobytes() != source.tobytes()


def test_webuiapi_enlarges(api):
    result = api.extra_single_image(half(), upscaler_1=webuiapi.Upscaler.Lanczos, upscaling_resize=1.5)
    assert result.image.size == (96, 96) and "Postprocess upscaler: Lanczos" in result.info
    results = api.extra_batch_images([half(), half("red")], upscaler_1="Nearest", upscaling_resize=2)
    assert [image.size for image in results.images] == [(128, 128)] * 2


def test_webuiapi_reads_pictures_again(api):
    image = api.txt2img(prompt="an apple", seed=5, **SIZE).image
    result = api.png_info(image)
    assert result.info == image.info["parameters"] and result.parameters["Seed"] == "5"


def test_webuiapi_runs_a_script(api):
    arguments = [1, "1,2", "", 0, "", "", 0, "", "", True, True]
    result = api.txt2img(prompt="an apple", script_name="X/Y/Z plot", script_args=arguments, **SIZE)
    assert len(result.images) == 3 and result.images[0].height > 64 and result.info["all_seeds"] == [1, 2]


@pytest.mark.parametrize(
    "name",
    [
        *("get_options", "get_cmd_flags", "get_progress", "get_samplers", "get_schedulers", "get_sd_vae"),
        *("get_upscalers", "get_latent_upscale_modes", "get_loras", "get_sd_models", "get_hypernetworks"),
        *("get_face_restorers", "get_realesrgan_models", "get_prompt_styles", "refresh_checkpoints", "get_scripts"),
        *("get_embeddings", "get_memory", "util_get_model_names", "util_get_sampler_names"),
        *("util_get_scheduler_names", "interrupt", "skip"),
    ],
)
def test_every_short_call_of_webuiapi_is_answered(api, name):
    answer = getattr(api, name)()
    assert not (isinstance(answer, dict) and "error" in answer and "detail" in answer), answer


def test_webuiapi_chooses_a_model_and_waits_until_nothing_runs(api):
    api.util_set_model("starter")
    current = api.util_get_current_model()
    assert current in api.util_get_model_names()
    api.util_wait_for_ready(0.01)
    assert api.set_options({"CLIP_stop_at_last_layers": 1}) is None


def test_webuiapi_learns_why_something_cannot_be_done(api):
    with pytest.raises(RuntimeError) as told:
        api.txt2img(sampler_name="no such", **SIZE)
    assert told.value.args[0] == 400 and "Sampler not found" in told.value.args[1]
    with pytest.raises(RuntimeError) as told:
        api.img2img(images=[], **SIZE)
    assert told.value.args[0] in (404, 500)
    with pytest.raises(RuntimeError) as told:
        api.interrogate(half())
    assert told.value.args[0] == 404  # no captioner is installed
    with pytest.raises(RuntimeError) as told:
        api.txt2img(prompt="x", controlnet_units=[webuiapi.ControlNetUnit(image=half())], **SIZE)
    assert told.value.args[0] == 422


def test_webuiapi_does_not_get_in_without_the_password(address):
    host, port = address.removeprefix("http://").split(":")
    with pytest.raises(RuntimeError) as told:
        webuiapi.WebUIApi(host, int(port), username="me", password="wrong").txt2img()
    assert told.value.args[0] == 401


# sd-backend-client ---------------------------------------------------------------------------------------------------


def test_sd_backend_client_recognises_the_server(backend):
    capabilities = backend.get_capabilities()
    assert capabilities.soft_inpainting and capabilities.scheduler
    assert [option.name for option in backend.list_checkpoints()] and "euler" in str(backend.list_samplers())
    assert {option.name for option in backend.list_upscalers()} >= {"Lanczos", "Nearest"}
    for listed in ("vaes", "loras", "hypernetworks", "schedulers", "controlnet_models"):
        assert isinstance(getattr(backend, f"list_{listed}")(), list)
    keys = [parameter.key for parameter in backend.get_soft_inpainting_parameters()]
    assert keys[0] == "schedule_bias" and len(keys) == 6


def test_sd_backend_client_makes_pictures(backend):
    params = sd_backend_client.DiffusionParams(prompt="an apple", steps=2, seed=3, batch_size=2, **SIZE)
    result = backend.submit_txt2img(params).wait(timeout=120, poll_interval=0.05)
    assert [image.size for image in result.images] == [(64, 64)] * 2 and result.seeds == [3, 4]
    params = sd_backend_client.DiffusionParams(init_images=[half()], steps=2, seed=3, denoising_strength=0.5, **SIZE)
    assert backend.submit_img2img(params).wait(timeout=120, poll_interval=0.05).images[0].size == (64, 64)


@pytest.mark.parametrize("soft", [False, True])
def test_sd_backend_client_inpaints(backend, soft):
    params = sd_backend_client.DiffusionParams(
        init_images=[half()], mask=left(), steps=2, seed=3, mask_blur=4, soft_inpainting=soft, **SIZE
    )
    result = backend.submit_inpaint(params).wait(timeout=120, poll_interval=0.05)
    assert result.images[0].size == (64, 64)


def test_sd_backend_client_enlarges_to_a_size(backend):
    result = backend.submit_upscale(half(), 100, 100).wait(timeout=120, poll_interval=0.05)
    assert result.images[0].size == (100, 100)


def test_sd_backend_client_cancels(backend):
    params = sd_backend_client.DiffusionParams(prompt="x", steps=900, width=256, height=256)
    handle = backend.submit_txt2img(params)
    while handle.poll().status is not sd_backend_client.GenerationStatus.ACTIVE or not handle.poll().progress:
        assert not handle.done
    assert handle.cancel()
    with pytest.raises(sd_backend_client.GenerationError):
        handle.wait(timeout=120, poll_interval=0.05)


def test_sd_backend_client_reads_the_other_lists(backend):
    assert backend.get_config()["samples_format"] == "png" and isinstance(backend.get_styles(), list)
    assert len(backend.get_script_info()) > 8 and backend.get_latent_upscale_modes() == list(LATENT_UPSCALERS)
    for refresh in (backend.refresh_checkpoints, backend.refresh_vae, backend.refresh_loras):
        assert refresh().status_code == 200
    backend.set_config({"samples_format": "png"})
    assert backend.progress_check().state.job_count == 0


# the shapes that other programs send ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client(address):
    with httpx.Client(base_url=address, auth=("me", "secret"), timeout=120) as client:
        yield client


def test_sillytavern(client):
    """It asks for lists by the keys named here, and sends fields of its own along."""
    assert client.get("/sdapi/v1/options").json()["sd_model_checkpoint"]
    lists = [("sd-models", "title"), ("sd-vae", "model_name"), ("samplers", "name"), ("schedulers", "name")]
    for route, key in [*lists, ("upscalers", "name"), ("latent-upscale-modes", "name")]:
        assert all(isinstance(one[key], str) for one in client.get(f"/sdapi/v1/{route}").json())
    title = client.get("/sdapi/v1/sd-models").json()[0]["title"]
    assert client.post("/sdapi/v1/options", json={"sd_model_checkpoint": title}).status_code == 200
    body = {
        "url": "http://localhost:7860",
        "auth": "",
        "prompt": "an apple",
        "negative_prompt": "blur",
        "sampler_name": "Euler a",
        "scheduler": "automatic",
        "steps": 2,
        "cfg_scale": 7,
        **SIZE,
        "restore_faces": False,
        "enable_hr": True,
        "hr_upscaler": "Latent",
        "hr_scale": 1.5,
        "hr_additional_modules": [],
        "denoising_strength": 0.7,
        "hr_second_pass_steps": 0,
        "seed": -1,
        "override_settings": {"CLIP_stop_at_last_layers": 1, "sd_vae": "Automatic", "forge_additional_modules": []},
        "override_settings_restore_afterwards": True,
        "clip_skip": 1,
        "save_images": True,
        "send_images": True,
        "do_not_save_grid": False,
        "do_not_save_samples": False,
    }
    answer = client.post("/sdapi/v1/txt2img", json=body)
    assert answer.status_code == 200 and opened(answer.json()["images"][0]).size == (96, 96)
    progress = client.get("/sdapi/v1/progress").json()
    assert progress["progress"] == 0.0 and progress["state"]["job_count"] == 0


def test_open_webui(address, started):
    """It sends the whole dictionary of options back, and its header of an empty login where none is set."""
    header = {"authorization": f"Basic {base64.b64encode(b'me:secret').decode()}"}
    with httpx.Client(base_url=address, headers=header, timeout=120) as client:
        options = client.get("/sdapi/v1/options").json()
        models = client.get("/sdapi/v1/sd-models").json()
        assert models[0]["title"] and models[0]["model_name"]
        options["sd_model_checkpoint"] = models[0]["title"]
        assert client.post("/sdapi/v1/options", json=options).status_code == 200
        body = {"prompt": "an apple", "batch_size": 1, "steps": 2, "negative_prompt": "", **SIZE}
        answer = client.post("/sdapi/v1/txt2img", json=body).json()
    assert opened(answer["images"][0]).size == (64, 64) and json.loads(answer["info"])["seed"] >= 0


def test_the_photoshop_plugin(client):
    """Its seed is a text, and its requests carry what it wants to find again."""
    assert {"txt2img", "img2img"} <= set(client.get("/sdapi/v1/scripts").json())
    own = {"selection_info": {"left": 0, "top": 0}, "uniqueDocumentId": "a", "mask_expansion": 10}
    own |= {"use_prompt_shortcut": False, "prompt_shortcut_ui_dict": {}, "backend_type": "Auto1111"}
    body = {
        **own,
        "prompt": "an apple",
        "negative_prompt": "",
        "steps": 2,
        **SIZE,
        "denoising_strength": 0.7,
        "batch_size": 1,
        "cfg_scale": 7,
        "seed": "17",
        "mask_blur": 0,
        "use_sharp_mask": False,
        "restore_faces": False,
        "sampler_index": "Euler a",
        "alwayson_scripts": {},
        "override_settings": {},
    }
    assert client.post("/sdapi/v1/txt2img", json=body).status_code == 200
    inpaint = {"init_images": [encoded(half())], "mask": encoded(left()), "expanded_mask": encoded(left())}
    inpaint |= {"inpaint_full_res": True, "inpaint_full_res_padding": 32, "inpainting_fill": 1}
    answer = client.post("/sdapi/v1/img2img", json={**body, **inpaint})
    assert answer.status_code == 200 and opened(answer.json()["images"][0]).size == (64, 64)
    told = client.post("/sdapi/v1/png-info", json={"image": f"data:image/png;base64,{answer.json()['images'][0]}"})
    assert "Seed: 17" in told.json()["info"]


# the starter for real ---------------------------------------------------------------------------------------------


def test_an_infotext_alone_makes_the_same_picture_again(client):
    first = client.post("/sdapi/v1/txt2img", json={"prompt": "a red apple", "steps": 3, "seed": 8, **SIZE}).json()
    infotext = json.loads(first["info"])["infotexts"][0]
    again = client.post("/sdapi/v1/txt2img", json={"infotext": infotext}).json()
    assert opened(again["images"][0]).tobytes() == opened(first["images"][0]).tobytes()


def test_unloading_gives_memory_back_and_the_next_job_loads_again(client):
    client.post("/sdapi/v1/txt2img", json={"steps": 1, **SIZE})
    before = client.get("/sdapi/v1/memory").json()["ram"]["used"]
    assert client.post("/sdapi/v1/unload-checkpoint").json() == {}
    assert client.get("/sdapi/v1/memory").json()["ram"]["used"] < before
    assert client.post("/sdapi/v1/reload-checkpoint").json() == {}
    assert client.post("/sdapi/v1/txt2img", json={"steps": 1, **SIZE}).status_code == 200


@pytest.mark.parametrize("fields", [{"gfpgan_visibility": 1}, {"upscaler_1": "no such"}])
def test_extras_that_are_not_there_are_a_404_that_says_what_to_do(client, fields):
    answer = client.post("/sdapi/v1/extra-single-image", json={"image": encoded(half()), **fields})
    assert answer.status_code == 404 and ("install" in answer.text.lower() or "models/upscalers" in answer.text)
