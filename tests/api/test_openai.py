"""OpenAI's images API: its own Python client against a started server, and the fields one by one."""

from __future__ import annotations

import asyncio
import base64
import io

import httpx
import openai
import pytest
from PIL import Image

from tests.api.started import server, until
from webui.api.openai.fields import PromptFields, VariationFields
from webui.api.openai.requests import from_pictures, job_settings, make_request
from webui.engine.recommended import facts_of
from webui.families import ModelFacts
from webui.imaging.metadata import encode_picture
from webui.request import Pass


def picture(size=(64, 64), colour=(200, 30, 30, 255), hole=None) -> bytes:
    """A PNG; `hole` is a box that is transparent."""
    image = Image.new("RGBA", size, colour)
    if hole:
        image.paste((0, 0, 0, 0), hole)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def opened(text: str) -> Image.Image:
    return Image.open(io.BytesIO(base64.b64decode(text)))


# The client of OpenAI --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("openai")
    (folder / "models" / "checkpoints").mkdir(parents=True)
    for name in ("first", "second"):
        (folder / "models" / "checkpoints" / f"{name}.safetensors").write_bytes(name.encode())
    with server(folder, 'nowebui=True, auth=(("me", "secret"),)') as started:
        yield started


@pytest.fixture(scope="module")
def client(running):
    headers = {"Authorization": f"Basic {base64.b64encode(b'me:secret').decode()}"}
    with openai.OpenAI(
        base_url=f"{running.address}/v1", api_key="unused", default_headers=headers, max_retries=0
    ) as client:
        yield client


def test_pictures_are_generated(client):
    answer = client.images.generate(
        prompt="a red apple",
        model="dall-e-2",
        n=2,
        size="256x256",
        response_format="b64_json",
        extra_body={"seed": 7, "steps": 2, "no_such_field": 1},
    )
    assert [opened(one.b64_json).size for one in answer.data] == [(256, 256)] * 2
    assert [one.seed for one in answer.data] == [7, 8]
    assert "a red apple" in answer.data[0].infotext
    assert opened(answer.data[0].b64_json).text["parameters"] == answer.data[0].infotext
    assert answer.created > 0 and answer.size == "256x256"


def test_an_address_leads_to_the_picture_with_the_same_login_only(client, running):
    answer = client.images.generate(prompt="x", size="64x64", extra_body={"steps": 1})
    url = answer.data[0].url
    assert answer.data[0].b64_json is None and url.startswith(running.address)
    found = httpx.get(url, auth=("me", "secret"))
    assert found.headers["content-type"] == "image/png" and Image.open(io.BytesIO(found.content)).size == (64, 64)
    assert httpx.get(url).status_code == 401
    assert httpx.get(url.rpartition("/")[0] + "/5", auth=("me", "secret")).status_code == 404


