"""The key files: complete in each language, and complete for the code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from webui.request import MASKED_CONTENTS, RESIZE_MODES
from webui.scripts import SCRIPTS
from webui.scripts.axes import AXES
from webui.settings import SETTINGS
from webui.ui import language
from webui.ui.choices import EMPHASIS, NOISE
from webui.ui.fields import DISCARD, NAMES
from webui.ui.panels import PANELS, STUDIO_TABS
from webui.ui.script_routes import API_ONLY
from webui.ui.script_routes import slug as script_slug

UI = Path(language.__file__).parent
TEXTS = language.languages()
SOURCES = [*UI.glob("*.py"), *(UI / "assets").glob("*.js"), *(UI / "assets").glob("*.html")]
GROUPS = {key.split(".")[0] for key in TEXTS["en"]}
# A key stands in the code as a whole string; computed ones are listed below.
KEY = re.compile(rf"""["'`]((?:{"|".join(sorted(GROUPS))})\.[a-z0-9_.]*[a-z0-9_])["'`]""")
FILES = {file.name for file in (UI / "assets").iterdir()}
HIDDEN = ("mode", "source_image", "source_mask", "extensions")  # fields that only the scripts fill
OPTIONS = [option for entry in SCRIPTS for option in entry.value.options if option.key not in API_ONLY]
# Choices of settings that are names: formats of files, and languages, which are called what they call themselves.
UNTRANSLATED = {f"setting.picture_format.{name}" for name in ("png", "jpg", "webp", "avif")} | {
    f"setting.language.{name}" for name in ("en", "zh_cn")
}


def slug(choice: str) -> str:
    """A choice's part of its key."""
    return re.sub("[^a-z0-9]+", "_", choice.lower())


COMPUTED = {
    "field.extensions.label",  # presets name it
    *(f"field.{name}.{part}" for name in NAMES if name not in HIDDEN for part in ("label", "info")),
    *(f"field.{name}.placeholder" for name in ("prompt", "negative_prompt")),
    *(f"choice.discard.{name}" for name in DISCARD),
    *(f"choice.emphasis.{name}" for name in EMPHASIS.values()),
    *(f"choice.resize.{name}" for name in RESIZE_MODES),
    *(f"choice.masked.{name.replace(' ', '_')}" for name in MASKED_CONTENTS),
    *(f"choice.area.{name}" for name in ("whole", "masked")),
    *(f"choice.noise.{name}" for name in NOISE.values()),
    *(f"status.{stage}" for stage in ("load", "encode", "decode")),
    *(f"tab.{name}" for name in (*STUDIO_TABS, *PANELS)),
    *(f"read.{name}" for name in ("sampler", "schedule")),
    *(f"script.axis.{script_slug(axis.name)}" for axis in AXES),
    *(f"script.values.{axis.kind}" for axis in AXES),
    *(f"script.{part}.{script_slug(entry.name)}" for entry in SCRIPTS for part in ("name", "about")),
    *(f"script.option.{option.key}" for option in OPTIONS),
    *(f"script.help.{option.key}" for option in OPTIONS if option.help and not option.key.endswith("_values")),
    *(f"script.choice.{choice.lower()}" for option in OPTIONS if len(option.choices) < 9 for choice in option.choices),
    *(text for setting in SETTINGS for text in (setting.value.label_key, setting.value.info_key)),
    *(f"section.{setting.value.section}" for setting in SETTINGS),
    *(f"setting.{setting.name}.{slug(choice)}" for setting in SETTINGS for choice in setting.value.choices),
    "setting.checkpoint.none",
    "language.name",
} - UNTRANSLATED


def used_keys() -> set[str]:
    """Keys that the code names or computes."""
    return {key for file in SOURCES for key in KEY.findall(file.read_text("utf-8"))} - FILES | COMPUTED


def test_english_and_chinese_are_there() -> None:
    assert {"en", "zh-CN"} <= set(TEXTS)


@pytest.mark.parametrize("name", TEXTS)
def test_every_language_has_exactly_the_same_keys(name: str) -> None:
    assert set(TEXTS[name]) ^ set(TEXTS["en"]) == set()


def test_every_key_that_the_code_uses_exists() -> None:
    assert used_keys() - set(TEXTS["en"]) == set()


def test_no_key_is_left_over() -> None:
    assert set(TEXTS["en"]) - used_keys() == set()


@pytest.mark.parametrize("name", TEXTS)
def test_texts_have_the_same_places_to_fill_and_none_is_empty(name: str) -> None:
    def places(text: str) -> set[str]:
        return set(re.findall(r"\{\w+\}", text))

    wrong = [key for key, text in TEXTS[name].items() if not text.strip() or places(text) != places(TEXTS["en"][key])]
    assert wrong == []


def test_chinese_texts_are_chinese() -> None:
    # Names and examples of prompts stay as they are: checkpoints are trained on English words.
    same = {"page.title", "field.vae.label", "field.guidance_scale.label", "field.eta.label", "field.s_churn.label"}
    same |= {"field.hires_guidance_scale.label", "field.rho.label", "choice.noise.cpu", "read.placeholder"}
    same |= {f"setting.{name}.label" for name in ("vae", "eta_ddim", "s_churn", "rho")}
    same |= {f"result.example.{n}" for n in (1, 2, 3)}
    chinese = re.compile("[\u4e00-\u9fff]")
    assert {key for key, text in TEXTS["zh-CN"].items() if not chinese.search(text)} - same == set()


def test_a_key_that_no_file_has_is_refused_when_the_page_is_built() -> None:
    with pytest.raises(KeyError, match=re.escape("field.nothing.label")):
        language.label("field.nothing.label")


def test_a_text_in_an_unknown_language_is_english() -> None:
    assert language.text("xx", "status.step", step=1, steps=2) == TEXTS["en"]["status.step"].format(step=1, steps=2)
