"""Where pictures are made: one place with words, settings and results for the tabs txt2img, img2img and inpaint.

The tabs share it, so that a prompt stays when one changes from making to repainting; parts that only some of them need
carry the class `em-only-…` and are shown by the style of the page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.errors import Forbidden
from webui.identity import Level, client_of, may, refusal, sits_here
from webui.ui import actions
from webui.ui.assets import asset
from webui.ui.choices import Choices
from webui.ui.components import icon_button, line, menu, number, slider
from webui.ui.fields import NAMES, OUTPAINT
from webui.ui.folds import folds, source_card
from webui.ui.language import label
from webui.ui.sizes import preset_name, presets
from webui.workers.service import JobService

# Events that only hand plain data over: no queue, no spinner, no name in the HTTP interface.
QUIET: Mapping[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


@dataclass(frozen=True)
class Studio:
    """The parts that the page wires up. `fields` holds every input by its name in `fields.PLACES`."""

    fields: Mapping[str, Component]
    preset: gr.Radio
    swap: gr.Button
    seed_buttons: tuple[gr.Button, gr.Button, gr.Button, gr.Button]
    generate: gr.Button
    hint: gr.HTML

    def inputs(self) -> list[Component]:
        """The inputs in the order that `request_from_values` expects."""
        return [self.fields[name] for name in NAMES]


def build_studio(
    quick: Mapping[str, Component],
    values: Mapping[str, Any],
    choices: Mapping[str, Choices],
    native: int,
    extended: bool = False,
) -> Studio:
    """Lay it out. `quick` are the fields that stand above the tabs; `extended`: extensions have a fold."""
    fields: dict[str, Component] = dict(quick)
    with gr.Row(elem_id="em-main", elem_classes=["em-studio"]):
        with gr.Column(elem_id="em-words"):
            generate = _words(fields, values, choices)
        with gr.Column(elem_id="em-outcome"):
            gr.HTML(asset("result.html"), elem_id="em-result-frame", apply_default_css=False)
        with gr.Column(elem_id="em-settings"):
            source_card(fields, values, choices)
            preset, swap, seed_buttons, hint = _settings(fields, values, choices, native, extended)
    return Studio(fields, preset, swap, seed_buttons, generate, hint)


def _words(fields: dict[str, Component], values: Mapping[str, Any], choices: Mapping[str, Choices]) -> gr.Button:
    for name, lines in (("prompt", 3), ("negative_prompt", 2)):
        fields[name] = gr.Textbox(
            values[name],
            label=label(f"field.{name}.label"),
            info=label(f"field.{name}.info"),
            placeholder=label(f"field.{name}.placeholder"),
            lines=lines,
            max_lines=12,
            elem_id=f"em-{name.replace('_', '-')}",
            elem_classes=["em-prompt"],
        )
    with gr.Row(elem_id="em-styles-row"):
        shown = bool(choices["styles"])
        fields["styles"] = menu("styles", values["styles"], choices["styles"], multiselect=True, visible=shown)
        gr.HTML(asset("styles.html"), elem_id="em-styles-more", apply_default_css=False)
    gr.HTML(asset("speed.html"), elem_id="em-speed-frame", apply_default_css=False)
    with gr.Row(elem_id="em-run"):
        generate = gr.Button(label("button.generate"), variant="primary", elem_id="em-generate", min_width=140)
        gr.HTML(asset("run.html"), elem_id="em-run-more", apply_default_css=False)
    return generate


def _settings(
    fields: dict[str, Component],
    values: Mapping[str, Any],
    choices: Mapping[str, Choices],
    native: int,
    extended: bool,
) -> tuple[gr.Radio, gr.Button, tuple[gr.Button, gr.Button, gr.Button, gr.Button], gr.HTML]:
    with gr.Column(elem_classes=["em-card"]):
        with gr.Row(elem_classes=["em-pair"]):
            fields["sampler"] = menu("sampler", values["sampler"], choices["sampler"])
            fields["schedule"] = menu("schedule", values["schedule"], choices["schedule"])
        with gr.Row(elem_classes=["em-pair"]):
            fields["steps"] = slider("steps", values["steps"], 1, 150, 1)
            fields["guidance_scale"] = slider("guidance_scale", values["guidance_scale"], 1, 30, 0.5)
        with gr.Row(elem_classes=["em-size"]):
            fields["width"] = number("width", values["width"], precision=0, step=8)
            swap = icon_button("button.swap", "swap", elem_id="em-swap")
            fields["height"] = number("height", values["height"], precision=0, step=8)
        preset = gr.Radio(
            [size_choice(size) for size in presets(native)],
            value=preset_name((values["width"], values["height"])),
            label=label("field.preset.label"),
            elem_id="em-preset",
        )
        about = asset("picture_size.html")
        gr.HTML(about, elem_id="em-picture-size-frame", elem_classes=["em-only-pictures"], apply_default_css=False)
        hint = gr.HTML("", elem_id="em-hint", apply_default_css=False)
        with gr.Row(elem_classes=["em-pair"]):
            fields["batch_size"] = slider("batch_size", values["batch_size"], 1, 16, 1)
            fields["count"] = slider("count", values["count"], 1, 100, 1)
        with gr.Row(elem_classes=["em-seed"]):
            fields["seed"] = line("seed", values["seed"], scale=1)
            random = icon_button("button.random", "dice", elem_id="em-random")
            reuse = icon_button("button.reuse", "reuse", elem_id="em-reuse")
    with gr.Column(elem_classes=["em-card", "em-folds"]):
        others = folds(fields, values, choices, extended)
    return preset, swap, (random, reuse, *others), hint


def size_choice(size: tuple[int, int]) -> tuple[str, str]:
    """A size's button: "768 × 512" and its value."""
    return f"{size[0]} × {size[1]}", preset_name(size)


