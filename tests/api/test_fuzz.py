"""Requests by the thousand against a really started server with its page (R4): none ends in a server error or hangs.

schemathesis makes them up from /openapi.json; half fit the description and half do not. Where a field wants a picture
or a job it is sometimes given a good one, so that what comes behind the first check is reached as well. Routes and
fields that the description does not tell apart are given junk under their real names.
"""

from __future__ import annotations

import dataclasses
import os
import re
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.api.access_table import EXPECTED
from tests.api.junk import as_json, cases, fields, junk, spoiled
from tests.api.pictures import picture
from tests.api.started import complaints, server
from webui.request import GenerationRequest, Pass

CASES = int(os.environ.get("EMULSION_FUZZ_CASES", "50"))  # of each operation that takes anything
SECONDS = 5.0  # an answer that takes longer counts as none
ENGINE = "tests.api.quick_engine:engine"
PICTURE = picture(8, 8)
PICTURES = {"image", "mask", "firstpass_image", "data"}  # fields that want a picture
LISTS = {"init_images", "controlnet_input_images", "controlnet_masks"}  # several
LEFT_OUT = {  # "server-stop", "-kill" and "-restart" are not there without --api-server-stop
    ("POST", "/ui/history/{picture_id}/folder"): "opens a window of the file manager",
}
NEVER = {  # they answer 501 whatever they are asked
    *("/sdapi/v1/create/embedding", "/sdapi/v1/create/hypernetwork", "/sdapi/v1/train/embedding"),
    *("/sdapi/v1/train/hypernetwork", "/controlnet/render_openpose_json"),
}
CHECKS = [
    *(status_code_conformance, content_type_conformance, response_headers_conformance, response_schema_conformance)
]
NAMES = ("name", "values", "names", "ids", "trash", "job", "index", "texts", "loras", "styles", "checkpoint", "fields")
REQUEST = dataclasses.asdict(GenerationRequest("x", passes=(Pass(steps=1),)))
FROM_IMAGE = Pass(source="image", image=PICTURE, mask=PICTURE, denoising_strength=0.5, steps=1, width=64, height=64)
AXIS = {"x_type": "Steps", "x_values": "1,2"}
GOOD: dict[tuple[str, str], dict[str, Any]] = {  # bodies that are taken, or fail for want of a model file only
    ("POST", "/api/v1/jobs"): {"request": REQUEST, "settings": {"clip_skip": 2}},
    ("POST", "/api/v1/jobs?from=image"): {"request": {**REQUEST, "passes": [dataclasses.asdict(FROM_IMAGE)]}},
    ("POST", "/api/v1/tasks/extras"): {"images": [PICTURE], "names": ["a"], "options": {"upscaler": "Lanczos"}},
    ("POST", "/ui/tasks/extras"): {"images": [PICTURE], "names": ["a"], "options": {"scale": 2.0, "width": 64}},
    ("POST", "/ui/tasks/caption"): {"images": [PICTURE], "captioner": "clip"},
    ("POST", "/ui/tasks/script"): {"script": "X/Y/Z plot", "arguments": AXIS, "request": REQUEST},
    ("POST", "/ui/scripts/X/Y/Z plot/cost"): {"arguments": AXIS, "fields": {"steps": 2, "mode": "txt2img"}},
    ("POST", "/ui/merge"): {"method": "Weighted sum", "models": ["first", "first"], "name": "m", "alpha": 0.5,
                            "loras": [{"name": "x", "strength": 1.0}], "blocks": [0.5] * 25},
    ("POST", "/ui/tokens"): {"texts": ["a (red:1.2) apple", "b"], "checkpoint": "first"},
    ("POST", "/ui/library/recipes"): {"loras": ["a", "b"], "checkpoint": "first"},
    ("POST", "/ui/styles/apply"): {"prompt": "a", "negative_prompt": "b", "styles": []},
    ("PUT", "/ui/styles"): {"name": "a", "prompt": "b {prompt}", "negative_prompt": "c", "was": ""},
    ("PUT", "/ui/presets"): {"name": "a", "values": {"steps": 3, "styles": [], "prompt": "x"}},
    ("PUT", "/ui/presets/start"): {"name": None},
    ("PUT", "/ui/vae"): {"checkpoint": "first", "vae": None},
    ("POST", "/ui/history/zip"): {"ids": ["0" * 16]},
    ("POST", "/ui/history/trash"): {"ids": ["0" * 16]},
    ("POST", "/ui/history/restore"): {"trash": "0"},
    ("POST", "/sdapi/v1/txt2img"): {"prompt": "x", "steps": 1, "alwayson_scripts": {"Seed": {"args": [1, False]}},
                                    "override_settings": {"CLIP_stop_at_last_layers": 2}, "styles": []},
    ("POST", "/controlnet/detect"): {"controlnet_module": "none", "controlnet_input_images": [PICTURE]},
    ("POST", "/v1/images/generations"): {"prompt": "x", "size": "64x64", "n": 1, "steps": 1, "seed": 1},
    ("POST", "/internal/progress"): {"id_task": "task(x)", "id_live_preview": -1, "live_preview": True},
}  # fmt: skip


