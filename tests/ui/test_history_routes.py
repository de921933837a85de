"""The history as the page's scripts see it."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.ui.fake_service import FakeService
from webui.imaging.metadata import save_picture
from webui.library.history import History
from webui.ui import history_routes as routes


@pytest.fixture
def history(tmp_path: Path) -> History:
    for number in range(3):
        text = f"apple {number}\nSteps: 20, Sampler: Euler, CFG scale: 7, Seed: {number}, Size: 640x480, Model: starter"
        save_picture(Image.new("RGB", (640, 480), "teal"), tmp_path / "outputs" / f"{number}.png", text)
    history = History(tmp_path / "data" / "history.sqlite", [tmp_path / "outputs"])
    history.rebuild()
    return history


@pytest.fixture
def client(service: FakeService, history: History) -> TestClient:
    service.history = history
    return TestClient(Starlette(routes=routes.history_routes(service)))  # type: ignore[arg-type]


def pictures(client: TestClient, **asked: object) -> list[dict]:
    return client.get("/ui/history", params=asked).json()["pictures"]


def test_pages_tell_everything_but_where_files_lie(client: TestClient, tmp_path: Path) -> None:
    answer = client.get("/ui/history", params={"limit": 2})
    assert len(answer.json()["pictures"]) == 2 and answer.json()["next"]
    assert str(tmp_path) not in answer.text
    rest = pictures(client, start=answer.json()["next"])
    assert sorted(one["seed"] for one in answer.json()["pictures"] + rest) == ["0", "1", "2"]
    assert [one["name"] for one in pictures(client, text="apple 1")] == ["1.png"]
    assert client.get("/ui/history/count", params={"text": "apple"}).json() == {"count": 3}
    assert client.get("/ui/history/choices").json()["checkpoint"] == ["starter"]
    assert client.get("/ui/history", params={"limit": "many"}).status_code == 422


def test_any_place_among_the_pictures_can_be_asked_for(client: TestClient) -> None:
    whole = [one["id"] for one in pictures(client)]
    assert [one["id"] for one in pictures(client, offset=1, limit=1)] == whole[1:2]
    assert pictures(client, offset=3) == []
    assert [one["name"] for one in pictures(client, text="apple", offset=2)] == ["0.png"]


def test_thumbnails_are_small_and_kept(client: TestClient, history: History) -> None:
    one = pictures(client)[0]
    answer = client.get(one["thumbnail"])
    assert Image.open(io.BytesIO(answer.content)).size == (384, 288)
    assert "immutable" in answer.headers["cache-control"]
    Path(history.picture(one["id"])["path"]).write_bytes(b"gone bad")
    assert client.get(one["thumbnail"]).content == answer.content


def test_the_file_itself_comes_whole(client: TestClient, history: History) -> None:
    one = pictures(client)[0]
    assert client.get(one["file"]).content == Path(history.picture(one["id"])["path"]).read_bytes()
    assert client.get("/ui/history/" + "0" * 24 + "/file").status_code == 404


def test_marks(client: TestClient) -> None:
    one = pictures(client)[0]
    assert client.put(f"/ui/history/{one['id']}", json={"favourite": True, "rating": 4}).json()["rating"] == 4
    assert [other["id"] for other in pictures(client, favourites="1")] == [one["id"]]
    assert client.put(f"/ui/history/{one['id']}", json={"rating": "best"}).status_code == 422


def test_several_go_to_the_trash_and_come_back(client: TestClient, tmp_path: Path) -> None:
    ids = [one["id"] for one in pictures(client)[:2]]
    name = client.post("/ui/history/trash", json={"ids": ids}).json()["trash"]
    assert len(pictures(client)) == 1 and len(list((tmp_path / "outputs").iterdir())) == 1
    assert client.post("/ui/history/restore", json={"trash": name}).json() == {"count": 2}
    assert len(pictures(client)) == 3 and len(list((tmp_path / "outputs").iterdir())) == 3
    assert client.post("/ui/history/restore", json={"trash": name}).status_code == 404
    assert client.post("/ui/history/restore", json={"trash": "../../outputs"}).status_code == 404
    assert client.post("/ui/history/trash", json={"ids": []}).status_code == 422


def test_the_trash_tells_what_is_in_it(client: TestClient) -> None:
    assert client.get("/ui/history/trash").json() == {"thrown": []}
    ids = {one["name"]: one["id"] for one in pictures(client)}
    name = client.post("/ui/history/trash", json={"ids": [ids["0.png"], ids["2.png"]]}).json()["trash"]
    (thrown,) = client.get("/ui/history/trash").json()["thrown"]
    assert (thrown["trash"], thrown["count"], sorted(thrown["names"])) == (name, 2, ["0.png", "2.png"])
    client.post("/ui/history/restore", json={"trash": name})
    assert client.get("/ui/history/trash").json() == {"thrown": []}


def test_pictures_that_others_took_away_do_not_stop_what_is_done_with_the_rest(
    client: TestClient, history: History, tmp_path: Path
) -> None:
    ids = {one["name"]: one["id"] for one in pictures(client)}
    Path(history.picture(ids["1.png"])["path"]).unlink()
    answer = client.post("/ui/history/zip", json={"ids": [*ids.values()]})
    assert sorted(zipfile.ZipFile(io.BytesIO(answer.content)).namelist()) == ["0.png", "2.png"]
    Path(history.picture(ids["2.png"])["path"]).unlink()
    assert client.post("/ui/history/trash", json={"ids": [*ids.values()]}).status_code == 200
    assert list((tmp_path / "outputs").iterdir()) == [] and pictures(client) == []
    assert client.post("/ui/history/zip", json={"ids": [*ids.values()]}).status_code == 404


def test_several_come_in_one_zip_file(client: TestClient) -> None:
    found = pictures(client)
    answer = client.post("/ui/history/zip", json={"ids": [one["id"] for one in found]})
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert sorted(archive.namelist()) == ["0.png", "1.png", "2.png"]
        assert archive.testzip() is None


def test_folders_open_only_for_who_sits_at_the_machine(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[Path] = []
    monkeypatch.setattr(routes, "_show_folder", shown.append)
    one = pictures(client)[0]["id"]
    assert client.post(f"/ui/history/{one}/folder").status_code == 422
    here = TestClient(client.app, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 50000))
    assert here.post(f"/ui/history/{one}/folder", headers={"X-Forwarded-For": "1.2.3.4"}).status_code == 422
    assert shown == []
    assert here.post(f"/ui/history/{one}/folder").json() == {"opened": True}
    assert [path.name for path in shown] == ["outputs"]
