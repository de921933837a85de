"""Styles and presets over the page's own routes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.ui.fake_service import FakeService
from webui.errors import InvalidRequest, NotFound
from webui.settings import SettingsStore
from webui.ui.fields import NAMES, default_values
from webui.ui.presets import FILE, NOT_KEPT, Presets
from webui.ui.settings_routes import settings_routes


@pytest.fixture
def client(service: FakeService, store: SettingsStore) -> TestClient:
    return TestClient(Starlette(routes=settings_routes(service, store, store.change)))


@pytest.fixture
def presets(tmp_path: Path) -> Presets:
    return Presets(tmp_path)


# Styles


def test_a_style_is_made_changed_renamed_and_deleted(client: TestClient, store: SettingsStore) -> None:
    assert client.get("/ui/styles").json() == {"styles": [], "problem": None}
    made = client.put("/ui/styles", json={"name": " Ink ", "prompt": "ink, {prompt}", "negative_prompt": "photo"})
    entry = {"name": "Ink", "prompt": "ink, {prompt}", "negative_prompt": "photo", "source": "styles.csv"}
    assert made.json()["styles"] == [entry]
    client.put("/ui/styles", json={"name": "Wash", "prompt": "wash", "was": "Ink"})
    expected = {"name": "Wash", "prompt": "wash", "negative_prompt": "", "source": "styles.csv"}
    assert client.get("/ui/styles").json()["styles"] == [expected]
    assert client.delete("/ui/styles", params={"name": "Wash"}).json()["styles"] == []
    assert client.delete("/ui/styles", params={"name": "Wash"}).status_code == 404


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 1}, {"name": "A", "prompt": ["x"]}, {"name": "A\nB"}])
def test_a_style_that_cannot_be_is_refused(client: TestClient, body: dict) -> None:
    assert client.put("/ui/styles", json=body).status_code == 422
    assert client.get("/ui/styles").json()["styles"] == []


def test_styles_are_worked_into_the_prompts(client: TestClient) -> None:
    client.put("/ui/styles", json={"name": "Ink", "prompt": "ink of {prompt}", "negative_prompt": "photo"})
    body = {"prompt": "a cat", "negative_prompt": "", "styles": ["Ink"]}
    assert client.post("/ui/styles/apply", json=body).json() == {"prompt": "ink of a cat", "negative_prompt": "photo"}
    assert client.post("/ui/styles/apply", json={**body, "styles": ["Oil"]}).status_code == 422
    assert client.post("/ui/styles/apply", json={**body, "styles": "Ink"}).status_code == 422


def test_a_file_of_styles_is_imported_and_others_are_told_from_it(client: TestClient) -> None:
    client.put("/ui/styles", json={"name": "Ink", "prompt": "mine"})
    answer = client.post("/ui/styles/import", content=b"name,prompt,negative_prompt\nInk,theirs,\nOil,oil,\n").json()
    assert (answer["added"], answer["kept"]) == (["Oil"], ["Ink"]) and len(answer["styles"]) == 2
    wrong = client.post("/ui/styles/import", content=b"\x89PNG\r\n")
    assert wrong.status_code == 422 and "cannot be read" in wrong.json()["error"]["found"]


def test_a_damaged_file_of_styles_is_told_where_styles_are_edited(client: TestClient, store: SettingsStore) -> None:
    store.settings.paths.data.mkdir(parents=True)
    (store.settings.paths.data / "styles.csv").write_bytes("name,prompt\nété,été\n".encode("latin-1"))
    answer = client.get("/ui/styles").json()
    assert answer["styles"] == [] and "styles.csv cannot be read" in answer["problem"]


# Presets


def test_a_preset_keeps_every_field_but_mode_and_pictures(client: TestClient, store: SettingsStore) -> None:
    values = default_values() | {"prompt": "a cat", "source_image": "blob:abc", "mode": "inpaint"}
    answer = client.put("/ui/presets", json={"name": " Cats ", "values": values}).json()
    assert answer == {"presets": ["Cats"], "start": None, "problem": None}
    kept = Presets(store.settings.paths.data).find("Cats")
    assert set(kept) == set(NAMES) - set(NOT_KEPT) and kept["prompt"] == "a cat"


def test_presets_are_deleted_and_one_of_them_begins(client: TestClient) -> None:
    for name in ("B", "A"):
        client.put("/ui/presets", json={"name": name, "values": {"steps": 7}})
    assert client.put("/ui/presets/start", json={"name": "A"}).json() == {
        "presets": ["A", "B"],
        "start": "A",
        "problem": None,
    }
    assert client.put("/ui/presets/start", json={"name": "C"}).status_code == 404
    assert client.delete("/ui/presets", params={"name": "A"}).json()["start"] is None
    assert client.delete("/ui/presets", params={"name": "A"}).status_code == 404
    assert client.put("/ui/presets/start", json={"name": None}).json()["presets"] == ["B"]


def test_a_preset_gets_another_name_that_is_free(client: TestClient) -> None:
    for name in ("A", "B"):
        client.put("/ui/presets", json={"name": name, "values": {"prompt": name}})
    client.put("/ui/presets/start", json={"name": "A"})
    answer = client.put("/ui/presets/name", json={"name": "A", "to": " 水墨　一 "}).json()
    assert answer == {"presets": ["B", "水墨　一"], "start": "水墨　一", "problem": None}
    taken = client.put("/ui/presets/name", json={"name": "B", "to": "水墨　一"})
    assert taken.status_code == 422 and "already" in taken.json()["error"]["found"]
    assert client.put("/ui/presets/name", json={"name": "A", "to": "C"}).status_code == 404
    assert client.put("/ui/presets/name", json={"name": "B", "to": " "}).status_code == 422
    assert client.get("/ui/presets").json() == answer


@pytest.mark.parametrize(("name", "values"), [
    ("", {"steps": 1}), ("a\nb", {"steps": 1}), ("x" * 101, {"steps": 1}), ("A", {}), ("A", {"unknown": 1}),
    ("A", {"prompt": {"deep": 1}}), ("A", {"styles": [["x"]]}), ("A", {"prompt": "\ud800"}),
    ("A", {"prompt": "x" * 100_001}),
])  # fmt: skip
def test_what_is_no_preset_is_not_kept(presets: Presets, name: str, values: dict) -> None:
    with pytest.raises(InvalidRequest):
        presets.save(name, values)
    assert not presets.file.exists()


def test_the_file_of_presets_tells_its_version(presets: Presets) -> None:
    presets.save("A", {"steps": 3})
    stored = json.loads(presets.file.read_text("utf-8"))
    assert stored == {"version": 1, "start": None, "presets": {"A": {"steps": 3}}}


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"version": 2, "presets": {}}', '{"version": 1, "presets": {"A": 1}}']
)
def test_a_file_that_cannot_be_read_is_told_and_put_aside_by_the_next_change(presets: Presets, text: str) -> None:
    presets.file.write_text(text, "utf-8")
    assert "cannot be read" in str(presets.read().problem) and presets.starting() == {}
    presets.save("A", {"steps": 3})
    (aside,) = presets.file.parent.glob(f"{FILE}.damaged-*")
    assert aside.read_text("utf-8") == text and list(presets.read().values) == ["A"]


def test_a_preset_to_begin_with_that_is_gone_is_none(presets: Presets) -> None:
    presets.file.write_text('{"version": 1, "start": "gone", "presets": {}}', "utf-8")
    assert presets.read().start is None
    with pytest.raises(NotFound):
        presets.find("gone")
