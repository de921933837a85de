"""Every event of the really built page, and of an extension's tab, with junk in place of its values (R5).

Whoever speaks Gradio's protocol by hand can send anything to an event. No file may be read that was not uploaded, and
nothing may fail inside our handlers: they answer with an error that the page shows. What Gradio's own components cannot
read they refuse by an exception, which Gradio answers with a 500 or an error event; the log tells the two apart.
"""

from __future__ import annotations

import os
import re
import uuid
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.api.junk import as_json, cases, junk, spoiled
from tests.api.started import complaints, server

CASES = int(os.environ.get("EMULSION_GRADIO_FUZZ_CASES", "500"))
SECRET = "the-canary-sings"
JSON = {"content-type": "application/json"}
EXTENSION = """
import gradio as gr
from webui.extend import Extension


def _tab():
    same = lambda *values: values[0] if len(values) == 1 else list(values)
    for kind in (gr.Image, gr.File, gr.Audio, gr.Video, gr.Gallery, gr.Textbox, gr.Dropdown, gr.JSON, gr.Dataframe):
        value = kind(type="filepath") if kind is gr.Image else kind()
        gr.Button().click(same, value, kind(), api_name=f"echo_{kind.__name__.lower()}")
    gr.Button().click(same, gr.File(file_count="multiple"), gr.File(), api_name="echo_files", queue=False)
    gr.Button().click(same, gr.ImageEditor(), gr.JSON(), api_name="echo_editor", queue=False)
    gr.Button().click(same, gr.MultimodalTextbox(), gr.JSON(), api_name="echo_multimodal", queue=False)


class Echo(Extension):
    name = "echo"
    label = "Echo"

    def register(self, registries):
        registries.tabs.register("Echo")(_tab)


EXTENSION = Echo()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gradio")
    for name in ("secret.txt", "secret.png"):
        (folder / name).write_text(SECRET)
    extension = folder / "extensions" / "echo"
    extension.mkdir(parents=True)
    (extension / "extension.py").write_text(EXTENSION)
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True)
    (models / "first.safetensors").write_bytes(b"first")
    return folder


@pytest.fixture(scope="module")
def started(folder):
    with server(folder, "offline=True", engine="tests.api.quick_engine:engine") as running:
        yield running
        assert "REACHED" not in complaints(folder)


@pytest.fixture(scope="module")
def client(started):
    with httpx.Client(base_url=started.address, timeout=120) as client:
        yield client


@pytest.fixture(scope="module")
def events(client) -> list[dict[str, Any]]:
    """Those that call a function of the server, each with the values that its inputs have at the beginning."""
    config = client.get("/config").json()
    start = {one["id"]: one["props"].get("value") for one in config["components"]}
    found = [one for one in config["dependencies"] if one["backend_fn"]]
    return [{**one, "good": [start[number] for number in one["inputs"]]} for one in found]


def files(folder) -> st.SearchStrategy[Any]:
    """A file of the server in every form in which a client may name one."""
    paths = [folder / "secret.txt", folder / "secret.png", "/etc/passwd", f"/proc/self/cwd/{folder}/secret.txt"]
    named = [*map(str, paths), f"file://{folder}/secret.txt", f"{folder}/data/page-cache/../../secret.txt"]
    named += ["\\\\server\\share\\x", "C:\\Windows\\win.ini", f"{folder}/secret.txt\0.png", "http://127.0.0.1:1/x"]
    path = st.sampled_from(named)
    more = st.sampled_from([{}, {"is_stream": True}, {"mime_type": "image/png", "size": -1}])
    said = {"meta": {"_type": "gradio.FileData"}, "orig_name": "a.png"}
    data = st.builds(lambda path, url, more: {**said, "path": path, "url": url, **more}, path, st.none() | path, more)
    wrapped = [
        lambda x: x,
        lambda x: [x],
        lambda x: [{"image": x, "caption": "a"}],
        lambda x: {"text": "", "files": [x]},
    ]
    wrapped += [lambda x: {"background": x, "layers": [x], "composite": x}, lambda x: {"video": x}, lambda x: [[x]]]
    return st.builds(lambda wrap, one: wrap(one), st.sampled_from(wrapped), data | path)


def sent(client: httpx.Client, event: dict[str, Any], body: dict[str, Any]) -> str:
    """Call an event as the page does; everything that came back."""
    if not event["queue"]:
        return client.post("/gradio_api/run/predict", content=as_json(body), headers=JSON).text
    joined = client.post("/gradio_api/queue/join", content=as_json(body), headers=JSON)
    if joined.status_code != 200:
        return joined.text
    return joined.text + client.get("/gradio_api/queue/data", params={"session_hash": body["session_hash"]}).text


def ours(folder) -> list[str]:
    """Records of the log about exceptions that came out of handlers of ours, and not only past our middlewares."""
    own = r'File "[^"]*/(webui/ui/(?!events|page_cache)|webui/engine|extensions)'
    records = re.split(r"(?m)^(?=Traceback|\d{4}-\d\d-\d\d )", complaints(folder))
    return [one for one in records if "Traceback" in one and re.search(own, one)]


def leaked(client: httpx.Client, folder, answer: str) -> bool:
    """Whether the canary is in an answer, in a file that it names, or among Gradio's copies."""
    copies = (path for path in (folder / "data" / "page-cache").rglob("*") if path.is_file())
    named = re.findall(r"/gradio_api/file=[^\"\\]+", answer)
    answers = [answer, *(client.get(address).text for address in named)]
    return any(SECRET in text for text in answers) or any(SECRET in path.read_text(errors="replace") for path in copies)


