"""The parts of the studio that only some pictures need: the source picture, and folds that are closed at first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.ui.assets import asset
from webui.ui.choices import Choices
from webui.ui.components import checkbox, icon_button, line, menu, number, slider
from webui.ui.language import label

Fields = dict[str, Component]
Values = Mapping[str, Any]
Menus = Mapping[str, Choices]


def source_card(fields: Fields, values: Values, choices: Menus) -> None:
    """The canvas, and how a picture made from it differs; for the tabs img2img and inpaint."""
    for name in ("mode", "source_image", "source_mask", "extensions"):  # filled by the page's scripts
        fields[name] = gr.Textbox(values[name], visible="hidden", elem_id=f"em-{name.replace('_', '-')}")
    with gr.Column(elem_classes=["em-card", "em-only-pictures"], elem_id="em-source"):
        gr.HTML(asset("canvas.html"), elem_id="em-canvas-frame", apply_default_css=False)
        gr.HTML(asset("describe.html"), elem_id="em-describe-frame", apply_default_css=False)
        fields["denoising_strength"] = slider("denoising_strength", values["denoising_strength"], 0, 1, 0.01)
        with gr.Row(elem_classes=["em-pair"]):
            for name in ("resize_mode", "image_upscaler"):
                fields[name] = menu(name, values[name], choices[name], filterable=False)
        with gr.Column(elem_classes=["em-only-inpaint"], elem_id="em-inpainting"):
            _inpainting(fields, values, choices)


def _inpainting(fields: Fields, values: Values, choices: Menus) -> None:
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("masked_content", "inpaint_area"):
            fields[name] = menu(name, values[name], choices[name], filterable=False)
    with gr.Row(elem_classes=["em-pair"]):
        fields["mask_blur"] = slider("mask_blur", values["mask_blur"], 0, 64, 1)
        fields["padding"] = slider("padding", values["padding"], 0, 256, 4)
    with gr.Accordion(label("group.outpaint"), open=False, elem_id="em-outpaint"):
        with gr.Row(elem_classes=["em-pair"]):
            for name in ("outpaint_left", "outpaint_right"):
                fields[name] = slider(name, values[name], 0, 1024, 8)
        with gr.Row(elem_classes=["em-pair"]):
            for name in ("outpaint_up", "outpaint_down"):
                fields[name] = slider(name, values[name], 0, 1024, 8)
    with gr.Accordion(label("group.soft"), open=False, elem_id="em-soft"):
        with gr.Row(elem_classes=["em-pair"]):
            for name in ("soft_inpaint", "invert_mask"):
                fields[name] = checkbox(name, values[name])
        limits = {"schedule_bias": 8.0, "preservation": 8.0, "contrast_boost": 32.0}
        limits |= {"mask_influence": 1.0, "difference_threshold": 8.0, "difference_contrast": 8.0}
        names = list(limits)
        for pair in zip(names[::2], names[1::2], strict=True):
            with gr.Row(elem_classes=["em-pair"]):
                for name in pair:
                    fields[name] = slider(name, values[name], 0, limits[name], 0.1)
        fields["condition_weight"] = slider("condition_weight", values["condition_weight"], 0, 1, 0.01)


def folds(fields: Fields, values: Values, choices: Menus, extended: bool) -> tuple[gr.Button, gr.Button]:
    """All folds in their order; returns the two buttons beside the variation seed. `extended`: with extensions' own."""
    with gr.Accordion(label("group.hires"), open=False, elem_id="em-hires-fold", elem_classes=["em-only-txt2img"]):
        _hires(fields, values, choices)
    with gr.Accordion(label("group.script"), open=False, elem_id="em-script-fold"):
        gr.HTML(asset("script.html"), elem_id="em-script-frame", apply_default_css=False)
    if extended:
        with gr.Accordion(label("group.extensions"), open=False, elem_id="em-extensions-fold"):
            gr.HTML(asset("extensions.html"), elem_id="em-extensions-frame", apply_default_css=False)
    with gr.Accordion(label("group.refiner"), open=False, elem_id="em-refiner"):
        with gr.Row(elem_classes=["em-pair"]):
            fields["refiner_checkpoint"] = menu(
                "refiner_checkpoint", values["refiner_checkpoint"], choices["refiner_checkpoint"]
            )
            fields["refiner_at"] = slider("refiner_at", values["refiner_at"], 0, 1, 0.01)
    with gr.Accordion(label("group.tiles"), open=False, elem_id="em-tiles", elem_classes=["em-only-pictures"]):
        fields["tiled"] = checkbox("tiled", values["tiled"])
        with gr.Row(elem_classes=["em-pair"]):
            for name in ("tile_size", "tile_overlap"):
                fields[name] = number(name, values[name], precision=0, step=8)
    with gr.Accordion(label("group.variation"), open=False, elem_id="em-variation"):
        buttons = _variation(fields, values)
    with gr.Accordion(label("group.guidance"), open=False, elem_id="em-guidance"):
        _guidance(fields, values)
    with gr.Accordion(label("group.aesthetic"), open=False, elem_id="em-aesthetic"):
        _aesthetic(fields, values, choices)
    with gr.Accordion(label("group.sampling"), open=False, elem_id="em-sampling"):
        _sampling(fields, values, choices)
    with gr.Accordion(label("group.reading"), open=False, elem_id="em-reading"):
        _reading(fields, values, choices)
    return buttons


