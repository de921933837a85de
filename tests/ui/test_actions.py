"""What the page's buttons do on the server."""

from __future__ import annotations

import json

import pytest

from tests.ui.fake_service import FakeService
from webui.request import GenerationRequest, Pass, Refiner, SamplerOptions
from webui.settings import SettingsStore
from webui.ui import actions
from webui.ui.choices import menus, starting_values
from webui.ui.fields import AS_BEFORE, NAMES, default_values

INFOTEXT = (
    "a red apple\nNegative prompt: blurry\nSteps: 30, Sampler: DPM++ 2M Karras, CFG scale: 4.5, Seed: 42, "
    "Size: 640x384, Model hash: 0123456789, Model: portrait, Clip skip: 2, ENSD: 31337, Face restoration: GFPGAN"
)


def done(service: FakeService, request: GenerationRequest) -> str:
    """The id of a job that was run to its end."""
    job_id = service.submit(request)
    while not service.job(job_id).over:
        pass
    return job_id


def test_a_filled_page_becomes_a_job(service: FakeService) -> None:
    values = default_values() | {"prompt": "a red apple", "steps": 3}
    ticket = json.loads(actions.submit(service, [values[name] for name in NAMES], "me"))  # type: ignore[arg-type]
    view = service.job(ticket["job"])
    assert (view.client, view.request.prompt, view.request.passes[0].steps) == ("me", "a red apple", 3)


@pytest.mark.parametrize("here", [True, False])
def test_only_who_sits_before_this_machine_goes_first(service: FakeService, monkeypatch, here: bool) -> None:
    told: list[int] = []
    monkeypatch.setattr(service, "submit", lambda request, client, tab, priority: told.append(priority) or "abc")
    values = default_values() | {"prompt": "a red apple"}
    actions.submit(service, [values[name] for name in NAMES], "me", "", here)  # type: ignore[arg-type]
    assert told == [1 if here else 0]


def test_a_page_that_cannot_be_used_says_found_wanted_and_what_to_do(service: FakeService) -> None:
    values = default_values() | {"steps": 2000}
    ticket = json.loads(actions.submit(service, [values[name] for name in NAMES], ""))  # type: ignore[arg-type]
    assert ticket["error"]["found"] == "The number of steps is 2000."
    assert ticket["error"]["wanted"] == "It must be from 1 to 1000."
    assert service.submitted == []


def test_a_pictures_settings_fill_the_fields(service: FakeService) -> None:
    values = actions.read_settings(service, INFOTEXT, "en").values  # type: ignore[arg-type]
    wanted = {
        "prompt": "a red apple",
        "negative_prompt": "blurry",
        "steps": 30,
        "sampler": "DPM++ 2M",
        "schedule": "Karras",
        "guidance_scale": 4.5,
        "seed": "42",
        "width": 640,
        "height": 384,
        "checkpoint": "portrait.safetensors",
        "clip_skip": 2,
        "noise_seed_delta": 31337,
    }
    assert {name: values[name] for name in wanted} == wanted


@pytest.mark.parametrize(("name", "asked"), [("", "0123456789"), (", Model: old", "old [0123456789]")])
def test_a_checkpoint_is_looked_for_by_its_hash_too(
    service: FakeService, monkeypatch: pytest.MonkeyPatch, name: str, asked: str
) -> None:
    found, portrait = [], service.catalogue.find("portrait.safetensors")
    monkeypatch.setattr(service.catalogue, "find", lambda name: found.append(name) or portrait)
    text = INFOTEXT.replace("Model hash: 0123456789, Model: portrait", f"Model hash: 0123456789{name}")
    values = actions.read_settings(service, text, "en").values  # type: ignore[arg-type]
    assert (values["checkpoint"], found[0]) == ("portrait.safetensors", asked)


def test_what_a_picture_says_and_the_page_cannot_do_is_named(service: FakeService) -> None:
    report = json.loads(actions.read_settings(service, INFOTEXT, "en").report)  # type: ignore[arg-type]
    assert "Face restoration" in report["notes"][-1]
    assert "Model hash" not in report["notes"][-1]


@pytest.mark.parametrize(
    ("field", "old", "new"),
    [
        ("checkpoint", "Model hash: 0123456789, Model: portrait", "Model: elsewhere"),
        ("sampler", "DPM++ 2M Karras", "Nowhere"),
    ],
)
def test_a_name_that_is_not_here_keeps_the_field_and_is_told(
    service: FakeService, field: str, old: str, new: str
) -> None:
    read = actions.read_settings(service, INFOTEXT.replace(old, new), "en")  # type: ignore[arg-type]
    assert field not in read.values
    assert new.removeprefix("Model: ") in read.report