@pytest.fixture(scope="module")
def started(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    models = folder / "models" / "checkpoints"
    models.mkdir(parents=True)
    (models / "first.safetensors").write_bytes(b"first")
    with server(folder, "offline=True", engine=ENGINE) as running:
        yield running
        told = complaints(folder)
        records = re.split(r"(?m)^(?=\d{4}-\d\d-\d\d )", told)
        own = [one for one in records if "Traceback" in one and "fake_engine.py" not in one]  # that takes any value
        assert own == [] and "REACHED" not in told


@pytest.fixture(scope="module")
def session():
    with requests.Session() as session:
        yield session


@pytest.fixture(scope="module")
def ask(started, session):
    """Send a request with a body of any bytes; it must be answered in time, and not with a server error."""

    def send(method: str, path: str, body: bytes = b"", kind: str = "application/json") -> requests.Response:
        headers = {"content-type": kind}
        answer = session.request(method, started.address + path, data=body, headers=headers, timeout=SECONDS)
        assert answer.status_code < 500, (method, path, body[:500], answer.status_code, answer.text[:500])
        assert answer.elapsed.total_seconds() < SECONDS, (method, path, body[:500])
        return answer

    return send


@pytest.fixture(scope="module")
def job(ask, session, started) -> str:
    """A finished job with a picture."""
    body = {"request": {"prompt": "x", "passes": [{"steps": 1}]}}
    number = str(ask("POST", "/api/v1/jobs", as_json(body)).json()["id"])
    assert "event: done" in ask("GET", f"/api/v1/jobs/{number}/events").text
    return number


# What is described ------------------------------------------------------------------------------------------------


def asked(operation: Any) -> bool:
    """Whether it takes anything at all."""
    return bool(list(operation.body) or list(operation.query) or list(operation.path_parameters))


def with_good_parts(case: Any, job: str) -> None:
    """Put a real picture and a real job where the case has others."""
    if isinstance(case.body, dict):
        case.body.update(dict.fromkeys(PICTURES & case.body.keys(), PICTURE))
        case.body.update({name: [PICTURE] for name in LISTS & case.body.keys()})
    if isinstance(case.path_parameters, dict):
        good = {"job_id": job, "index": 0}
        case.path_parameters.update({name: good[name] for name in good.keys() & case.path_parameters.keys()})


def tried(operation: Any, mode: GenerationMode, address: str, session: requests.Session, job: str) -> int:
    """Half of an operation's cases; how many were sent. What has no wrong form (a text in the path) is sent nothing."""
    sent = 0

    @cases(max(1, CASES // 2) if asked(operation) else 1)
    @given(case=operation.as_strategy(generation_mode=mode), good=st.booleans())
    def send(case: Any, good: bool) -> None:
        nonlocal sent
        if good:
            with_good_parts(case, job)
        answer = case.call(base_url=address, session=session, timeout=SECONDS)
        sent += 1
        fine = answer.status_code < 500 or (answer.status_code == 501 and operation.path in NEVER)
        assert fine, (operation.label, answer.status_code, answer.content[:300], str(case.body)[:500])
        assert answer.elapsed < SECONDS
        case.validate_response(answer, checks=CHECKS)

    try:
        send()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE and sent == 0, operation.label
    return sent


def test_every_operation_answers_as_described_whatever_it_is_sent(started, session, ask, job):
    schema = schemathesis.openapi.from_dict(ask("GET", "/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) > 90
    sent = {}
    for operation in operations:
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE) if asked(operation) else (GenerationMode.POSITIVE,)
        sent[operation.label] = sum(tried(operation, mode, started.address, session, job) for mode in modes)
    taking = [operation.label for operation in operations if asked(operation)]
    assert len(taking) > 30 and all(sent.values())
    assert sum(sent[label] for label in taking) > 0.6 * CASES * len(taking)  # some can take one thing only


# What the description does not tell apart -------------------------------------------------------------------------


def test_real_scripts_settings_and_infotexts_with_junk_in_them_do_no_harm(ask):
    titles = ask("GET", "/sdapi/v1/scripts").json()["txt2img"]
    always = [one["name"] for one in ask("GET", "/sdapi/v1/script-info").json() if one["is_alwayson"]]
    options = sorted(ask("GET", "/sdapi/v1/options").json())
    keys = ["Steps", "Sampler", "Size", "Seed", "Model", "CFG scale", "Hires upscale", "VAE", "Clip skip", "RNG"]
    texts = st.dictionaries(
        st.sampled_from(keys), st.sampled_from(["", "1e999", "axb", "9" * 400, '"\\ud800', "-1x-1"])
    )
    infotext = texts.map(lambda said: "x\nSteps: 1, " + ", ".join(f"{name}: {value}" for name, value in said.items()))
    arguments = st.lists(junk(), max_size=14)
    one_script = st.fixed_dictionaries({"script_name": st.sampled_from(titles), "script_args": arguments})
    always_on = st.dictionaries(
        st.sampled_from(always), st.fixed_dictionaries({"args": arguments | junk()}), max_size=2
    )
    body = st.one_of(
        *(one_script, infotext.map(lambda text: {"infotext": text}), always_on.map(lambda s: {"alwayson_scripts": s})),
        *(fields(options).map(lambda changed: {"override_settings": changed}),),
    )

    @cases(4 * CASES)
    @given(body=body, from_image=st.booleans())
    def send(body: dict[str, Any], from_image: bool) -> None:
        if from_image:
            ask("POST", "/sdapi/v1/img2img", as_json({"init_images": [PICTURE], **body}))
        else:
            ask("POST", "/sdapi/v1/txt2img", as_json(body))

    send()


def page_routes() -> list[tuple[str, str]]:
    """Those of the page that are no part of the description."""
    found = [tuple(line.split()) for text in EXPECTED.values() for line in text.strip().splitlines()]
    left_out = {(method, path.replace("{", "").replace("}", "")) for method, path in LEFT_OUT}
    return sorted((m, p) for m, p in found if p.startswith("/ui/") and (m, p) not in left_out)


def test_routes_of_the_page_answer_whatever_they_are_sent(ask, job):
    routes = page_routes()
    assert len(routes) > 50
    parts = st.sampled_from(["x", "0", "%00", "%ff", "..%2f..", "a" * 300, "%ED%A0%80", job, "checkpoints", "loras"])
    questions = st.dictionaries(
        st.sampled_from(["text", "folder", "sort", "limit", "offset", "start", "rating", "after", "name", "language"]),
        st.sampled_from(["", "-1", "9" * 30, "%00", "%ED%A0%80", "x" * 2000, "name", "%27%22", "1e9"]),
        max_size=3,
    )
    bodies = st.one_of(fields(list(NAMES)).map(as_json), junk().map(as_json), st.binary(max_size=60))

    @cases(20 * CASES)
    @given(
        route=st.sampled_from(routes), body=bodies, question=questions, filling=st.tuples(parts, parts, parts),
        kind=st.sampled_from(["application/json", "image/png", "multipart/form-data; boundary=x", ""]),
    )  # fmt: skip
    def send(
        route: tuple[str, str], body: bytes, question: dict[str, str], filling: tuple[str, ...], kind: str
    ) -> None:
        method, path = route
        rest = list(filling)
        path = re.sub(r"\b(kind|file_id|picture_id|trash_id|job_id|name|download_id)\b", lambda _: rest.pop(), path)
        asking = "&".join(f"{name}={value}" for name, value in question.items())
        ask(method, f"{path}?{asking}", b"" if method == "GET" else body, kind)

    send()


@pytest.mark.parametrize(("method", "path"), GOOD)
def test_a_good_body_with_one_part_spoiled_does_no_harm(ask, job, method, path):
    good = GOOD[method, path]
    assert ask(method, path, as_json(good)).status_code in (200, 202, 404), "this body is not good"

    @cases(CASES)
    @given(body=spoiled(good))
    def send(body: Any) -> None:
        ask(method, path, as_json(body))

    send()


def test_settings_with_junk_in_them_do_no_harm(ask):
    """Last, as some of it is taken: a limit of one job is a fine setting. Afterwards all is put back and works."""
    settings = {one["name"]: one for one in ask("GET", "/ui/options").json()["settings"] if not one["locked"]}

    @cases(4 * CASES)
    @given(changes=fields([*settings, "no such"], 2), ours=st.booleans())
    def send(changes: dict[str, Any], ours: bool) -> None:
        if ours:
            ask("PUT", "/ui/options", as_json(changes))
        else:
            ask("POST", "/sdapi/v1/options", as_json(changes))

    send()
    assert ask("POST", "/ui/options/reset", as_json({"names": list(settings)})).status_code == 200
    assert ask("POST", "/sdapi/v1/txt2img", as_json({"prompt": "x"})).status_code == 200
