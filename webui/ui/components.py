"""Gradio inputs with their texts taken from the key files by field name, so that the tabs read as plain layout."""

from __future__ import annotations

from typing import Any

import gradio as gr

from webui.ui.fields import MAY_BE_EMPTY
from webui.ui.language import label


def menu(name: str, value: Any, choices: list[Any], **options: Any) -> gr.Dropdown:
    """A dropdown for a field. Its value is checked when the request is planned, not by Gradio.

    Gradio keeps the list of a page's choices in its session. After a restart of the program there is only the list of
    the moment at which the page was built, and an open page would be refused for a checkpoint that came later.
    """
    dropdown = gr.Dropdown(choices, value=value, **_texts(name), **options)
    # On the object, not in a class: for a class Gradio writes a type stub beside the source file.
    dropdown.preprocess = lambda payload: payload  # type: ignore[method-assign]
    return dropdown


def slider(name: str, value: float, low: float, high: float, step: float, **options: Any) -> gr.Slider:
    """A slider with a number beside it."""
    return gr.Slider(low, high, value=value, step=step, buttons=[], **_texts(name), **options)


def number(name: str, value: float | None, **options: Any) -> gr.Number:
    """A number that is typed; an empty one is None.

    It has no bounds here: Gradio answers what is out of bounds like a failure of its own. The request says it in words.
    """
    shown_when_empty = label("field.empty") if name in MAY_BE_EMPTY else None
    return gr.Number(value, placeholder=shown_when_empty, **_texts(name), **options)


def line(name: str, value: str, **options: Any) -> gr.Textbox:
    """One line of text."""
    return gr.Textbox(value, lines=1, max_lines=1, **_texts(name), **options)


def checkbox(name: str, value: bool) -> gr.Checkbox:
    """A switch."""
    return gr.Checkbox(value, **_texts(name))


def icon_button(key: str, icon: str, **options: Any) -> gr.Button:
    """A small button that shows an icon; its text stays for screen readers and as the tooltip."""
    return gr.Button(label(key), elem_classes=["em-icon", f"em-icon-{icon}"], min_width=0, scale=0, **options)


def _texts(name: str) -> dict[str, Any]:
    return {
        "label": label(f"field.{name}.label"),
        "info": label(f"field.{name}.info"),
        "elem_id": f"em-{name.replace('_', '-')}",
        "min_width": 80,
    }
