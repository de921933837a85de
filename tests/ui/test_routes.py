"""The page's own small routes, asked directly."""

from __future__ import annotations

import io
import time

import pytest
from PIL import Image
from starlette.applications import Starlette
from starlette.testclient import TestClient

from tests.imaging.pictures import SIZE, difference, drawing, turned
from tests.ui.fake_service import FakeService
from webui.request import GenerationRequest, Pass
from webui.ui import routes


@pytest.fixture
def client(service: FakeService) -> TestClient:
    """A client of the routes alone."""
    return TestClient(Starlette(routes=list(routes.page_routes(service))))  # type: ignore[arg-type]


def small(**changes: object) -> GenerationRequest:
    """A request that is done in a moment."""
    return GenerationRequest(prompt="apple", passes=(Pass(steps=2, width=64, height=64),), **changes)  # type: ignore[arg-type]


def png(size: tuple[int, int]) -> bytes:
    """A small picture's file."""
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, "PNG")
    return file.getvalue()


def finished(client: TestClient, job_id: str) -> dict:
    """The job's JSON once it is over."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        view = client.get(f"/ui/jobs/{job_id}").json()
        if view["state"] not in ("waiting", "running"):
            return view
        time.sleep(0.01)
    raise AssertionError("the job did not end")


def test_what_browsers_cannot_show_is_given_back_as_png_and_sizes_are_as_shown(client):
    data = turned(6, "TIFF")
    said = client.post("/ui/uploads", content=data).json()
    assert (said["width"], said["height"]) == SIZE
    answer = client.get(f"/ui/uploads/{said['id'].removeprefix('blob:')}")
    assert answer.headers["content-type"] == "image/png"
    assert difference(Image.open(io.BytesIO(answer.content)), drawing()) == 0
    said = client.post("/ui/uploads", content=turned(6, "JPEG")).json()
    assert (said["width"], said["height"]) == SIZE


def test_a_job_tells_its_pictures_and_sends_them(client: TestClient, service: FakeService) -> None:
    view = finished(client, service.submit(small(seed=5, batch_size=2)))
    assert [picture["seed"] for picture in view["pictures"]] == ["5", "6"]
    answer = client.get(f"/ui/jobs/{view['id']}/pictures/1")
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.content.startswith(b"\x89PNG")


def test_only_pictures_that_the_page_does_not_have_are_told(client: TestClient, service: FakeService) -> None:
    job_id = finished(client, service.submit(small(batch_size=2)))["id"]
    assert [p["index"] for p in client.get(f"/ui/jobs/{job_id}?have=1").json()["pictures"]] == [1]
    assert len(client.get(f"/ui/jobs/{job_id}?have=x").json()["pictures"]) == 2


def test_a_running_job_shows_a_preview(client: TestClient, service: FakeService) -> None:
    service.step_seconds = 0.1
    job_id = service.submit(GenerationRequest(passes=(Pass(steps=1000, width=64, height=64),)))
    end = time.monotonic() + 120
    while not client.get(f"/ui/jobs/{job_id}").json()["preview"] and time.monotonic() < end:
        time.sleep(0.01)
    answer = client.get(f"/ui/jobs/{job_id}/preview")
    service.interrupt(job_id)
    assert answer.headers["content-type"] == "image/jpeg"
    assert answer.content.startswith(b"\xff\xd8")


def test_a_job_without_a_preview_sends_nothing(client: TestClient, service: FakeService) -> None:
    job_id = finished(client, service.submit(small()))["id"]
    assert client.get(f"/ui/jobs/{job_id}/preview").status_code == 204


@pytest.mark.parametrize("path", ["jobs/nobody", "jobs/nobody/preview", "jobs/nobody/pictures/0"])
def test_an_unknown_job_is_not_there(client: TestClient, path: str) -> None:
    answer = client.get(f"/ui/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["found"]


def test_a_picture_that_was_deleted_is_not_there(client: TestClient, service: FakeService) -> None:
    job_id = finished(client, service.submit(small()))["id"]
    for file in (service.folder / "outputs").glob("*.png"):
        file.unlink()
    assert client.get(f"/ui/jobs/{job_id}/pictures/0").status_code == 404


def test_a_job_can_be_interrupted(client: TestClient, service: FakeService) -> None:
    service.step_seconds = 0.1
    job_id = service.submit(GenerationRequest(passes=(Pass(steps=1000, width=64, height=64),)))
    assert client.post(f"/ui/jobs/{job_id}/interrupt").json() == {"done": True}
    assert finished(client, job_id)["state"] == "cancelled"


def test_nothing_but_the_three_wishes_is_carried_out(client: TestClient, service: FakeService) -> None:
    job_id = finished(client, service.submit(small()))["id"]
    assert client.post(f"/ui/jobs/{job_id}/submit").status_code == 404
    assert client.get(f"/ui/jobs/{job_id}/interrupt").status_code == 405


def test_tokens_are_counted_as_the_text_encoder_reads_them(client: TestClient) -> None:
    long = ", ".join(["apple"] * 40)
    answer = client.post("/ui/tokens", json={"texts": ["a red apple", "", long, "a (red:1.3) apple <lora:x:1>"]})
    assert answer.json()["counts"] == [[3, 75], [0, 75], [79, 150], [3, 75]]


def test_a_name_of_an_embedding_counts_as_its_vectors(client: TestClient, service: FakeService, monkeypatch) -> None:
    asked = []

    def counts(text: str, catalogue: object, checkpoint: str | None) -> dict[str, int]:
        asked.append((text, catalogue, checkpoint))
        return {"grainy": 16}

    monkeypatch.setattr(routes, "vector_counts", counts)
    answer = client.post("/ui/tokens", json={"texts": ["a grainy apple"], "checkpoint": "portrait"})
    assert answer.json() == {"counts": [[18, 75]]}
    assert asked == [("a grainy apple", service.catalogue, "portrait")]


@pytest.mark.parametrize("body", [b"", b"[]", b'{"texts": "a"}', b'{"texts": [1]}', b"[" * 100_000, b"\xff"])
def test_a_body_that_is_no_list_of_texts_is_refused(client: TestClient, body: bytes) -> None:
    assert client.post("/ui/tokens", content=body).status_code == 422


def test_a_pictures_settings_are_read(client: TestClient, service: FakeService) -> None:
    view = finished(client, service.submit(small()))
    picture = client.get(f"/ui/jobs/{view['id']}/pictures/0").content
    assert client.post("/ui/settings", content=picture).json()["infotext"] == view["pictures"][0]["infotext"]


def test_a_file_that_is_no_picture_is_told_in_words(client: TestClient) -> None:
    answer = client.post("/ui/settings", content=b"no picture")
    assert answer.status_code == 422
    assert answer.json()["error"]["found"]


def test_a_body_over_the_limit_is_refused(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "TEXT_BYTES", 100)
    assert client.post("/ui/tokens", json={"texts": ["a" * 200]}).status_code == 422


def test_an_uploaded_picture_gets_a_name_and_can_be_seen_again(client, service) -> None:
    data = png((40, 24))
    answer = client.post("/ui/uploads", content=data)
    assert (answer.json()["width"], answer.json()["height"]) == (40, 24)
    assert service.blobs.get(answer.json()["id"]) == data
    again = client.get(f"/ui/uploads/{answer.json()['id'].removeprefix('blob:')}")
    assert (again.content, again.headers["content-type"]) == (data, "image/png")


@pytest.mark.parametrize("data", [b"", b"<svg/>", b"GIF89a"])
def test_what_is_no_picture_is_not_kept(client, service, data: bytes) -> None:
    answer = client.post("/ui/uploads", content=data)
    assert answer.status_code >= 400 and "picture" in answer.json()["error"]["found"]
    assert not service.blobs.folder.exists()


def test_a_picture_that_is_cut_off_in_its_pixels_is_refused_and_not_kept(client, service) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "JPEG")
    answer = client.post("/ui/uploads", content=buffer.getvalue()[:-200])
    assert answer.status_code == 422 and "damaged" in answer.json()["error"]["found"]
    assert not service.blobs.folder.exists()


def test_an_upload_that_is_gone_or_has_no_name_is_not_found(client) -> None:
    assert client.get("/ui/uploads/" + "0" * 64).status_code == 404
    assert client.get("/ui/uploads/..%2Fqueue.sqlite").status_code == 404


def test_a_task_is_queued_with_its_values_for_whoever_asks(client, service, monkeypatch) -> None:
    told: list[tuple] = []
    submit = lambda *told_, priority: told.append((*told_, priority)) or "abc"  # noqa: E731
    monkeypatch.setattr(service, "submit_task", submit, raising=False)
    assert client.post("/ui/tasks/extras", json={"scale": 2}).json() == {"job": "abc"}
    here = TestClient(client.app, base_url="http://127.0.0.1:7860", client=("127.0.0.1", 5))
    assert here.post("/ui/tasks/extras", json={"scale": 2}).json() == {"job": "abc"}
    assert told == [("extras", {"scale": 2}, "testclient", 0), ("extras", {"scale": 2}, "127.0.0.1", 1)]
    assert client.post("/ui/tasks/extras", content=b"[1]").status_code == 422
    assert client.post("/ui/tasks/extras", content=b"{").status_code == 422
