"""Fields that txt2img and img2img share beyond the plain ones: infotext, always-on scripts, scripts, tolerance."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import types

import pytest
from PIL import Image

from tests.api.conftest import make_house
from tests.api.pictures import info_of, mask, picture
from webui.api import replies
from webui.api.fields import TextToImageFields
from webui.engine.extensions import ExtensionEntry, Extensions
from webui.extend import Extension, Option
from webui.request import AestheticGradients, GenerationRequest, SoftInpaint
from webui.workers.views import ResultView

SMALL = {"width": 64, "height": 48, "steps": 2, "sampler_name": "Euler a"}
TEXT = """an apple <lora:film:1>
Negative prompt: blur
Steps: 4, Sampler: DPM++ 2M Karras, CFG scale: 3.5, Seed: 77, Size: 32x24, Model: second, Clip skip: 2, ENSD: 31337, \
RNG: CPU, Variation seed: 5, Variation seed strength: 0.25, Eta: 0.5, Version: v1.10.1"""
HIRES = TEXT.replace(", Version", ", Denoising strength: 0.4, Hires upscale: 2, Hires upscaler: Lanczos, Version")
INPAINT = TEXT.replace(
    ", Version",
    ", Denoising strength: 0.4, Mask blur: 8, Inpaint area: Only masked, Masked area padding: 16, Masked content: "
    "latent noise, Mask mode: Inpaint not masked, Resize mode: Crop and resize, Version",
)


def post(client, route="txt2img", **fields):
    return client.post(f"/sdapi/v1/{route}", json=fields)


def last(house):
    return house.service.jobs(1)[0].request


def test_an_infotext_fills_what_is_not_given(client, house):
    assert post(client, infotext=TEXT).status_code == 200
    request, step = last(house), last(house).passes[0]
    assert (request.prompt, request.negative_prompt) == ("an apple <lora:film:1>", "blur")
    assert (request.seed, request.variation_seed, request.variation_strength) == (77, 5, 0.25)
    assert (step.steps, step.sampler, step.schedule, step.width, step.height) == (4, "DPM++ 2M", "Automatic", 32, 24)
    assert (step.guidance.scale, step.options.eta, step.options.noise_seed_delta) == (3.5, 0.5, 31337)
    assert (request.checkpoint, request.clip_skip, request.noise_source) == ("second.safetensors", 2, "CPU")


def test_what_is_given_wins_over_the_infotext(client, house):
    overrides = {"CLIP_stop_at_last_layers": 3, "sd_model_checkpoint": "first"}
    assert post(client, infotext=TEXT, prompt="", steps=2, seed=-1, override_settings=overrides).status_code == 200
    request = last(house)
    assert (request.prompt, request.passes[0].steps, request.seed) == ("", 2, -1)
    assert (request.clip_skip, request.checkpoint) == (3, "first") and request.passes[
        0
    ].options.noise_seed_delta == 31337


def test_an_infotext_switches_hires_fix_on(client, house):
    assert post(client, infotext=HIRES).status_code == 200
    _, second = last(house).passes
    assert (second.width, second.height, second.upscaler, second.denoising_strength) == (64, 48, "Lanczos", 0.4)


def test_an_infotext_fills_the_fields_of_masks(client, house):
    assert post(client, "img2img", infotext=INPAINT, init_images=[picture()], mask=mask()).status_code == 200
    step = last(house).passes[0]
    assert step.denoising_strength == 0.4 and step.resize_mode == "crop" and step.inpaint.mask_blur == (8, 8)
    assert (step.inpaint.area, step.inpaint.padding, step.inpaint.invert) == ("masked", 16, True)
    assert step.inpaint.masked_content == "latent noise"


def test_what_an_infotext_leaves_out_of_masks_means_the_usual_values(client, house):
    text = TEXT.replace(", Version", ", Denoising strength: 0.4, Mask blur: 8, Version")
    assert post(client, "img2img", infotext=text, init_images=[picture()], mask=mask()).status_code == 200
    inpaint = last(house).passes[0].inpaint
    assert (inpaint.masked_content, inpaint.area, inpaint.padding, inpaint.invert) == ("original", "whole", 32, False)


def test_an_infotext_without_clip_skip_means_one_whatever_the_settings_say(client, house):
    client.post("/sdapi/v1/options", json={"CLIP_stop_at_last_layers": 2, "emphasis": "No norm"})
    text = "x\nSteps: 2, Sampler: Euler a, Seed: 1, Size: 32x32"
    assert post(client, infotext=text).status_code == 200
    assert (last(house).clip_skip, last(house).emphasis) == (1, "Original")
    assert post(client, prompt="x", **SMALL).status_code == 200
    assert (last(house).clip_skip, last(house).emphasis) == (2, "No norm")


def test_a_prompt_alone_leaves_the_defaults_as_they_are(client, house):
    assert post(client, infotext="just words", **SMALL).status_code == 200
    assert last(house).prompt == "just words" and last(house).passes[0].guidance.scale == 7.0


def test_files_of_an_infotext_that_are_not_here_are_left_out(client, house):
    text = "x\nSteps: 2, Sampler: Euler a, Seed: 1, Size: 32x32, Model hash: 0123456789, Model: no such, VAE: none.pt"
    assert post(client, infotext=text).status_code == 200
    assert last(house).checkpoint is None and last(house).vae == "Automatic"


def test_what_fields_cannot_say_is_taken_from_the_infotext(client, house):
    text = TEXT.replace(", Version", ", CFG rescale: 0.7, Aesthetic embedding: sky, Aesthetic steps: 3, Version")
    assert post(client, infotext=text).status_code == 200
    assert last(house).passes[0].guidance.rescale == 0.7
    assert last(house).aesthetic == AestheticGradients("sky", steps=3)


# alwayson_scripts ------------------------------------------------------------------------------------------------


def test_soft_inpainting_by_its_title_in_any_case(client, house):
    scripts = {"soft INPAINTING": {"args": [True, 0.5, 0.25, 3, 0.1, 0.2, 1]}}
    answer = post(client, "img2img", **SMALL, init_images=[picture()], mask=mask(), alwayson_scripts=scripts)
    assert answer.status_code == 200
    assert last(house).passes[0].inpaint.soft == SoftInpaint(0.5, 0.25, 3.0, 0.1, 0.2, 1.0)


def test_arguments_by_name_or_label_and_a_name_that_is_none_is_refused(client, house):
    fields = {**SMALL, "init_images": [picture()], "mask": mask()}
    given = {"Soft inpainting": True, "PRESERVATION strength": 0.25, "contrast_boost": 3}
    post(client, "img2img", **fields, alwayson_scripts={"Soft Inpainting": {"args": [given]}})
    assert last(house).passes[0].inpaint.soft == SoftInpaint(preservation=0.25, contrast_boost=3.0)
    answer = post(client, "img2img", **fields, alwayson_scripts={"Soft Inpainting": {"args": [{"strength": 1}]}})
    assert answer.status_code == 422 and "no argument 'strength'" in answer.text


def test_missing_arguments_keep_their_defaults_and_false_is_off(client, house):
    fields = {**SMALL, "init_images": [picture()], "mask": mask()}
    post(client, "img2img", **fields, alwayson_scripts={"Soft Inpainting": {"args": [True]}})
    assert last(house).passes[0].inpaint.soft == SoftInpaint()
    post(client, "img2img", **fields, alwayson_scripts={"Soft Inpainting": {"args": [False, 2]}})
    assert last(house).passes[0].inpaint.soft is None


def test_aesthetic_gradients_in_the_order_of_their_extension(client, house):
    scripts = {"Aesthetic embeddings": {"args": [0.5, 7, "0.001", True, "sky", "blue", 0.3, True]}}
    assert post(client, **SMALL, alwayson_scripts=scripts).status_code == 200
    wanted = AestheticGradients("sky", 0.5, 7, 0.001, True, "blue", True, 0.3)
    assert last(house).aesthetic == wanted


def test_refiner_seed_and_sampler_fill_what_the_fields_do_not_say(client, house):
    scripts = {
        "Refiner": {"args": [True, "second", 0.7]},
        "Seed": {"args": [9, True, 8, 0.5, 0, 0]},
        "Sampler": {"args": [1, "Euler", "Karras"]},
    }
    assert post(client, width=64, height=48, alwayson_scripts=scripts).status_code == 200
    request, step = last(house), last(house).passes[0]
    assert (step.refiner.checkpoint, step.refiner.switch_at) == ("second", 0.7)
    assert (request.seed, request.variation_seed, request.variation_strength) == (9, 8, 0.5)
    assert (step.steps, step.sampler, step.schedule) == (1, "Euler", "Karras")
    assert post(client, **SMALL, seed=4, alwayson_scripts=scripts).status_code == 200
    assert last(house).seed == 4 and last(house).passes[0].sampler == "Euler a"


def test_a1111s_own_titles_without_arguments_are_accepted(client):
    scripts = {"Hypertile": {"args": []}, "Comments": {}, "Extra options": {"args": None}}
    assert post(client, **SMALL, alwayson_scripts=scripts).status_code == 200


@pytest.mark.parametrize(
    ("scripts", "detail"),
    [
        ({"ADetailer": {"args": [True, {}]}}, "Always on script ADetailer not found"),
        ({"Soft Inpainting": {"args": [True]}}, "Always on script Soft Inpainting not found"),  # not in txt2img
        ({"X/Y/Z plot": {"args": []}}, "Cannot have a selectable script in the always on scripts params"),
    ],
)
def test_other_titles_are_a_422_in_a1111s_words(client, scripts, detail):
    answer = post(client, **SMALL, alwayson_scripts=scripts)
    assert answer.status_code == 422 and answer.json()["detail"] == detail


@pytest.mark.parametrize("arguments", ["x", [True, "no number"], [{"enabled": "maybe"}], 5])
def test_arguments_that_do_not_fit_are_a_422(client, arguments):
    scripts = {"Soft Inpainting": {"args": arguments}}
    answer = post(client, "img2img", **SMALL, init_images=[picture()], alwayson_scripts=scripts)
    assert answer.status_code == 422


def test_options_of_extensions_are_arguments_too(tmp_path):
    class Grain(Extension):
        name = "grain"
        options = (Option("amount", "Amount", 0.0, 0.0, 1.0), Option("coloured", "Coloured", False))

    house = make_house(tmp_path)
    context = dataclasses.replace(house.context, extensions=Extensions([ExtensionEntry("grain", None, Grain())]))
    from starlette.testclient import TestClient

    from webui.api.application import make_application

    house.service.start()
    try:
        client = TestClient(make_application(context))
        for arguments in ([0.5, True], [{"amount": 0.5, "coloured": True}]):
            assert post(client, **SMALL, alwayson_scripts={"Grain": {"args": arguments}}).status_code == 200
            assert house.service.jobs(1)[0].request.extensions == {"grain": {"amount": 0.5, "coloured": True}}
        assert "grain" in client.get("/sdapi/v1/scripts").json()["img2img"]
        assert (
            client.get("/sdapi/v1/extensions").json()[0] | {"enabled": True, "name": "grain"}
            == (client.get("/sdapi/v1/extensions").json()[0])
        )
    finally:
        house.service.stop(2)


# script_name -----------------------------------------------------------------------------------------------------


def test_a_script_brings_its_sheet_first(client, house):
    arguments = [1, "1-2", "", 0, "", "", 0, "", ""]
    answer = post(client, **SMALL, script_name="x/y/z PLOT", script_args=arguments)
    info = info_of(answer)
    assert info["infotexts"] == ["sheet", "cell 1", "cell 2"] and info["index_of_first_image"] == 1
    assert info["all_seeds"] == [1, 2] and len(answer.json()["images"]) == 3
    job = house.service.jobs(1)[0]
    assert job.task == "script" and job.values["script"] == "X/Y/Z plot"
    assert (job.values["arguments"]["x_type"], job.values["arguments"]["x_values"]) == ("Seed", "1-2")
    assert job.values["request"]["passes"][0]["width"] == 64


@pytest.mark.parametrize(
    ("name", "arguments", "word"),
    [
        ("no such", [], "not found"),
        ("Loopback", [], "not found"),  # not in txt2img
        ("X/Y/Z plot", [999], "999"),
        ("Prompt matrix", [True] * 99, "takes"),
    ],
)
def test_a_script_that_is_not_there_or_does_not_fit_is_a_422(client, name, arguments, word):
    answer = post(client, **SMALL, script_name=name, script_args=arguments)
    assert answer.status_code == 422 and word in answer.json()["detail"]


# what else clients do -----------------------------------------------------------------------------------------------


def test_numbers_may_be_texts_and_texts_numbers(client, house):
    fields = {"steps": "2", "cfg_scale": "5.5", "width": 64.0, "height": "48", "seed": "12", "prompt": 5}
    assert post(client, sampler_name="Euler a", batch_size=1.9, tiling="true", **fields).status_code == 200
    request = last(house)
    assert (request.prompt, request.seed, request.batch_size, request.tiling) == ("5", 12, 1, True)
    assert (request.passes[0].steps, request.passes[0].guidance.scale, request.passes[0].width) == (2, 5.5, 64)


def test_networks_can_be_switched_off_for_a_request(client, house):
    prompt = "a <lora:film:1>cat <hypernet:b:0.5>sits <lyco:c>"
    assert post(client, **SMALL, prompt=prompt, disable_extra_networks=True).status_code == 200
    assert last(house).prompt == "a cat sits "
    assert post(client, **SMALL, prompt=prompt).status_code == 200
    assert last(house).prompt == prompt


@pytest.mark.parametrize("value", [True, "true", 1])
def test_faces_cannot_be_restored_while_generating_and_the_answer_says_so(client, value):
    answer = post(client, **SMALL, restore_faces=value)
    assert answer.status_code == 422 and "restore_faces" in answer.json()["detail"]
    assert post(client, **SMALL, restore_faces=False).status_code == 200


def test_overrides_that_are_to_stay_stay(client, house):
    overrides = {"jpeg_quality": 81}
    fields = {**SMALL, "override_settings": overrides, "override_settings_restore_afterwards": False}
    assert post(client, **fields).status_code == 200
    assert house.store.settings["quality"] == 81
    house.context.change_settings({"quality": 90})


def test_folders_of_the_server_are_for_clients_on_the_same_machine_only(client):
    fields = {**SMALL, "init_images": [picture()], "script_name": "Batch from a folder", "script_args": ["/etc"]}
    answer = client.post("/sdapi/v1/img2img", json=fields, headers={"x-forwarded-for": "203.0.113.5"})
    assert answer.status_code == 422 and "folders of the machine" in answer.json()["detail"]


def test_the_grid_of_a_script_that_only_puts_pictures_together_comes_when_it_is_wanted():
    def told(name, **facts):
        return ResultView(f"/{name}.png", f"{name}\nSteps: 1", 7, 8, 8, facts=facts)

    results = (told("first"), told("second"), told("grid", sheet="loopback", usual=True))
    job = types.SimpleNamespace(task="script", results=results, started=1.0, notes=())
    request, settings = GenerationRequest(), {"return_grid": False}

    def texts(**fields):
        answer = replies.reply(TextToImageFields(send_images=False, **fields), request, job, settings)
        return json.loads(answer["info"])["infotexts"]

    assert len(texts()) == 2
    settings["return_grid"] = True
    assert [text.split("\n")[0] for text in texts()] == ["grid", "first", "second"]
    assert len(texts(do_not_save_grid=True)) == 2


def test_masks_among_the_results_are_no_pictures_of_their_own_in_info(tmp_path):
    def told(name, seed, colour, **facts):
        Image.new("RGB", (8, 8), colour).save(tmp_path / f"{name}.png")
        return ResultView(str(tmp_path / f"{name}.png"), f"{name}\nSteps: 1", seed, 8, 8, facts=facts)

    one, two = told("one", 7, "red"), told("two", 8, "blue")
    results = (one, told("one-mask", 7, "white", aside="mask"), two, told("two-mask", 8, "white", aside="mask"))
    job = types.SimpleNamespace(task="generate", results=results, started=1.0, created=1.0, notes=())
    settings = {"return_grid": True, "picture_format": "png", "quality": 90, "grid_rows": -1}
    answer = replies.reply(TextToImageFields(), GenerationRequest(batch_size=2), job, settings)
    info = json.loads(answer["info"])
    assert info["all_seeds"] == [7, 8] and len(info["all_prompts"]) == 2
    assert len(answer["images"]) == len(info["infotexts"]) == 5 and info["index_of_first_image"] == 1
    grid = Image.open(io.BytesIO(base64.b64decode(answer["images"][0])))
    assert grid.size == (16, 8) and grid.getpixel((12, 4)) == (0, 0, 255)