FROM_PICTURES = "a red apple\nSteps: 8, Sampler: Euler, CFG scale: 5, Seed: 7, Size: 64x64, Denoising strength: 0.6"


@pytest.mark.parametrize(
    "more",
    [
        "",
        ", Mask blur: 4, Masked content: fill, Inpaint area: Only masked",
        ", Hires upscaler: gone, Hires upscale: 2, Hires checkpoint: gone, Refiner: gone, VAE: gone",
        ", Init image hash: 0123, Upscaler: gone, RNG: strange, Emphasis: strange",
        ", Aesthetic embedding: gone, AE: gone",
    ],
)
def test_what_a_picture_says_is_always_among_the_choices_of_the_menus(service: FakeService, more: str) -> None:
    values = actions.read_settings(service, FROM_PICTURES + more, "en").values  # type: ignore[arg-type]
    offered = menus(service, "en")  # type: ignore[arg-type]
    wrong = {
        name: values[name]
        for name in values
        if name in offered and name != "styles" and values[name] not in [choice for _, choice in offered[name]]
    }
    assert wrong == {}  # Gradio refuses the whole page for one such value


def test_a_text_without_settings_is_a_prompt_and_nothing_else(service: FakeService) -> None:
    assert actions.read_settings(service, "a red apple", "en").values == {"prompt": "a red apple"}  # type: ignore[arg-type]


def test_reading_a_picture_leaves_the_numbers_of_batches_alone(service: FakeService) -> None:
    values = actions.read_settings(service, INFOTEXT, "en").values  # type: ignore[arg-type]
    assert not {"batch_size", "count", "save"} & set(values)


def handed_over(request: GenerationRequest, program: str, infotext: str = "", left_out: tuple[str, ...] = ()) -> str:
    """What the page's scripts hand over for a file."""
    said = {"program": program, "infotext": infotext, "request_json": request.to_json(), "left_out": left_out}
    return json.dumps(said)


def test_a_request_of_another_program_fills_the_fields(service: FakeService) -> None:
    request = GenerationRequest(prompt="a pear", seed=2**63 + 1, passes=(Pass(width=640, height=384, steps=23),))
    wanted = handed_over(request, "ComfyUI", "{}", ("FaceDetailer #9", "noise", "noise"))
    filled = actions.fill(service, wanted, "en")  # type: ignore[arg-type]
    shown = {name: filled.values[name] for name in ("prompt", "seed", "width", "height", "steps")}
    assert shown == {"prompt": "a pear", "seed": str(2**63 + 1), "width": 640, "height": 384, "steps": 23}
    assert json.loads(filled.report)["notes"][-1].endswith("FaceDetailer #9, noise")
    assert not {"batch_size", "count", "mode", "source_image"} & set(filled.values)


def test_texts_in_the_usual_form_are_read_as_texts(service: FakeService) -> None:
    for program in ("Emulsion", "AUTOMATIC1111", "Forge"):
        wanted = handed_over(GenerationRequest(prompt="not this one"), program, INFOTEXT)
        assert actions.fill(service, wanted, "en").values["prompt"] == "a red apple"  # type: ignore[arg-type]
    assert actions.fill(service, json.dumps({"infotext": INFOTEXT}), "en").values["seed"] == "42"  # type: ignore[arg-type]


def test_names_of_later_passes_that_are_not_here_become_notes(service: FakeService) -> None:
    first = Pass(width=128, height=128, refiner=Refiner("finisher", 0.7))
    second = Pass(source="previous", width=256, height=256, upscaler="4x-Nowhere", checkpoint="portrait", sampler="Odd")
    request = GenerationRequest(prompt="a pear", passes=(first, second))
    filled = actions.fill(service, handed_over(request, "Fooocus"), "en")  # type: ignore[arg-type]
    names = ("refiner_checkpoint", "hires_checkpoint", "hires_sampler", "hires_upscaler")
    assert [filled.values[name] for name in names] == ["", "portrait.safetensors", AS_BEFORE, "Latent"]
    assert all(name in filled.report for name in ("finisher", "4x-Nowhere", "Odd"))