def wire_small_buttons(studio: Studio) -> None:
    """Swap, presets and seed buttons: all in the browser, nothing is sent."""
    width, height = studio.fields["width"], studio.fields["height"]
    alone: dict[str, Any] = {"fn": None, **QUIET}
    studio.swap.click(inputs=[width, height], outputs=[width, height], js="(w, h) => [h, w]", **alone)
    studio.preset.input(inputs=[studio.preset], outputs=[width, height], js="(p) => p.split('x').map(Number)", **alone)
    sizes: list[Any] = [studio.fields[name] for name in ("width", "height", *OUTPAINT)]
    tell = "(...values) => emulsion.pictureSize.changed(values)"
    gr.on([field.change for field in sizes], inputs=sizes, js=tell, trigger_mode="always_last", **alone)
    random, reuse, random_variation, reuse_variation = studio.seed_buttons
    extensions: Any = studio.fields["extensions"]
    extensions.change(inputs=[extensions], js="(said) => emulsion.extensions.show(said)", **alone)
    for seed, fresh, again, kind in (
        (studio.fields["seed"], random, reuse, "seed"),
        (studio.fields["variation_seed"], random_variation, reuse_variation, "variationSeed"),
    ):
        fresh.click(outputs=[seed], js="() => '-1'", **alone)
        again.click(inputs=[seed], outputs=[seed], js=f"(old) => emulsion.jobs.seedOfShown('{kind}', old)", **alone)


def wire_generate(studio: Studio, service: JobService) -> None:
    """Send the fields; the browser then follows the job by itself."""
    ticket = gr.Textbox(visible="hidden", elem_id="em-ticket")
    script = gr.Textbox("", visible="hidden", elem_id="em-script-sent")  # filled by the page's scripts
    prepare = "(...values) => emulsion.studio.prepare(values)"

    def submit(request: gr.Request, *values: Any) -> str:
        scope = request.request.scope if request.request is not None else {}
        if not may(scope, Level.USE):
            return actions.refused(Forbidden(f"Making pictures {refusal(scope, Level.USE)}"))
        here = request.request is not None and sits_here(request.request.scope)
        return actions.submit(service, values[:-1], client_of(scope), str(values[-1] or ""), here)

    inputs = [*studio.inputs(), script]
    # As the browser sends them: the request says in words what is wrong, where Gradio's sliders and menus only fail,
    # and its menus know the choices of the moment at which the page was built.
    sent = studio.generate.click(submit, inputs, ticket, js=prepare, trigger_mode="multiple", preprocess=False, **QUIET)
    sent.success(None, [ticket], None, js="(ticket) => emulsion.jobs.follow(ticket)", **QUIET)
    sent.failure(None, None, None, js="() => emulsion.studio.notSent()", **QUIET)
