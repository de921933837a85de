"""/api/v1: jobs from request to picture, events, lists, errors, and what belongs to whom."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import io
import json

import httpx
import pytest
from PIL import Image

from tests.api.started import server
from webui.api.native import events, jobs
from webui.errors import InvalidRequest
from webui.families import ModelFacts
from webui.families.base import Defaults
from webui.request import GenerationRequest, Pass, from_dict
from webui.workers.service import JobService


def png(size=(64, 64), colour="red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def submitted(client, request=None, **more) -> str:
    plain = {"prompt": "a red apple", "passes": [{"steps": 2, "width": 64, "height": 64}]}
    answer = client.post("/api/v1/jobs", json={"request": plain if request is None else request, **more})
    assert answer.status_code == 202, answer.text
    return answer.json()["id"]


def over(house, job_id: str) -> dict:
    assert house.service.wait(job_id, 120).over
    return house.client.get(f"/api/v1/jobs/{job_id}").json()


def told(text: str) -> list[tuple[str, dict]]:
    """Names and data of the events in a stream's text."""
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.partition(": ")[::2] for line in block.splitlines() if not line.startswith(":"))
        if "event" in lines:
            found.append((lines["event"], json.loads(lines["data"])))
    return found


def test_a_request_becomes_a_job_whose_picture_can_be_fetched(house, client):
    answer = client.post("/api/v1/jobs", json={"request": {"prompt": "a red apple", "seed": 7}})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    job = over(house, answer.json()["id"])
    assert (job["state"], job["progress"], job["task"], job["error"]) == ("done", 1.0, "generate", None)
    [picture] = job["pictures"]
    file = client.get(picture["url"])
    assert file.headers["content-type"] == "image/png" and picture["seed"] == 7
    assert Image.open(io.BytesIO(file.content)).text["parameters"] == picture["infotext"]
    assert picture["name"] in file.headers["content-disposition"]


def test_a_complete_request_is_taken_as_it_is(house, client):
    request = GenerationRequest("x", checkpoint="second", seed=3, passes=(Pass(width=96, height=64, steps=1),))
    job = over(house, submitted(client, dataclasses.asdict(request)))
    assert from_dict(job["request"]) == request


def test_what_a_request_leaves_out_is_as_the_checkpoint_likes_it(house, client, monkeypatch):
    habits = Defaults(steps=4, sampler="Euler", schedule="Karras", guidance_scale=1.5)
    known = ModelFacts("sd1", "", "text", "epsilon", False, 128, None, 4, 768, 0, (), defaults=habits)  # type: ignore[arg-type]
    monkeypatch.setattr(house.catalogue, "facts", lambda file: known)
    step = from_dict(over(house, submitted(client, {"prompt": "x"}))["request"]).passes[0]
    assert (step.width, step.height, step.steps, step.sampler, step.guidance.scale) == (128, 128, 4, "Euler", 1.5)
    own = {"passes": [{"width": 64, "steps": 2, "guidance": {"rescale": 0.5}}]}
    step = from_dict(over(house, submitted(client, own))["request"]).passes[0]
    assert (step.width, step.height, step.steps) == (64, 64, 2)
    assert (step.guidance.scale, step.guidance.rescale) == (1.5, 0.5)


def test_settings_of_one_job_leave_the_others_alone(house, client):
    request = {"prompt": "x", "save": False, "passes": [{"steps": 1, "width": 64, "height": 64}]}
    job = over(house, submitted(client, request, settings={"samples_format": "webp"}))
    assert job["pictures"][0]["name"].endswith(".webp") and house.store.settings["picture_format"] == "png"
    assert client.get(job["pictures"][0]["url"]).headers["content-type"] == "image/webp"


def test_an_uploaded_picture_is_where_a_job_starts(house, client):
    data = png((96, 64))
    uploaded = client.post("/api/v1/pictures", content=data)
    assert uploaded.status_code == 201 and (uploaded.json()["width"], uploaded.json()["height"]) == (96, 64)
    name = uploaded.json()["name"]
    job = over(house, submitted(client, {"passes": [{"source": "image", "image": name, "steps": 1}]}))
    assert job["tab"] == "img2img" and job["request"]["passes"][0]["image"] == name
    assert [(one["width"], one["height"]) for one in job["pictures"]] == [(96, 64)]
    assert job["notes"] == [f"a picture of {len(base64.b64encode(data))} characters"]
    form = client.post("/api/v1/pictures", files={"file": ("a.png", data, "image/png")})
    assert form.json()["name"] == name


