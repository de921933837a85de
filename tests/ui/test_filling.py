"""Fields that are filled at once: presets, defaults, single values, styles found in a picture's prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.ui.fake_service import FakeService
from webui.settings import SettingsStore
from webui.text.style_files import StyleFiles
from webui.ui.choices import menus, starting_values
from webui.ui.fields import NAMES, default_values, request_from_values
from webui.ui.filling import fill, fitting, opening_values
from webui.ui.presets import NOT_KEPT, Presets

INFOTEXT = "a cat, soft light\nNegative prompt: dull, harsh\nSteps: 9, Sampler: Euler, Seed: 3, Size: 64x64"
NAMED = json.dumps(["Soft light", "Oil"])  # as infotexts name styles, in quotes once more


def said(service: FakeService, store: SettingsStore, **wanted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    filled = fill(service, store, json.dumps(wanted), "en")  # type: ignore[arg-type]
    return dict(filled.values), json.loads(filled.report)


def test_a_preset_comes_back_as_it_was_kept(service: FakeService, store: SettingsStore) -> None:
    values = starting_values(service, store.settings)  # type: ignore[arg-type]
    values |= {"prompt": "a dog", "styles": ["Soft light"], "steps": 33, "seed": "18446744073709551615"}
    values |= {"hires": True, "hires_sampler": "DDIM", "hires_steps": None, "eta": 0.5, "sampler": "UniPC"}
    Presets(store.settings.paths.data).save("Dogs", values)
    found, report = said(service, store, preset="Dogs")
    assert found == {name: value for name, value in values.items() if name not in NOT_KEPT}
    assert report == {"notes": ["“Dogs” was loaded."]}
    whole = {**default_values(), **found}
    assert request_from_values([whole[name] for name in NAMES]).passes[0].steps == 33


@pytest.mark.parametrize("kept", ['{"script": "Prompt matrix", "arguments": {"put_at_start": true}}', ""])
def test_a_preset_holds_its_script_or_that_there_was_none(
    service: FakeService, store: SettingsStore, kept: str
) -> None:
    presets = Presets(store.settings.paths.data)
    presets.save("A", {"steps": 9, "script": kept})
    presets.begin_with("A")
    found, report = said(service, store, preset="A")
    assert found == {"steps": 9} and len(report["notes"]) == 1
    assert report["script"] == (json.loads(kept) if kept else {"script": "", "arguments": {}})
    assert "script" not in opening_values(service, store, "en")  # type: ignore[arg-type]
    presets.save("Old", {"steps": 9})
    assert "script" not in said(service, store, preset="Old")[1]


def test_an_unknown_preset_changes_nothing(service: FakeService, store: SettingsStore) -> None:
    found, report = said(service, store, preset="nothing")
    assert found == {} and "There is no preset named 'nothing'" in report["error"]["found"]


def test_names_that_are_gone_are_told_and_leave_their_fields(service: FakeService, store: SettingsStore) -> None:
    kept = {"checkpoint": "gone.safetensors", "vae": "gone", "sampler": "Gone", "hires_upscaler": "Gone", "steps": 12}
    kept |= {"styles": ["Soft light", "Oil"], "prompt": "a cat <lora:gone:1>", "of_tomorrow": 1}
    found, notes = fitting(service, kept, "en")  # type: ignore[arg-type]
    assert found == {"steps": 12, "styles": ["Soft light"], "prompt": kept["prompt"]}
    assert [note.split(" is not here")[0] for note in notes[:5]] == [
        "Styles: “Oil”",
        "Checkpoint: “gone.safetensors”",
        "VAE: “gone”",
        "Sampler: “Gone”",
        "Upscaler: “Gone”",
    ]
    assert notes[5:] == ["Not known here and left out: of_tomorrow", "There is no LoRA named 'gone'."]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("steps", "12"), ("steps", True), ("steps", None), ("prompt", 1), ("prompt", None), ("seed", 5)),
        *(("tiling", 1), ("save", "yes"), ("styles", "Ink"), ("emphasis", "Loud"), ("eta", "x"), ("hires", None)),
    ],
)
def test_a_value_of_another_kind_is_left_out(service: FakeService, name: str, value: Any) -> None:
    found, notes = fitting(service, {name: value}, "en")  # type: ignore[arg-type]
    assert found in ({}, {"styles": []}) and len(notes) == 1


def test_all_starting_values_fit_their_own_fields(service: FakeService, store: SettingsStore) -> None:
    values = starting_values(service, store.settings)  # type: ignore[arg-type]
    found, notes = fitting(service, values, "en")  # type: ignore[arg-type]
    assert notes == [] and found == {name: value for name, value in values.items() if name not in NOT_KEPT}


def test_defaults_are_those_of_the_settings_and_the_checkpoint(service: FakeService, store: SettingsStore) -> None:
    store.change({"clip_skip": 2})
    Presets(store.settings.paths.data).save("A", {"clip_skip": 4, "steps": 44})
    Presets(store.settings.paths.data).begin_with("A")
    found, _ = said(service, store, defaults=True)
    assert (found["clip_skip"], found["steps"], found["width"]) == (2, 8, 128)


def test_a_page_opens_with_the_preset_that_was_chosen_for_it(service: FakeService, store: SettingsStore) -> None:
    presets = Presets(store.settings.paths.data)
    presets.save("A", {"clip_skip": 4, "checkpoint": "gone"})
    assert opening_values(service, store, "en")["clip_skip"] == 1  # type: ignore[arg-type]
    presets.begin_with("A")
    values = opening_values(service, store, "en")  # type: ignore[arg-type]
    assert (values["clip_skip"], values["checkpoint"]) == (4, "starter.safetensors")


def test_quiet_values_are_filled_without_a_word(service: FakeService, store: SettingsStore) -> None:
    assert said(service, store, values={"steps": 9}, quiet=True) == ({"steps": 9}, {"quiet": True})
    assert said(service, store, values={"steps": 9}) == ({"steps": 9}, {"notes": []})


def test_values_that_are_none_are_refused(service: FakeService, store: SettingsStore) -> None:
    assert "error" in said(service, store, values=[1])[1]


@pytest.mark.parametrize(
    ("mode", "prompt", "negative", "styles"),
    [
        ("Ignore", "a cat, soft light", "dull, harsh", []),
        ("Apply", "a cat", "dull", ["Soft light"]),
        ("Apply if any", "a cat", "dull", ["Soft light"]),
        ("Discard", "a cat", "dull", None),
    ],
)
def test_styles_are_found_in_a_pictures_prompts_as_the_setting_says(
    service: FakeService, store: SettingsStore, mode: str, prompt: str, negative: str, styles: list[str] | None
) -> None:
    store.change({"infotext_styles": mode})
    found, report = said(service, store, infotext=INFOTEXT)
    assert (found["prompt"], found["negative_prompt"], found.get("styles")) == (prompt, negative, styles)
    assert ("Styles found in the prompts: Soft light" in report["notes"]) == (mode != "Ignore")


@pytest.mark.parametrize(("mode", "styles"), [("Apply", []), ("Apply if any", None), ("Discard", None)])
def test_a_picture_without_styles(
    service: FakeService, store: SettingsStore, mode: str, styles: list[str] | None
) -> None:
    store.change({"infotext_styles": mode})
    found, _ = said(service, store, infotext=INFOTEXT.replace("soft", "hard"))
    assert (found["prompt"], found.get("styles")) == ("a cat, hard light", styles)


@pytest.mark.parametrize("mode", ["Ignore", "Apply", "Apply if any", "Discard"])
def test_styles_that_a_text_names_are_chosen_and_its_prompts_stay(
    service: FakeService, store: SettingsStore, mode: str
) -> None:
    store.change({"infotext_styles": mode})
    found, report = said(service, store, infotext=f"{INFOTEXT}, Styles: {json.dumps(NAMED)}")
    assert (found["prompt"], found["styles"]) == ("a cat, soft light", ["Soft light"])
    assert report["notes"][-1] == "The picture was made with styles that are not here: Oil."


def test_the_styles_of_a_plot_are_left_to_its_axis(service: FakeService, store: SettingsStore) -> None:
    plot = 'Script: X/Y/Z plot, X Type: Styles, X Values: "Soft light, Oil", Y Type: Steps, Y Values: "2, 4"'
    found, report = said(service, store, infotext=f"{INFOTEXT}, {plot}")
    assert (found["prompt"], found["styles"]) == ("a cat", [])
    assert report["script"]["arguments"]["x_values"] == "Soft light, Oil"


def test_a_prompt_alone_leaves_the_other_fields(service: FakeService, store: SettingsStore) -> None:
    assert set(said(service, store, infotext="a cat")[0]) <= {"prompt", "styles"}


def test_a_damaged_file_of_styles_keeps_no_page_from_opening(
    service: FakeService, store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = store.settings.paths.data
    data.mkdir(parents=True)
    (data / "styles.csv").write_bytes(b"\xff\xfe\x00")
    monkeypatch.setattr(service.catalogue, "styles", StyleFiles(data).styles)
    assert menus(service, "en")["styles"] == []  # type: ignore[arg-type]
    assert said(service, store, infotext=INFOTEXT)[0]["prompt"] == "a cat, soft light"
