"""Texts of the page, from one JSON key file a language. Adding a language is adding a file to `locales/`."""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from pathlib import Path

import gradio as gr
from gradio.i18n import I18nData

LOCALES = Path(__file__).parent / "locales"
FALLBACK = "en"


@functools.cache
def languages() -> Mapping[str, Mapping[str, str]]:
    """Every language's texts by key: {"en": {"generate.start": "Generate", …}, "zh-CN": …}."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(LOCALES.glob("*.json"))}


@functools.cache
def translations() -> gr.I18n:
    """The same for the browser side of Gradio; goes to the mount's `i18n` argument."""
    return gr.I18n(**{name: dict(texts) for name, texts in languages().items()})


def label(key: str) -> I18nData:
    """A text that the browser translates. Raises KeyError for a key that no file has, when the page is built."""
    if key not in languages()[FALLBACK]:
        raise KeyError(f"{key!r} is not in {LOCALES / (FALLBACK + '.json')}")
    return translations()(key)


def text(language: str, key: str, **values: object) -> str:
    """A text in one language with `{name}` places filled, for what Gradio does not translate by itself."""
    texts = languages().get(language, languages()[FALLBACK])
    return texts.get(key, languages()[FALLBACK][key]).format(**values)