def test_the_page_has_the_events_that_are_tried(events):
    names = {one["api_name"] for one in events}
    assert {"submit", "opened", "hinted", "chosen", "filled", "fitted", "refreshed"} <= names
    assert {"echo_image", "echo_file", "echo_gallery", "echo_files", "echo_editor"} <= names


def test_an_event_with_the_values_of_the_page_works(client, events):
    [event] = [one for one in events if one["api_name"] == "hinted"]
    body = {"data": event["good"], "fn_index": event["id"], "session_hash": uuid.uuid4().hex}
    assert client.post("/gradio_api/run/predict", json=body).status_code == 200


def test_junk_sent_to_any_event_reads_no_file_and_fails_in_no_handler_of_ours(client, events, folder):
    values = junk() | files(folder)

    def bodies(event: dict[str, Any]) -> st.SearchStrategy[Any]:
        parts = st.lists(values, min_size=len(event["good"]), max_size=len(event["good"]))
        data = st.one_of(spoiled(event["good"], values), parts, junk())
        more = st.dictionaries(st.sampled_from(["event_data", "trigger_id", "simple_format"]), junk(), max_size=1)
        made = st.builds(lambda data, more: (event, {"data": data, "fn_index": event["id"], **more}), data, more)
        return made

    @cases(CASES)
    @given(chosen=st.sampled_from(events).flatmap(bodies))
    def send(chosen: tuple[dict[str, Any], dict[str, Any]]) -> None:
        event, body = chosen
        answer = sent(client, event, {**body, "session_hash": uuid.uuid4().hex})
        assert not leaked(client, folder, answer), (event["api_name"], answer[:500])

    send()
    assert ours(folder) == []


JSON_EVENTS = {  # events that take JSON within a text, with a good one
    "filled": (
        {"values": {"steps": 3, "styles": [], "prompt": "x"}, "quiet": False},
        {"preset": "a"},
        {"defaults": True},
        {"infotext": "x\nSteps: 3, Sampler: Euler a, Size: 64x64, Model: first", "left_out": ["a"]},
        {"request_json": "{}", "program": "InvokeAI", "left_out": ["a"]},
    ),
    "chosen": ({"checkpoint": "first", "steps": 4, "sampler": "Euler", "eta": 0.5, "vae": "None"},),
}


@pytest.mark.parametrize("name", JSON_EVENTS)
def test_junk_within_the_json_of_an_event_is_answered_in_words(client, events, folder, name):
    [event] = [one for one in events if one["api_name"] == name]

    @cases(CASES // 4)
    @given(
        wanted=st.one_of(*(spoiled(good) for good in JSON_EVENTS[name]), junk()), language=st.sampled_from(["en", "x"])
    )
    def send(wanted: Any, language: str) -> None:
        data = [as_json(wanted).decode(), language, *event["good"][2:]]
        body = {"data": data, "fn_index": event["id"], "session_hash": uuid.uuid4().hex}
        answer = client.post("/gradio_api/run/predict", content=as_json(body), headers=JSON)
        assert answer.status_code == 200, (wanted, answer.text[:300], complaints(folder)[-1500:])

    send()
    assert ours(folder) == []


def test_junk_in_a_script_that_is_sent_with_the_fields_is_answered_in_words(client, events, folder):
    [event] = [one for one in events if one["api_name"] == "submit"]
    good = {"script": "X/Y/Z plot", "arguments": {"x_type": "Steps", "x_values": "1,2"}}

    @cases(CASES // 4)
    @given(wanted=spoiled(good) | junk())
    def send(wanted: Any) -> None:
        data = [*event["good"][:-1], as_json(wanted).decode()]
        body = {"data": data, "fn_index": event["id"], "session_hash": uuid.uuid4().hex}
        answer = client.post("/gradio_api/run/predict", content=as_json(body), headers=JSON)
        assert answer.status_code == 200 and ('"error' in answer.text or "job" in answer.text), answer.text[:300]

    send()
    assert ours(folder) == []


def test_the_page_works_afterwards(client, events, folder):
    [event] = [one for one in events if one["api_name"] == "opened"]
    body = {"data": ["en", ""], "fn_index": event["id"], "session_hash": uuid.uuid4().hex}
    assert client.post("/gradio_api/run/predict", json=body).status_code == 200
    assert client.post("/sdapi/v1/txt2img", json={"prompt": "x", "steps": 1}).status_code == 200
