"""webui/client.py against a started server, as a file of its own."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import io
import sys

import pytest
from PIL import Image

from tests.api.started import ROOT, server, silent_port
from webui.request import GenerationRequest, Inpaint

SMALL = {"steps": 2, "width": 64, "height": 64}


@pytest.fixture(scope="module")
def module(tmp_path_factory):
    """The file, copied to where nothing else of the program is."""
    copy = tmp_path_factory.mktemp("copy") / "emulsion_client.py"
    copy.write_bytes((ROOT / "webui" / "client.py").read_bytes())
    spec = importlib.util.spec_from_file_location("emulsion_client", copy)
    module = importlib.util.module_from_spec(spec)
    sys.modules["emulsion_client"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("client")
    (folder / "models" / "checkpoints").mkdir(parents=True)
    (folder / "models" / "checkpoints" / "first.safetensors").write_bytes(b"first")
    with server(folder, 'nowebui=True, auth=(("me", "secret"),)') as started:
        yield started


@pytest.fixture(scope="module")
def client(module, running):
    return module.Client(running.address + "/", user="me", password="secret")


def png(size=(64, 64)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG")
    return buffer.getvalue()


def test_it_needs_the_standard_library_only():
    tree = ast.parse((ROOT / "webui" / "client.py").read_text())
    names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    names += [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    assert {name.partition(".")[0] for name in names} <= set(sys.stdlib_module_names)


def test_it_knows_every_field_of_a_request(module):
    assert module.REQUEST_FIELDS | {"prompt"} == {field.name for field in dataclasses.fields(GenerationRequest)}


def test_pictures_are_made_and_saved(client, tmp_path):
    pictures = client.generate("a red apple", seed=7, count=2, guidance_scale=3.5, **SMALL)
    assert [picture.seed for picture in pictures] == [7, 8] and "a red apple" in pictures[0].infotext
    assert pictures[0].save(tmp_path / "new" / "apple.png") == tmp_path / "new" / "apple.png"
    saved = pictures[1].save(f"{tmp_path}/new/")
    assert saved.name == pictures[1].name and Image.open(saved).size == (64, 64)
    assert client.jobs(1)[0]["state"] == "done"


def test_guidance_and_settings_reach_the_job(client):
    job = client.submit("x", guidance_scale=3.5, settings={"picture_format": "webp"}, **SMALL)
    assert client.job(job)["request"]["passes"][0]["guidance"]["scale"] == 3.5
    client.wait(job)
    assert client.pictures(job)[0].name.endswith(".webp")


def test_a_picture_starts_from_bytes_from_a_file_or_from_an_upload(client, tmp_path):
    file = tmp_path / "start.png"
    file.write_bytes(png())
    name = client.upload(png())
    assert name == client.upload(file) == client.upload(str(file)) == client.upload(name)
    job = client.submit("x", image=file, mask=png(), steps=2)
    step = client.job(job)["request"]["passes"][0]
    assert (step["source"], step["image"], step["mask"], step["denoising_strength"]) == ("image", name, name, 0.75)
    client.wait(job)


def test_how_a_mask_is_used_is_said_beside_it(client):
    job = client.submit("x", image=png(), mask=png(), mask_blur=2, masked_content="fill", area="masked", steps=2)
    used = client.job(job)["request"]["passes"][0]["inpaint"]
    assert (used["mask_blur"], used["masked_content"], used["area"], used["padding"]) == ([2, 2], "fill", "masked", 32)
    client.wait(job)


def test_it_knows_every_field_of_a_mask(module):
    assert {*module.MASK_FIELDS, "condition_weight"} == {field.name for field in dataclasses.fields(Inpaint)}


def test_a_picture_is_enlarged(client):
    assert client.upscale(png(), 3).width == 192


def test_a_job_is_followed(client):
    job, events = client.submit("held", steps=30, width=64, height=64), []
    for event in client.follow(job, previews="data"):
        events.append(event)
        if event.name == "preview":
            client.skip(job)
    assert events[0].name == "state" and events[-1].name == "done"
    previews = [event.data["url"] for event in events if event.name == "preview"]
    assert previews and all(url.startswith("data:image/jpeg") for url in previews)


def test_a_job_is_cancelled_and_its_end_told(client, module):
    job = client.submit("x", steps=1000)
    assert client.cancel(job)["id"] == job
    with pytest.raises(module.JobCancelled):
        client.wait(job)
    assert client.skip(job) is False


def test_what_there_is_can_be_listed(client):
    assert client.names("checkpoints") == ["first.safetensors"] and "Euler a" in client.names("samplers")
    assert client.checkpoints()[0]["problem"] and client.status()["device"] == "fake"


def test_errors_say_what_was_found_wanted_and_can_be_done(client, module):
    with pytest.raises(module.ClientError) as caught:
        client.submit("x", stepz=3)
    assert "stepz" in caught.value.found and "steps" in caught.value.wanted and caught.value.status == 422
    with pytest.raises(module.ClientError) as caught:
        client.job("unknown")
    assert (caught.value.status, caught.value.kind) == (404, "NotFound")
    with pytest.raises(module.JobFailed) as failed:
        client.generate("memory", **SMALL)
    assert failed.value.kind == "OutOfMemory" and "does not fit" in str(failed.value)
    with pytest.raises(module.ClientError, match="passes"):
        client.submit("x", passes=[{}], steps=3)


def test_a_wrong_login_and_a_silent_address_are_told_apart(running, module):
    with pytest.raises(module.LoginNeeded) as caught:
        module.Client(running.address, user="me", password="wrong").status()
    assert (caught.value.status, caught.value.kind) == (401, "Unauthorized")
    with pytest.raises(module.LoginNeeded):
        module.Client(running.address, token="wrong").status()
    with silent_port() as port, pytest.raises(module.Unreachable, match="running"):
        module.Client(f"http://127.0.0.1:{port}").status()
    with pytest.raises(module.ClientError, match="address"):
        module.Client("127.0.0.1:7860")


def test_a_busy_server_says_when_to_come_back(module):
    import email.message
    import urllib.error

    headers = email.message.Message()
    headers["Retry-After"] = "9"
    body = io.BytesIO(b'{"error": {"type": "QueueFull", "found": "100 jobs wait.", "wanted": "", "remedy": ""}}')
    problem = module._problem(urllib.error.HTTPError("x", 429, "Too Many Requests", headers, body))
    assert isinstance(problem, module.Busy) and (problem.retry_after, problem.found) == (9.0, "100 jobs wait.")


def test_a_broken_connection_is_made_again(client, module, monkeypatch):
    whole, tries = client._open, []

    class Half:
        """A stream that breaks after its first event."""

        def __init__(self, answer):
            self.answer = answer

        def __enter__(self):
            return self

        def __exit__(self, *error):
            self.answer.close()

        def __iter__(self):
            for line in self.answer:
                yield line
                if line.strip() == b"":
                    tries.append(1)
                    if len(tries) == 2:  # after "retry" and the first event
                        raise ConnectionResetError("gone")

    job = client.submit("x", **SMALL)
    monkeypatch.setattr(module.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(client, "_open", lambda *words, **more: Half(whole(*words, **more)))
    names = [event.name for event in client.follow(job)]
    assert names.count("state") == 2 and names[-1] == "done"
