"""Options of extensions in the page: what the scripts draw them from, and the way to the request and back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.ui.fake_service import FakeService
from webui.engine.extensions import Extensions, load_extensions
from webui.errors import InvalidRequest
from webui.extend import Registries
from webui.registry import Registry
from webui.request import GenerationRequest, check
from webui.settings import SettingsStore
from webui.ui import actions
from webui.ui.extension_routes import _described, shown
from webui.ui.fields import NAMES, default_values, request_from_values, values_from_request
from webui.ui.page import build_page

BROKEN = "import nothing_of_this_name"


@pytest.fixture
def extensions(pytestconfig: pytest.Config, tmp_path: Path) -> Extensions:
    example = pytestconfig.rootpath / "tests" / "data" / "extensions" / "tint" / "extension.py"
    for name, text in (("tint", example.read_text("utf-8")), ("broken", BROKEN)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "extension.py").write_text(text, "utf-8")
    (tmp_path / "tint" / "locales").mkdir()
    words = {"Tint": "着色", "Tint colour": "着色颜色", "red": "红", "0 leaves pictures alone.": "0 不改动图片。"}
    (tmp_path / "tint" / "locales" / "zh-CN.json").write_text(json.dumps(words), "utf-8")
    kinds = ("sampler", "schedule", "family", "directive", "tab", "route")
    return load_extensions([tmp_path], Registries(*(Registry(kind) for kind in kinds)))


def filled(**values: str) -> GenerationRequest:
    page = default_values() | values
    return request_from_values([page[name] for name in NAMES])


def test_options_are_described_with_their_control_and_those_that_failed_with_the_reason(extensions: Extensions) -> None:
    found = _described(extensions, "en")
    [tint] = found["extensions"]
    amount, colour = tint["options"]
    assert (tint["name"], amount["control"], amount["maximum"], colour["control"]) == ("tint", "slider", 1.0, "menu")
    assert colour["choices"][0] == ["red", "red"]
    [broken] = found["problems"]
    assert broken == {"name": "broken", "why": "ModuleNotFoundError: No module named 'nothing_of_this_name'"}


def test_an_author_s_own_locale_says_them_in_the_reader_s_language(extensions: Extensions) -> None:
    [tint] = _described(extensions, "zh-CN")["extensions"]
    amount, colour = tint["options"]
    assert (tint["label"], amount["label"], amount["help"]) == ("着色", "着色", "0 不改动图片。")
    assert colour["choices"][:2] == [["red", "红"], ["green", "green"]]  # what has no words stays as it is written


@pytest.mark.parametrize("language", ["../en", "fr", ""])
def test_a_language_without_a_file_shows_what_the_author_wrote(extensions: Extensions, language: str) -> None:
    assert _described(extensions, language)["extensions"][0]["label"] == "Tint"


def test_the_page_s_field_becomes_the_request_s_options_and_is_filled_from_them() -> None:
    options = {"tint": {"amount": 0.3, "colour": "blue"}}
    request = filled(extensions=json.dumps(options))
    assert request.extensions == options
    assert json.loads(values_from_request(request)["extensions"]) == options
    assert (filled(extensions="").extensions, default_values()["extensions"]) == ({}, "")


@pytest.mark.parametrize("text", ["[1]", "nonsense", '{"tint": 3}'])
def test_a_field_that_holds_something_else_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        check(filled(extensions=text))


def test_an_infotext_fills_the_options_and_does_not_call_them_unknown(
    service: FakeService, extensions: Extensions
) -> None:
    service.extensions = extensions
    text = "a cat\nSteps: 2, Sampler: Euler, Seed: 1, Size: 64x64, Tint: 0.3, Tint colour: blue, Fog: thick"
    read = actions.read_settings(service, text, "en")  # type: ignore[arg-type]
    assert json.loads(read.values["extensions"]) == {"tint": {"amount": 0.3, "colour": "blue"}}
    assert "Tint" not in read.report and "Fog" in read.report


def test_the_page_has_a_fold_for_them_only_where_there_are_any(
    service: FakeService, store: SettingsStore, extensions: Extensions
) -> None:
    def folds() -> list[str]:
        page = build_page(service, store)  # type: ignore[arg-type]
        return [block.elem_id for block in page.blocks.values() if block.elem_id == "em-extensions-fold"]

    assert (shown(Extensions()), folds()) == (False, [])
    service.extensions = extensions
    assert (shown(extensions), len(folds())) == (True, 1)
