"""The page's own scripts, styles and pieces of HTML, read from `assets/`."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

from webui.settings import Settings
from webui.ui.fields import NAMES
from webui.ui.panels import panel_style

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = (  # in the order of their needs
    *("core.js", "turns.js", "sentences.js", "account.js", "tabs.js", "tasks.js", "jobs.js"),
    *("pictures.js", "prompt.js", "settings.js"),
    *("canvas_paint.js", "canvas_files.js", "canvas.js", "canvas_view.js", "canvas_tools.js", "canvas_bar.js"),
    *("picture_size.js", "studio.js", "keys.js", "picture_info.js", "describe.js"),
    *("versus.js", "extras_sources.js", "extras_result.js", "extras.js"),
    *("history.js", "history_actions.js", "history_grid.js", "history_bar.js", "history_view.js", "history_compare.js"),
    *("elements.js", "choosing.js", "library_prompt.js", "library_speed.js", "library_cards.js", "library_details.js"),
    "script.js",
    *("library_trash.js", "library_bar.js", "library.js", "library_drawer.js", "downloads.js", "merge.js"),
    *("fields.js", "extensions.js"),
    *("folds.js", "options.js", "quick.js", "settings_panel.js", "styles.js", "presets.js"),
)
STYLES = (
    *("style.css", "canvas.css", "picture_info.css", "history.css", "library.css", "models.css", "options.css"),
    *("script.css", "extras.css"),
)
# Settings that the scripts read: the page learns of changes of them at once, and of their values when it opens.
PAGE_SETTINGS = ("language", "theme", "weight_step", "network_weight_step", "weight_delimiters", "preview_period")
# Fields whose values the scripts change before they are sent.
FILLED_BY_SCRIPTS = ("mode", "source_image", "source_mask", "width", "height", "seed", "count", "batch_size")


@functools.cache
def asset(name: str) -> str:
    """The text of one file."""
    return (ASSETS / name).read_text("utf-8")


def head(settings: Settings | None = None) -> str:
    """Style and scripts for the page's head: within the page, so they are there before the first component is."""
    scripts = [f"const emulsionDefaults = {script_json(defaults(settings))};", *(asset(name) for name in SCRIPTS)]
    styles = "\n".join(f"<style>\n{text}</style>" for text in (*map(asset, STYLES), panel_style()))
    return f"{styles}\n" + "\n".join(f"<script>\n{text}</script>" for text in scripts)


def defaults(settings: Settings | None) -> dict[str, Any]:
    """What the scripts have to know of the user's settings."""
    current = settings or Settings()
    return {name: current[name] for name in PAGE_SETTINGS} | {
        "fields": NAMES,
        "places": {name: NAMES.index(name) for name in FILLED_BY_SCRIPTS},
    }


def script_json(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("\u2028", "\\u2028")
