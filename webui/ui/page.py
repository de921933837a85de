"""The whole page: quick settings, tabs, and the events that belong to no single studio."""

from __future__ import annotations

import html
import logging
import os

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")  # read at Gradio's import: it must not call home

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from webui.engine.extensions import TABS
from webui.errors import InvalidRequest
from webui.identity import Level, may
from webui.registry import Entry
from webui.settings import Settings, SettingsStore
from webui.ui import actions, filling
from webui.ui.assets import ASSETS, asset, head
from webui.ui.choices import DEFAULT_NATIVE, Choices, facts, menus, starting_values
from webui.ui.choosing import wire_choosing
from webui.ui.components import icon_button, menu, slider
from webui.ui.extension_routes import shown
from webui.ui.fields import NAMES, check_kinds
from webui.ui.language import translations
from webui.ui.panels import PANELS, extension_tabs, tab_bar
from webui.ui.sizes import follow, preset_name, presets
from webui.ui.studio import QUIET, Studio, build_studio, size_choice, wire_generate, wire_small_buttons
from webui.ui.theme import theme
from webui.workers.service import JobService

log = logging.getLogger(__name__)

KEEP_UPLOADS = (3600, 86400)  # Gradio looks every hour for files of its own that are older than a day
HINTED = ("checkpoint", "width", "height", "guidance_scale", "negative_prompt", "prompt")  # fields with hints
NAMES_TIMEOUT = 30.0  # seconds that a page waits for the first start of the worker to list its samplers

Updates = dict[Any, Any]


def build_page(service: JobService, settings: SettingsStore) -> gr.Blocks:
    """The page as Gradio blocks, not yet mounted; mount it with `page_options()`.

    `service` answers every question and takes the jobs, `settings` give the first values of the fields. The routes of
    `routes.page_routes` must stand on the same site.
    """
    values = starting_values(service, settings.settings)
    choices = menus(service, "en")
    native = facts(service, values["checkpoint"]).native_size or DEFAULT_NATIVE
    with gr.Blocks(title="Emulsion", analytics_enabled=False, fill_width=True, delete_cache=KEEP_UPLOADS) as page:
        with gr.Row(elem_id="em-top"):
            gr.HTML(asset("brand.html"), elem_id="em-brand-frame", apply_default_css=False)
            with gr.Row(elem_id="em-quick"):
                quick: dict[str, Component] = {
                    "checkpoint": menu("checkpoint", values["checkpoint"], choices["checkpoint"])
                }
                refresh = icon_button("button.refresh", "refresh", elem_id="em-refresh")
                quick["vae"] = menu("vae", values["vae"], choices["vae"])
                quick["clip_skip"] = slider("clip_skip", values["clip_skip"], 1, 12, 1)
            gr.HTML(asset("language.html"), elem_id="em-language-frame", apply_default_css=False)
        gr.HTML(asset("quick.html"), elem_id="em-quick-frame", apply_default_css=False)
        gr.HTML(tab_bar(), elem_id="em-tabs", apply_default_css=False)
        for panel in PANELS:
            gr.HTML(asset(f"{panel}.html"), elem_id=f"em-panel-{panel}", apply_default_css=False)
        for (name, _), entry in zip(extension_tabs(), TABS, strict=True):
            with gr.Column(elem_id=f"em-panel-{name}"):
                _build_foreign(entry)
        studio = build_studio(quick, values, choices, native, shown(service.extensions))
        wire_small_buttons(studio)
        wire_generate(studio, service)
        _wire(page, studio, service, settings, refresh, native)
    return page


def _build_foreign(entry: Entry[Callable[..., Any]]) -> None:
    """The tab of an extension. One that fails says so in its place, and the page stays."""
    try:
        entry.value()
    except Exception as error:
        log.exception("the tab %s could not be built", entry.name)
        gr.HTML(hint_list([f"{entry.name}: {type(error).__name__}: {error}"]), apply_default_css=False)


def page_options(settings: Settings | None = None) -> dict[str, Any]:
    """Arguments for `gr.mount_gradio_app` that belong to the page: look, scripts and texts.

    `settings` carry the language and the theme for readers who have not chosen their own.
    """
    return {
        "theme": theme(),
        "head": head(settings),
        "i18n": translations(),
        "footer_links": [],
        "show_error": False,  # texts of foreign exceptions name files of the server; ours are shown by the page itself
        "favicon_path": str(ASSETS / "icon.svg"),
    }


