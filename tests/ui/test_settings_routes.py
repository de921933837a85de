"""Settings over the page's own routes: what they take, changes, the way back."""

from __future__ import annotations

import json

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.ui.fake_service import FakeService
from webui.settings import SETTINGS, SettingsStore
from webui.ui.assets import PAGE_SETTINGS, defaults
from webui.ui.language import languages
from webui.ui.settings_routes import settings_routes


@pytest.fixture
def client(service: FakeService, store: SettingsStore) -> TestClient:
    return TestClient(Starlette(routes=settings_routes(service, store, store.change)))


def test_every_setting_is_told_with_what_it_takes(client: TestClient, store: SettingsStore) -> None:
    body = client.get("/ui/options").json()
    assert [one["name"] for one in body["settings"]] == SETTINGS.names()
    quality = next(one for one in body["settings"] if one["name"] == "quality")
    same = {"name": "quality", "alias": "jpeg_quality", "kind": "int", "section": "saving", "value": 90, "default": 90}
    assert quality == same | {"low": 1, "high": 100, "choices": [], "locked": False, "restart": False}
    assert body["menus"]["checkpoint"][0][1] == "starter.safetensors"
    assert body["file"] == store.settings.paths.settings_file.name and body["problem"] is None


@pytest.mark.parametrize("language", languages())
def test_every_setting_section_and_choice_is_named_and_explained(language: str) -> None:
    texts = languages()[language]
    named = {key for entry in SETTINGS for key in (entry.value.label_key, entry.value.info_key)}
    assert (named | {f"section.{entry.value.section}" for entry in SETTINGS}) - texts.keys() == set()


def test_a_change_counts_at_once_and_is_stored(client: TestClient, store: SettingsStore) -> None:
    answer = client.put("/ui/options", json={"quality": 50, "jpeg_quality": 51}).json()
    assert answer["values"]["quality"] == 51 == store.settings["quality"] and answer["fields"] == {}
    assert json.loads(store.settings.paths.settings_file.read_text("utf-8"))["values"] == {"quality": 51}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"quality": 101}, "quality is 101. It must be from 1 to 100."),
        ({"quality": 50, "emphasis": "Loud"}, "Choices: None, Ignore"),
        ({"quality": 50, "no_such_setting": 1}, "There is no setting named"),
        ({"quality": 50, "folder_txt2img": "../../etc"}, "a folder inside the outputs folder"),
        ({"quality": 50, "checkpoint": "nowhere"}, "There is no model named"),
        ({"quality": 50, "quick_settings": ["vae", "nothing"]}, "There is no setting named"),
        ({"quality": 50, "quick_settings": "vae"}, "no list"),
        ({"quality": 50, "model_folders": {"lora": "/"}}, "can be changed in"),
    ],
)
def test_what_does_not_fit_is_told_in_words_and_changes_nothing(
    client: TestClient, store: SettingsStore, changes: dict, words: str
) -> None:
    answer = client.put("/ui/options", json=changes)
    assert 400 <= answer.status_code < 500
    assert words in " ".join(answer.json()["error"].values())
    assert store.settings.values == {}


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b'{"quality": NaN}', b'{"name_pattern": "\\ud800"}'])
def test_a_body_that_is_no_change_is_refused(client: TestClient, store: SettingsStore, body: bytes) -> None:
    assert client.put("/ui/options", content=body).status_code == 422
    assert store.settings.values == {}


def test_fields_that_show_a_setting_follow_its_change(client: TestClient) -> None:
    changes = {"clip_skip": 2, "emphasis": "No norm", "save_pictures": False, "s_tmax": 5, "quality": 70}
    fields = client.put("/ui/options", json=changes).json()["fields"]
    assert fields == {"clip_skip": 2, "emphasis": "No norm", "save": False, "s_tmax": 5.0}
    assert client.put("/ui/options", json=changes).json()["fields"] == {}


def test_another_checkpoint_brings_its_own_size_and_name(client: TestClient, store: SettingsStore) -> None:
    fields = client.put("/ui/options", json={"checkpoint": "painter-xl"}).json()["fields"]
    assert fields == {"checkpoint": "painter-xl.safetensors", "width": 1024, "height": 1024}
    assert store.settings["checkpoint"] == "painter-xl.safetensors"


def test_settings_go_back_alone_or_by_section(client: TestClient, store: SettingsStore) -> None:
    store.change({"quality": 10, "save_grids": True, "clip_skip": 3})
    assert client.post("/ui/options/reset", json={"names": ["quality"]}).json()["values"]["quality"] == 90
    assert store.settings.values == {"save_grids": True, "clip_skip": 3}
    assert client.post("/ui/options/reset", json={"section": "model"}).json()["fields"] == {"clip_skip": 1}
    assert store.settings.values == {"save_grids": True}


def test_everything_can_go_back_at_once(client: TestClient, store: SettingsStore) -> None:
    store.change({"quick_settings": ["vae"], "disabled_extensions": ["x"], "vae_choices": {"a": "b"}, "quality": 1})
    names = [entry.name for entry in SETTINGS if not entry.value.by_hand]
    assert client.post("/ui/options/reset", json={"names": names}).status_code == 200
    assert store.settings.values == {}


@pytest.mark.parametrize("wanted", [{}, {"names": []}, {"names": "quality"}, {"section": "nowhere"}, {"names": [1]}])
def test_a_way_back_for_nothing_is_refused(client: TestClient, wanted: dict) -> None:
    assert client.post("/ui/options/reset", json=wanted).status_code == 422


def test_a_section_with_a_setting_of_the_file_alone_leaves_that_one(client: TestClient, store: SettingsStore) -> None:
    file = store.settings.paths.settings_file
    file.parent.mkdir(parents=True, exist_ok=True)
    values = {"model_folders": {"lora": "/models/more"}, "clip_skip": 2}
    file.write_text(json.dumps({"version": 1, "values": values}), "utf-8")
    kept = SettingsStore(store.settings.paths)
    client = TestClient(Starlette(routes=settings_routes(FakeService(file.parent), kept, kept.change)))  # type: ignore[arg-type]
    assert client.post("/ui/options/reset", json={"section": "model"}).status_code == 200
    assert kept.settings.values == {"model_folders": {"lora": "/models/more"}}


def test_an_opening_page_learns_its_settings_and_its_bar(client: TestClient, store: SettingsStore) -> None:
    assert client.get("/ui/options/page").json()["quick"] == []
    store.change({"theme": "dark", "quick_settings": ["vae", "save_grids", "gone_since", "emphasis"]})
    page = client.get("/ui/options/page").json()
    assert [one["name"] for one in page["quick"]] == ["save_grids", "emphasis"]
    assert page["hidden"] == ["checkpoint", "clip_skip"] and page["values"]["theme"] == "dark"
    assert page["values"].keys() == set(PAGE_SETTINGS) <= defaults(store.settings).keys()


def test_names_of_the_bar_are_ours_and_each_once(client: TestClient, store: SettingsStore) -> None:
    client.put("/ui/options", json={"quick_settings": ["sd_vae", "vae", "grid_save"]})
    assert store.settings["quick_settings"] == ("vae", "save_grids")