def _hires(fields: Fields, values: Values, choices: Menus) -> None:
    fields["hires"] = checkbox("hires", values["hires"])
    with gr.Row(elem_classes=["em-pair"]):
        fields["hires_upscaler"] = menu("hires_upscaler", values["hires_upscaler"], choices["hires_upscaler"])
        fields["hires_scale"] = slider("hires_scale", values["hires_scale"], 1, 8, 0.05)
    with gr.Row(elem_classes=["em-pair"]):
        fields["hires_strength"] = slider("hires_strength", values["hires_strength"], 0, 1, 0.01)
        fields["hires_steps"] = number("hires_steps", values["hires_steps"], precision=0)
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("hires_width", "hires_height"):
            fields[name] = number(name, values[name], precision=0, step=8)
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("hires_sampler", "hires_schedule"):
            fields[name] = menu(name, values[name], choices[name])
    with gr.Row(elem_classes=["em-pair"]):
        fields["hires_guidance_scale"] = number("hires_guidance_scale", values["hires_guidance_scale"])
        fields["hires_checkpoint"] = menu("hires_checkpoint", values["hires_checkpoint"], choices["hires_checkpoint"])
    for name in ("hires_prompt", "hires_negative_prompt"):
        fields[name] = gr.Textbox(
            values[name],
            label=label(f"field.{name}.label"),
            info=label(f"field.{name}.info"),
            lines=2,
            elem_id=f"em-{name.replace('_', '-')}",
        )


def _variation(fields: Fields, values: Values) -> tuple[gr.Button, gr.Button]:
    with gr.Row(elem_classes=["em-seed"]):
        fields["variation_seed"] = line("variation_seed", values["variation_seed"], scale=1)
        random = icon_button("button.random_variation", "dice", elem_id="em-random-variation")
        reuse = icon_button("button.reuse_variation", "reuse", elem_id="em-reuse-variation")
    fields["variation_strength"] = slider("variation_strength", values["variation_strength"], 0, 1, 0.01)
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("resize_from_width", "resize_from_height"):
            fields[name] = number(name, values[name], precision=0, step=8)
    return random, reuse


def _guidance(fields: Fields, values: Values) -> None:
    for pair in (("guidance_start", "guidance_end"), ("guidance_rescale", "skip_early")):
        with gr.Row(elem_classes=["em-pair"]):
            for name in pair:
                fields[name] = slider(name, values[name], 0, 1, 0.01)
    fields["image_scale"] = number("image_scale", values["image_scale"], step=0.1)
    fields["minimum_sigma"] = slider("minimum_sigma", values["minimum_sigma"], 0, 15, 0.01)


def _aesthetic(fields: Fields, values: Values, choices: Menus) -> None:
    name = "aesthetic_embedding"
    with gr.Row(elem_classes=["em-pair"]):
        fields[name] = menu(name, values[name], choices[name])
        fields["aesthetic_weight"] = slider("aesthetic_weight", values["aesthetic_weight"], 0, 1, 0.01)
    with gr.Row(elem_classes=["em-pair"]):
        fields["aesthetic_steps"] = slider("aesthetic_steps", values["aesthetic_steps"], 0, 50, 1)
        name = "aesthetic_rate"
        fields[name] = number(name, values[name], step=0.0001)
    fields["aesthetic_text"] = line("aesthetic_text", values["aesthetic_text"])
    fields["aesthetic_angle"] = slider("aesthetic_angle", values["aesthetic_angle"], 0, 1, 0.01)
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("aesthetic_slerp", "aesthetic_negative"):
            fields[name] = checkbox(name, values[name])


def _sampling(fields: Fields, values: Values, choices: Menus) -> None:
    pairs = (("eta", "s_noise"), ("s_churn", "noise_seed_delta"), ("s_tmin", "s_tmax"), ("sigma_min", "sigma_max"))
    for pair in pairs:
        with gr.Row(elem_classes=["em-pair"]):
            for name in pair:
                whole = 0 if name == "noise_seed_delta" else None
                fields[name] = number(name, values[name], precision=whole)
    with gr.Row(elem_classes=["em-pair"]):
        fields["rho"] = number("rho", values["rho"])
        name = "discard_penultimate"
        fields[name] = menu(name, values[name], choices[name], filterable=False)


def _reading(fields: Fields, values: Values, choices: Menus) -> None:
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("emphasis", "noise_source"):
            fields[name] = menu(name, values[name], choices[name], filterable=False)
    fields["comma_backtrack"] = slider("comma_backtrack", values["comma_backtrack"], 0, 74, 1)
    with gr.Row(elem_classes=["em-pair"]):
        for name in ("tiling", "save"):
            fields[name] = checkbox(name, values[name])