def _wire(
    page: gr.Blocks, studio: Studio, service: JobService, settings: SettingsStore, refresh: gr.Button, native: int
) -> None:
    language = gr.Textbox("en", visible="hidden")
    report = gr.Textbox(visible="hidden")
    natives = gr.State(native)  # the native size that the size fields belong to
    translate = gr.Button(visible="hidden", elem_id="em-translate")
    fields: Mapping[str, Any] = studio.fields  # of kinds that have the events used below
    inputs = studio.inputs()
    menu_fields = [fields[name] for name in menus(service, "en")]
    size_fields = [fields["width"], fields["height"]]

    def opened(language: str, job_id: str) -> Updates:
        values = filling.opening_values(service, settings, language) | actions.restore(service, job_id, language)
        updates: Updates = {fields[name]: gr.update(value=values[name]) for name in NAMES}
        updates[natives] = facts(service, values["checkpoint"]).native_size or native
        for name, choices in menus(service, language).items():
            updates[fields[name]] = gr.update(choices=choices, value=values[name], **_shown(name, choices))
        return updates

    def offered(language: str, timeout: float = 0.0) -> list[Any]:
        found = menus(service, language, timeout)
        return [gr.update(choices=choices, **_shown(name, choices)) for name, choices in found.items()]

    def names_ready(language: str) -> list[Any]:
        return offered(language, NAMES_TIMEOUT)

    def refreshed(request: gr.Request, language: str) -> list[Any]:
        scope = request.request.scope if request.request is not None else {}
        if service.catalogue is not None and may(scope, Level.ADMINISTER):
            service.catalogue.refresh()
        return offered(language)

    def fitted(checkpoint: str, width: int, height: int, before: int) -> list[Any]:
        after = facts(service, checkpoint).native_size or before
        if after == before:  # nothing is written back: Gradio may tell one choice twice, the second time with old sizes
            return [gr.skip(), gr.skip(), gr.skip()]
        return [*follow(width, height, before, after), after]

    where = "() => [emulsion.locale()]"
    js = "() => [emulsion.locale(), emulsion.jobs.last()]"
    loaded = page.load(opened, [language, report], [*inputs, natives], js=js, **QUIET)
    loaded.then(None, js="() => document.body.classList.add('em-ready')", **QUIET)
    loaded.then(names_ready, [language], menu_fields, js=where, **QUIET)
    again: Any = {"trigger_mode": "always_last", **QUIET}  # what comes meanwhile counts too
    translated = translate.click(refreshed, [language], menu_fields, js=where, **again)
    refresh.click(refreshed, [language], menu_fields, js=where, **again)
    fields["checkpoint"].input(fitted, [fields["checkpoint"], *size_fields, natives], [*size_fields, natives], **again)
    _wire_hints(page, studio, service, language, translated)
    wire_choosing(studio, service, natives)
    _wire_filling(studio, service, settings, natives, language)


def _wire_hints(page: gr.Blocks, studio: Studio, service: JobService, language: gr.Textbox, translated: Any) -> None:
    """Ask for the hints and mark the chosen size whenever what they are about may have changed."""
    fields: Mapping[str, Any] = studio.fields

    def hinted(*given: Any) -> list[Any]:
        values = dict(zip(HINTED, given[:-1], strict=True))
        try:
            check_kinds(values)
        except InvalidRequest:
            return [gr.skip(), gr.skip()]
        words: list[Any] = [None if value == "" else value for value in values.values()]
        checkpoint, width, height = words[:3]
        found = actions.page_hints(service, *[*words, str(given[-1])])
        sizes = presets(facts(service, checkpoint).native_size or DEFAULT_NATIVE)
        value = preset_name((width, height)) if (width, height) in sizes else None
        return [hint_list(found), gr.update(choices=[size_choice(size) for size in sizes], value=value)]

    triggers = [fields[name].change for name in ("checkpoint", "width", "height", "guidance_scale")]
    words = (fields["prompt"].blur, fields["negative_prompt"].blur, studio.generate.click)
    look = "() => emulsion.turns.pressOnce('em-look')"
    gr.on([*triggers, *words, page.load], None, js=look, trigger_mode="multiple", **QUIET)
    translated.then(None, js=look, **QUIET)
    looked = gr.Button(visible="hidden", elem_id="em-look").click(
        hinted,
        [*(fields[name] for name in HINTED), language],
        [studio.hint, studio.preset],
        js=_WITH_LANGUAGE,
        trigger_mode="multiple",
        preprocess=False,  # Gradio fails for what is out of a slider's range
        **QUIET,
    )
    over = "() => emulsion.turns.over('em-look')"
    looked.success(None, js=over, **QUIET)
    looked.failure(None, js=over, **QUIET)


def _wire_filling(
    studio: Studio, service: JobService, settings: SettingsStore, natives: gr.State, language: gr.Textbox
) -> None:
    """The hidden buttons by which scripts fill the fields, and ask what stands in them."""
    report = gr.Textbox(visible="hidden")
    fill = gr.Button(visible="hidden", elem_id="em-fill")
    take = gr.Button(visible="hidden", elem_id="em-take")
    fields, inputs = studio.fields, studio.inputs()

    def filled(wanted: str, language: str) -> Updates:
        read = filling.fill(service, settings, wanted, language)
        updates: Updates = {fields[name]: gr.update(value=value) for name, value in read.values.items()}
        if "checkpoint" in read.values:
            updates[natives] = facts(service, read.values["checkpoint"]).native_size or natives.value
        return {**updates, report: read.report}

    take.click(None, inputs, None, js="(...values) => emulsion.fields.taken(values)", **QUIET)
    wanted = "() => [emulsion.settings.taken(), emulsion.locale()]"
    outputs = [*inputs, natives, report]
    done = fill.click(filled, [report, language], outputs, js=wanted, trigger_mode="multiple", **QUIET)
    done.success(None, [report], None, js="(report) => emulsion.settings.filled(report)", **QUIET)
    done.failure(None, None, None, js="() => emulsion.settings.filled('')", **QUIET)


def _shown(name: str, choices: Choices) -> dict[str, Any]:
    """Whether a menu is on the page: that of the styles is not before there is one."""
    return {"visible": bool(choices)} if name == "styles" else {}


_WITH_LANGUAGE = "(...values) => [...values.slice(0, -1), emulsion.locale()]"


def hint_list(sentences: Sequence[str]) -> str:
    """Hints as HTML; the sentences may hold file names, so they are escaped, and what the server says of a model."""
    escaped = map(html.escape, sentences)
    return "".join(f'<p class="em-hint" data-said="{sentence}">{sentence}</p>' for sentence in escaped)