def test_a_picture_that_is_cut_off_is_refused_where_it_is_sent(client):
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 90).save(buffer, "PNG")
    cut = buffer.getvalue()[:-100]
    step = {"source": "image", "image": base64.b64encode(cut).decode()}
    for answer in (
        client.post("/api/v1/pictures", content=cut),
        client.post("/api/v1/jobs", json={"request": {"passes": [step]}}),
        client.post("/sdapi/v1/img2img", json={"init_images": [step["image"]]}),
    ):
        assert answer.status_code == 422 and "damaged" in answer.text


def test_a_task_enlarges_a_picture(house, client):
    values = {
        "images": [base64.b64encode(png()).decode()],
        "options": {"upscaler": "Lanczos", "scale": 2.0, "mode": "by"},
    }
    answer = client.post("/api/v1/tasks/extras", json=values)
    assert answer.status_code == 202
    job = over(house, answer.json()["id"])
    assert (job["task"], job["request"], job["pictures"][0]["width"]) == ("extras", None, 128)
    assert job["values"]["options"]["upscaler"] == "Lanczos"


@pytest.mark.parametrize(
    ("path", "body", "status", "type"),
    [
        ("jobs", {"request": {"promt": "x"}}, 422, "InvalidRequest"),
        ("jobs", {"request": "x"}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": []}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": [{"steps": 0}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": [{"refiner": {}}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": [{"guidance": []}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"checkpoint": "zzz-unknown"}}, 404, "NotFound"),
        ("jobs", {"request": {"passes": [{"source": "image", "image": "bm8="}]}}, 422, "DamagedFile"),
        ("jobs", {"request": {"passes": [{"source": "image", "image": "blob:" + "0" * 64}]}}, 404, "NotFound"),
        ("jobs", {"request": {"styles": ["zzz"]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"vae": "zzz-unknown"}}, 404, "NotFound"),
        ("jobs", {"request": {"passes": [{"checkpoint": "zzz-unknown"}]}}, 404, "NotFound"),
        ("jobs", {"request": {"passes": [{"refiner": {"checkpoint": "zzz-unknown"}}]}}, 404, "NotFound"),
        ("jobs", {"request": {"passes": [{}, {"source": "previous", "upscaler": "zzz"}]}}, 404, "NotFound"),
        ("jobs", {"request": {"passes": [{}, {"source": "previous", "sampler": "zzz"}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": [{"sampler": "zzz Karras"}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {"passes": [{"schedule": "zzz"}]}}, 422, "InvalidRequest"),
        ("jobs", {"request": {}, "settings": {"no_such": 1}}, 422, "SettingsError"),
        ("jobs", {"request": {}, "settings": {"model_folders": {}}}, 422, "SettingsError"),
        ("jobs", {}, 422, "RequestValidationError"),
        ("jobs", {"request": {}, "setings": {}}, 422, "RequestValidationError"),
        ("tasks/nothing", {}, 422, "InvalidRequest"),
        ("tasks/extras", {"folder": "/etc"}, 422, "InvalidRequest"),
        ("tasks/script", {"script": "Batch from a folder"}, 422, "InvalidRequest"),
        ("pictures", {"image": "bm8="}, 422, "DamagedFile"),
        ("nothing", {}, 404, "HTTPException"),
    ],
)
def test_what_is_wrong_is_said_in_one_form(client, path, body, status, type):
    answer = client.post(f"/api/v1/{path}", json=body)
    assert answer.status_code == status, answer.text
    error = answer.json()["error"]
    assert error["type"] == type and error["found"] and set(error) == {"type", "found", "wanted", "remedy"}


def test_a_wrong_name_is_refused_with_the_known_ones(client):
    def wanted(**step) -> str:
        answer = client.post("/api/v1/jobs", json={"request": {"passes": [step]}})
        assert answer.status_code == 422
        return answer.json()["error"]["wanted"]

    assert wanted(sampler="DPM+ 2M") == "Known: Euler a, DPM++ 2M, Euler."
    assert wanted(schedule="Karas") == "Known: Automatic, Karras."


def test_other_spellings_of_names_are_let_in_and_joined_ones(house, client):
    for step in ({"sampler": "k_euler_a"}, {"sampler": "dpm++ 2m karras"}, {"sampler": "Euler", "schedule": "KARRAS"}):
        submitted(client, {"passes": [{"steps": 1, "width": 64, "height": 64, **step}]})


def test_names_are_left_to_the_job_while_the_worker_has_not_told_them(house, client, monkeypatch):
    monkeypatch.setattr(house.service, "names", lambda kind, timeout=30.0: [])
    submitted(client, {"passes": [{"sampler": "of an extension", "steps": 1, "width": 64, "height": 64}]})


def test_a_failed_job_says_why(house, client):
    job = over(house, submitted(client, {"prompt": "wrong"}))
    assert (job["state"], job["error"]["type"]) == ("failed", "InvalidRequest")
    assert "no sampler" in job["error"]["found"]


def test_a_running_job_is_cancelled(house, client):
    job_id = submitted(client, {"prompt": "x", "passes": [{"steps": 1000}]})
    assert client.delete(f"/api/v1/jobs/{job_id}").status_code == 200
    assert over(house, job_id)["state"] == "cancelled"
    assert client.delete(f"/api/v1/jobs/{job_id}").json()["state"] == "cancelled"
    assert client.post(f"/api/v1/jobs/{job_id}/skip").json() == {"done": False}
    assert client.delete("/api/v1/jobs/unknown").status_code == 404


def test_jobs_are_listed_newest_first(house, client):
    ids = [submitted(client) for _ in range(2)]
    for one in ids:
        house.service.wait(one, 120)
    assert [job["id"] for job in client.get("/api/v1/jobs?limit=2").json()] == ids[::-1]
    assert client.get("/api/v1/jobs?limit=0").status_code == 422


# Events ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def follow(house, client, monkeypatch):
    """Follows a job from before its beginning: another one is in its way until somebody listens. A job that is held
    goes on when it has been told where it is held."""
    watched, news = events.watched, events._news

    def telling(known, seen, root, previews):
        yield from news(known, seen, root, previews)
        if seen.state == "running" and seen.batch == seen.batches // 2 and 2 * seen.step == seen.steps and seen.preview:
            house.service.stop_after(seen.id)

    def followed(request: dict, query: str = "") -> list[tuple[str, dict]]:
        blocker = submitted(client, {"prompt": "in the way", "passes": [{"steps": 1000}]})

        @contextlib.contextmanager
        def listening(service, job_id):
            with watched(service, job_id) as changed:
                service.interrupt(blocker)
                yield changed

        monkeypatch.setattr(events, "watched", listening)
        monkeypatch.setattr(events, "_news", telling)
        return told(client.get(f"/api/v1/jobs/{submitted(client, request)}/events{query}").text)

    return followed


def test_a_job_is_followed_to_its_end(follow):
    seen = follow({"prompt": "held", "count": 2, "passes": [{"steps": 20, "width": 64, "height": 64}]})
    names = [name for name, _ in seen]
    assert names[0] == "state" and names[-1] == "done" and {"progress", "preview"} <= set(names)
    started = len(seen[0][1]["pictures"])
    assert [data["index"] for name, data in seen if name == "picture"] == list(range(started, 2))
    shares = [data["progress"] for name, data in seen if name == "progress"]
    assert shares == sorted(shares)
    assert len(seen[-1][1]["pictures"]) == 2 and seen[-1][1]["state"] == "done"


def test_a_waiting_job_learns_of_its_place(house, client, monkeypatch):
    monkeypatch.setattr(events, "PLACE_SECONDS", 0.05)
    for job in house.service.jobs():
        over(house, job.id)
    ahead = [submitted(client, {"prompt": "x", "passes": [{"steps": 1000}]}) for _ in "ab"]
    news = events._news

    def telling(known, seen, root, previews):
        if seen.position:
            house.service.interrupt(ahead[0] if seen.position > 1 else ahead[1])
        yield from news(known, seen, root, previews)

    monkeypatch.setattr(events, "_news", telling)
    text = client.get(f"/api/v1/jobs/{submitted(client)}/events").text
    places = [data["position"] for name, data in told(text) if name in ("state", "progress")]
    assert places[:2] == [2, 1]


@pytest.mark.parametrize(
    ("wanted", "beginning"), [("url", "/api/v1/jobs/"), ("data", "data:image/jpeg;base64,"), ("none", None)]
)
def test_previews_come_as_addresses_as_data_or_not_at_all(follow, wanted, beginning):
    seen = follow({"prompt": "held", "passes": [{"steps": 20, "width": 64, "height": 64}]}, f"?previews={wanted}")
    found = [data["url"] for name, data in seen if name == "preview"]
    assert bool(found) is (beginning is not None)
    assert all(url.startswith(beginning) for url in found)


def test_whoever_comes_late_is_told_everything_and_a_browser_that_returns_is_sent_away(house, client):
    job_id = submitted(client, {"prompt": "memory"})
    house.service.wait(job_id, 120)
    path = f"/api/v1/jobs/{job_id}/events"
    seen = told(client.get(path).text)
    assert [name for name, _ in seen] == ["state", "failed"]
    assert seen[-1][1]["error"]["type"] == "OutOfMemory"
    assert client.get(path, headers={"Last-Event-ID": "end"}).status_code == 204
    assert client.get("/api/v1/jobs/unknown/events").status_code == 404


def test_not_more_are_followed_than_there_is_room_for(client, monkeypatch):
    monkeypatch.setattr(jobs, "MOST_STREAMS", 0)
    answer = client.get(f"/api/v1/jobs/{submitted(client)}/events")
    assert answer.status_code == 429 and answer.headers["retry-after"]


# Belonging -------------------------------------------------------------------------------------------------------


def test_another_clients_job_is_as_if_it_were_not_there(house, client):
    theirs = house.service.submit(GenerationRequest("secret", passes=(Pass(steps=1, width=64, height=64),)), "ann")
    house.service.wait(theirs, 120)
    mine = submitted(client)
    house.service.wait(mine, 120)
    asker = _as(house, "bob", "user")
    for method, path in (
        ("GET", ""),
        ("GET", "/events"),
        ("GET", "/pictures/0"),
        ("GET", "/preview"),
        ("DELETE", ""),
        ("POST", "/skip"),
    ):
        answer = asker.request(method, f"/api/v1/jobs/{theirs}{path}")
        assert answer.status_code == 404 and "secret" not in answer.text, path
    assert asker.get("/api/v1/jobs").json() == []
    assert {mine, theirs} <= {job["id"] for job in _as(house, "root", "administrator").get("/api/v1/jobs").json()}


def test_a_user_may_not_change_the_doors_for_a_job(house):
    answer = _as(house, "bob", "user").post("/api/v1/jobs", json={"request": {}, "settings": {"fetch_urls": True}})
    assert answer.status_code == 422 and answer.json()["error"]["type"] == "SettingsError"


def _as(house, user: str, role: str):
    """A client whose login is decided already."""
    from starlette.testclient import TestClient

    async def app(scope, receive, send):
        await house.app({**scope, "emulsion_user": user, "emulsion_role": role}, receive, send)

    return TestClient(app, base_url="http://127.0.0.1:7860")


# Lists -----------------------------------------------------------------------------------------------------------


def test_lists_name_what_can_be_chosen(client):
    names = {kind: [one["name"] for one in client.get(f"/api/v1/{kind}").json()] for kind in KINDS}
    assert names["checkpoints"] == ["broken.safetensors", "first.safetensors", "second.safetensors"]
    assert "Euler a" in names["samplers"] and "Karras" in names["schedules"]
    assert "Lanczos" in names["upscalers"] and "X/Y/Z plot" in names["scripts"]
    assert names["vaes"] == names["loras"] == names["embeddings"] == []


KINDS = ("checkpoints", "vaes", "loras", "embeddings", "samplers", "schedules", "upscalers", "scripts", "styles")


def test_a_checkpoint_that_cannot_be_used_says_why(client):
    assert all(one["problem"] for one in client.get("/api/v1/checkpoints").json())


def test_the_status_tells_of_the_worker(client):
    status = client.get("/api/v1/status").json()
    assert status["worker"] in ("idle", "busy") and status["device"] == "fake" and status["version"]


# Against a started server ----------------------------------------------------------------------------------------


def test_a_job_outlives_those_who_follow_it_and_many_may_do_so(tmp_path):
    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    (tmp_path / "models" / "checkpoints" / "first.safetensors").write_bytes(b"x")
    with server(tmp_path) as running, httpx.Client(base_url=running.address, timeout=120) as web:
        request = {"prompt": "x", "passes": [{"steps": 60, "width": 64, "height": 64}]}
        job_id = web.post("/api/v1/jobs", json={"request": request}).json()["id"]
        path = f"/api/v1/jobs/{job_id}/events"
        with web.stream("GET", path) as one, web.stream("GET", path) as other:
            assert one.headers["content-type"].startswith("text/event-stream")
            assert next(one.iter_lines()).startswith("retry:") and next(other.iter_lines()).startswith("retry:")
        assert web.get(f"/api/v1/jobs/{job_id}").json()["state"] in ("waiting", "running", "done")
        assert told(web.get(path).text)[-1][0] == "done"


def test_requests_are_refused_before_anything_is_queued(house, client):
    assert isinstance(house.service, JobService)
    before = len(house.service.jobs(1000))
    client.post("/api/v1/jobs", json={"request": {"passes": [{"width": 1}]}})
    assert len(house.service.jobs(1000)) == before
    with pytest.raises(InvalidRequest):
        from_dict({"width": 1})