@pytest.mark.parametrize(("kind", "format"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_pictures_come_in_the_format_that_is_asked_for(client, kind, format):
    answer = client.images.generate(
        prompt="x", model="gpt-image-1", size="64x64", output_format=kind, extra_body={"steps": 1}
    )
    assert opened(answer.data[0].b64_json).format == format and answer.output_format == kind


def test_a_picture_is_edited_where_its_mask_is_transparent(client):
    answer = client.images.edit(
        image=picture(),
        mask=picture(hole=(0, 0, 32, 64)),
        prompt="a blue door",
        response_format="b64_json",
        extra_body={"steps": 1, "seed": 3},
    )
    assert opened(answer.data[0].b64_json).size == (64, 64) and answer.data[0].seed == 3


def test_a_variation_needs_no_prompt(client):
    answer = client.images.create_variation(image=picture(), n=2, size="64x64", response_format="b64_json")
    assert len(answer.data) == 2


def test_models_are_listed_and_found(client):
    assert [one.id for one in client.models.list()] == ["first.safetensors", "second.safetensors"]
    assert client.models.retrieve("second.safetensors").owned_by == "local"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("zzz-unknown")
    assert caught.value.code == "model_not_found"


def test_errors_are_those_that_the_client_knows(client, running):
    with pytest.raises(openai.NotFoundError) as caught:
        client.images.generate(prompt="x", model="zzz-unknown")
    assert (caught.value.code, caught.value.param) == ("model_not_found", "model")
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.generate(prompt="x", n=11)
    assert (caught.value.type, caught.value.param) == ("invalid_request_error", "n")
    with pytest.raises(openai.BadRequestError) as caught:
        client.images.edit(image=b"no picture", prompt="x")
    assert caught.value.param == "image"
    with pytest.raises(openai.AuthenticationError) as caught:
        openai.OpenAI(base_url=f"{running.address}/v1", api_key="wrong", max_retries=0).models.list()
    assert caught.value.code == "invalid_api_key"


def test_a_failed_job_is_told_with_its_reason(client):
    with pytest.raises(openai.BadRequestError, match="no sampler named"):
        client.images.generate(prompt="wrong", size="64x64")
    with pytest.raises(openai.InternalServerError):
        client.images.generate(prompt="memory", size="64x64")


# One by one, without a process -----------------------------------------------------------------------------------


def asked(house, **fields):
    return make_request(PromptFields(prompt="x", **fields), "x", house.context)


def edited(house, images, mask=None, **fields):
    return from_pictures(VariationFields(**fields), "x", images, mask, house.context)


def test_fields_of_ours_reach_the_request(house):
    request = asked(
        house,
        negative_prompt="blurry",
        seed=5,
        num_inference_steps=9,
        cfg_scale="4.5",
        sampler_name="DPM++ 2M Karras",
        clip_skip=2,
        n=3,
        model="second",
    )
    step = request.passes[0]
    assert (request.negative_prompt, request.seed, request.count, request.clip_skip) == ("blurry", 5, 3, 2)
    assert request.checkpoint == "second.safetensors"
    assert (step.steps, step.guidance.scale, step.sampler) == (9, 4.5, "DPM++ 2M")


@pytest.mark.parametrize("name", [None, "", "dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini", "auto"])
def test_names_of_openai_mean_the_default_checkpoint(house, name):
    assert asked(house, model=name).checkpoint == house.catalogue.find(None).name


@pytest.mark.parametrize(("quality", "steps"), [("auto", 20), ("standard", 20), ("low", 10), ("hd", 30), ("high", 30)])
def test_quality_is_a_share_of_the_usual_steps(house, quality, steps):
    assert asked(house, quality=quality).passes[0].steps == steps
    assert asked(house, quality=quality, steps=4).passes[0].steps == 4


def test_the_size_is_that_of_the_checkpoint_where_none_is_given(house, monkeypatch):
    known = ModelFacts("sd1", "", "text", "epsilon", False, 768, None, 4, 768, 0, ())  # type: ignore[arg-type]
    monkeypatch.setattr(house.catalogue, "facts", lambda file: known)
    assert (asked(house).passes[0].width, asked(house, size="auto").passes[0].height) == (768, 768)
    step = asked(house, size="640x384").passes[0]
    assert (step.width, step.height) == (640, 384)


def test_the_picture_decides_the_size_of_an_edit_and_large_ones_shrink_to_the_checkpoint(house):
    step = edited(house, [picture((96, 160))]).passes[0]
    assert (step.width, step.height) == (96, 160)
    step = edited(house, [picture((2048, 1024))]).passes[0]
    assert (step.width, step.height) == (728, 360)


def test_without_a_mask_the_whole_picture_changes_by_part(house):
    step = edited(house, [picture()]).passes[0]
    assert (step.source, step.masked, step.denoising_strength) == ("image", False, 0.75)
    assert edited(house, [picture()], strength=0.3).passes[0].denoising_strength == 0.3


def test_transparent_parts_of_a_mask_become_white_ones(house):
    step = edited(house, [picture()], picture(hole=(0, 0, 32, 64))).passes[0]
    mask = opened(step.mask)
    assert (mask.getpixel((10, 10)), mask.getpixel((50, 10)), step.denoising_strength) == (255, 0, 1.0)


def test_without_a_mask_the_transparency_of_the_picture_is_one(house):
    step = edited(house, [picture(hole=(0, 0, 9, 9))]).passes[0]
    assert step.masked and step.inpaint.from_alpha and step.denoising_strength == 1.0


def test_a_checkpoint_that_takes_orders_sees_the_picture_and_starts_from_noise(house, monkeypatch):
    edit = ModelFacts("sd1", "", "edit", "epsilon", False, 512, None, 8, 768, 0, ())  # type: ignore[arg-type]
    monkeypatch.setattr(house.catalogue, "facts", lambda file: edit)
    assert edited(house, [picture()]).passes[0].denoising_strength == 1.0


@pytest.mark.parametrize(
    ("fields", "param"),
    [({"background": "transparent"}, "background"), ({"stream": True}, "stream"), ({"size": "big"}, "size")],
)
def test_what_cannot_be_done_is_refused_by_name(house, client_of_house, fields, param):
    answer = client_of_house.post("/v1/images/generations", json={"prompt": "x", **fields})
    assert answer.status_code == 400 and answer.json()["error"]["param"] == param


@pytest.mark.parametrize("images", [[], [picture(), picture()]])
def test_one_picture_is_wanted(house, client_of_house, images):
    files = [("image[]", ("a.png", data, "image/png")) for data in images] or [("other", ("a.png", b"", "image/png"))]
    answer = client_of_house.post("/v1/images/edits", data={"prompt": "x"}, files=files)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "image"


def test_a_mask_without_a_hole_is_refused(client_of_house):
    files = {"image": ("a.png", picture(), "image/png"), "mask": ("m.png", picture(), "image/png")}
    answer = client_of_house.post("/v1/images/edits", data={"prompt": "x"}, files=files)
    assert answer.status_code == 400 and answer.json()["error"]["param"] == "mask"


def test_a_variation_of_a_picture_made_here_has_its_prompt(house, client_of_house):
    image = Image.new("RGB", (64, 64))
    data = encode_picture(image, "a lighthouse\nSteps: 3, Sampler: Euler, Seed: 1, Size: 64x64", "png", 90)
    answer = client_of_house.post("/v1/images/variations", files={"image": ("a.png", data, "image/png")}).json()
    assert answer["data"][0]["revised_prompt"] == "a lighthouse"


def test_pictures_are_not_kept_unless_that_is_asked_for(house):
    assert asked(house).save is False and asked(house, save=True).save is True


def test_compression_is_the_quality_of_the_file(house):
    fields = PromptFields(prompt="x", output_format="jpeg", output_compression=40)
    assert job_settings(fields)["quality"] == 40 and job_settings(fields)["picture_format"] == "jpg"


def test_a_client_gets_as_many_pictures_as_it_asked_for_whatever_the_settings_add(house):
    added = ("save_grids", "return_masks", "return_mask_composites")
    settings = house.store.settings.changed(dict.fromkeys(added, True))
    changed = settings.changed(job_settings(PromptFields(prompt="a cat")))
    assert not any(changed[name] for name in added)


def test_a_checkpoint_that_cannot_be_read_has_the_plain_defaults(house):
    assert facts_of(house.catalogue, None) is None
    assert asked(house).passes[0] == Pass()


@pytest.fixture
def client_of_house(house):
    return house.client


def test_a_full_queue_says_when_to_come_back(house, client_of_house):
    house.service.limit_waiting(0, 100)
    try:
        answer = client_of_house.post("/v1/images/generations", json={"prompt": "x"})
    finally:
        house.service.limit_waiting(100, 100)
    assert answer.status_code == 429 and answer.headers["retry-after"]
    assert answer.json()["error"]["code"] == "rate_limit_exceeded"


def test_a_job_ends_when_its_client_goes(running):
    auth = ("me", "secret")

    def states() -> list[str]:
        return [job["state"] for job in httpx.get(f"{running.address}/api/v1/jobs?limit=1", auth=auth).json()]

    async def leave() -> None:
        async with httpx.AsyncClient(base_url=running.address, auth=auth, timeout=120) as web:
            call = asyncio.create_task(web.post("/v1/images/generations", json={"prompt": "held", "steps": 1000}))
            await asyncio.to_thread(until, lambda: states() == ["running"])
            call.cancel()
            await asyncio.wait([call])

    asyncio.run(leave())
    until(lambda: states() == ["cancelled"])