def test_a_request_that_does_not_fit_is_an_error_and_changes_nothing(service: FakeService) -> None:
    wanted = json.dumps({"program": "ComfyUI", "request_json": '{"prompt": 3}'})
    filled = actions.fill(service, wanted, "en")  # type: ignore[arg-type]
    assert filled.values == {} and "request.prompt" in json.loads(filled.report)["error"]["found"]


def test_own_infotexts_give_the_same_request_back(service: FakeService) -> None:
    options = SamplerOptions(eta=0.5, s_churn=2.0, discard_penultimate=True, sigma_min=0.1)
    request = GenerationRequest(
        prompt="a (red:1.2) apple",
        seed=7,
        clip_skip=2,
        checkpoint="starter",
        variation_seed=3,
        variation_strength=0.2,
        passes=(Pass(width=160, height=96, sampler="UniPC", steps=3, options=options),),
    )
    picture = service.job(done(service, request)).results[0]
    values = actions.read_settings(service, picture.infotext, "en").values  # type: ignore[arg-type]
    shown, _ = actions.page_values(service, request, "en")  # type: ignore[arg-type]
    assert values == {name: value for name, value in shown.items() if name not in actions.NOT_OF_A_PICTURE}


def test_a_reloaded_page_gets_the_fields_of_its_job(service: FakeService) -> None:
    job_id = service.submit(GenerationRequest(prompt="a red apple", seed=-1))
    values = actions.restore(service, job_id, "en")  # type: ignore[arg-type]
    assert (values["prompt"], values["seed"]) == ("a red apple", "-1")
    assert actions.restore(service, "unknown", "en") == {}  # type: ignore[arg-type]


def test_the_page_starts_with_the_checkpoints_own_size_and_habits(service: FakeService, store: SettingsStore) -> None:
    values = starting_values(service, store.settings)  # type: ignore[arg-type]
    assert (values["checkpoint"], values["width"], values["steps"]) == ("starter.safetensors", 128, 8)


def test_settings_decide_the_first_values(service: FakeService, store: SettingsStore) -> None:
    changed = store.settings.changed({"checkpoint": "portrait", "clip_skip": 2, "s_churn": 3.0, "rho": 5.0})
    values = starting_values(service, changed)  # type: ignore[arg-type]
    assert [values[name] for name in ("checkpoint", "width", "clip_skip", "s_churn", "rho", "s_tmax")] == [
        *("portrait.safetensors", 512, 2, 3.0, 5.0),
        None,
    ]


def test_menus_speak_the_readers_language_and_keep_their_values(service: FakeService) -> None:
    english, chinese = menus(service, "en"), menus(service, "zh-CN")  # type: ignore[arg-type]
    assert dict(english["schedule"])["Automatic"] == dict(chinese["schedule"])["自动"] == "Automatic"
    assert {name: [value for _, value in choices] for name, choices in english.items()} == {
        name: [value for _, value in choices] for name, choices in chinese.items()
    }


def test_a_checkpoint_that_cannot_be_used_is_told_before_generating(service: FakeService) -> None:
    found = actions.page_hints(service, "broken.safetensors", 128, 128, 7, "", "", "en")  # type: ignore[arg-type]
    assert "holds no network that is known" in found[0]


def test_a_folder_without_checkpoints_is_told(service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "checkpoints", list)
    assert "no checkpoint yet" in actions.page_hints(service, None, 1, 1, 7, "", "", "en")[0]  # type: ignore[arg-type]


def test_a_prompt_in_chinese_is_told_that_the_checkpoints_read_english(service: FakeService) -> None:
    def told(prompt: str) -> str:
        return "".join(actions.page_hints(service, "portrait.safetensors", 512, 512, 7, "", prompt, "zh-CN"))  # type: ignore[arg-type]

    assert "请用英文" in told("一只猫, 杰作") and "请用英文" in told("猫 <lora:some:1>")
    assert told("a café, naïve style") == ""


def test_a_checkpoint_that_draws_few_things_says_so_when_the_prompt_names_none(service: FakeService) -> None:
    def told(prompt: str) -> bool:
        found = actions.page_hints(service, "starter.safetensors", 128, 128, 7, "", prompt, "en")  # type: ignore[arg-type]
        return any("red apple, panda" in hint for hint in found)

    assert told("a sailing boat")
    assert not told("a Panda, 3d style") and not told("")
    assert not actions.page_hints(service, "portrait.safetensors", 512, 512, 7, "", "a boat", "en")  # type: ignore[arg-type]
