"""/openapi.json and /docs: valid, whole, and without anything from another place."""

from __future__ import annotations

import json
import re

import pytest
from openapi_spec_validator import validate

from webui.api.description import GROUPS
from webui.api.manual import FILES, FOLDER


@pytest.fixture(scope="module")
def spec(house):
    return house.client.get("/openapi.json").json()


def operations(spec):
    return [(path, method, one) for path, methods in spec["paths"].items() for method, one in methods.items()]


def test_the_description_is_valid(spec):
    validate(spec)


def test_every_route_is_described_in_words(spec):
    assert {"/sdapi/v1/txt2img", "/v1/images/edits", "/api/v1/jobs/{job_id}/events"} <= set(spec["paths"])
    assert [path for path, _, one in operations(spec) if not one.get("description")] == []


def test_no_two_operations_have_the_same_name(spec):
    names = [one["operationId"] for _, _, one in operations(spec)]
    assert len(names) == len(set(names))


def test_each_group_says_its_own_form_of_errors(house, spec):
    for path, _, one in operations(spec):
        wanted = next(error for prefix, _, error in GROUPS if path.startswith(prefix))
        told = one["responses"]["default"]["content"]["application/json"]["schema"]["$ref"]
        assert told == f"#/components/schemas/{wanted}" and "422" not in one["responses"], path


@pytest.mark.parametrize(
    ("path", "name"), [("/api/v1/jobs/x", "Error"), ("/v1/models/zzz", "OpenAIError"), ("/sdapi/v1/zzz", "A1111Error")]
)
def test_errors_are_as_described(house, spec, path, name):
    from jsonschema import validate as check

    answer = house.client.get(path)
    assert answer.status_code == 404
    check(answer.json(), spec["components"]["schemas"][name])


@pytest.mark.parametrize("path", ["status", "jobs", "checkpoints", "samplers", "schedules", "upscalers", "scripts"])
def test_answers_are_as_described(house, spec, path):
    from jsonschema import Draft202012Validator

    schema = spec["paths"][f"/api/v1/{path}"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": spec["components"]}).validate(
        house.client.get(f"/api/v1/{path}").json()
    )


def test_logins_are_named_and_none_is_needed_where_none_is_in_force(spec):
    assert {one["scheme"] for one in spec["components"]["securitySchemes"].values()} == {"basic", "bearer"}
    assert spec["security"] == [{}, {"basic": []}, {"bearer": []}]


def test_a_request_is_described_field_by_field(spec):
    job = spec["paths"]["/api/v1/jobs"]["post"]["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = spec["components"]["schemas"][job.split("/")[-1]]["properties"]["request"]
    assert "GenerationRequest" in json.dumps(fields)
    assert {"prompt", "seed", "passes"} <= set(spec["components"]["schemas"]["GenerationRequest"]["properties"])


# The page --------------------------------------------------------------------------------------------------------


def test_the_page_and_its_files_are_served(house):
    page = house.client.get("/docs")
    assert page.status_code == 200 and 'data-language="auto"' in page.text
    for name, kind in FILES.items():
        assert house.client.get(f"/docs/{name}").headers["content-type"].startswith(kind)
    assert house.client.get("/docs/secret.txt").status_code == 404


def test_the_page_asks_no_other_place_and_puts_no_data_into_markup():
    text = "".join((FOLDER / name).read_text("utf-8") for name in ("docs.html", "docs.js", "docs.css"))
    assert not re.findall(r"https?://|innerHTML|eval\(", text)


def test_both_languages_have_every_word():
    english, chinese = (json.loads((FOLDER / f"docs.{name}.json").read_text("utf-8")) for name in ("en", "zh-CN"))
    assert english.keys() == chinese.keys() and all(chinese.values())
    used = set(re.findall(r'\bt\("(\w+)"', (FOLDER / "docs.js").read_text("utf-8")))
    used |= set(re.findall(r'data-text="(\w+)"', (FOLDER / "docs.html").read_text("utf-8")))
    assert used <= english.keys()
    marks = {key: sorted(re.findall(r"\{\w+\}", english[key])) for key in english}
    assert {key: sorted(re.findall(r"\{\w+\}", chinese[key])) for key in chinese} == marks


def test_the_page_has_the_language_and_theme_of_the_settings(house):
    house.store.change({"language": "zh-CN", "theme": "dark"})
    page = house.client.get("/docs").text
    house.store.reset(["language", "theme"])
    assert 'data-language="zh-CN"' in page and 'data-theme="dark"' in page
