"""The page as Gradio's blocks: how much it is, and what it lets out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import gradio as gr
import pytest

from tests.ui.fake_service import FakeService
from webui.registry import Registry
from webui.settings import SettingsStore
from webui.ui import page as page_module
from webui.ui import panels
from webui.ui.assets import head, script_json
from webui.ui.page import build_page, hint_list, page_options


def test_the_page_is_light(service: FakeService, store: SettingsStore) -> None:
    page = build_page(service, store)  # type: ignore[arg-type]
    assert len(page.blocks) < 245


def test_no_event_of_the_page_has_a_public_name(service: FakeService, store: SettingsStore) -> None:
    page = build_page(service, store)  # type: ignore[arg-type]
    assert [f.api_name for f in page.fns.values() if f.api_visibility != "private"] == []


def test_hints_cannot_carry_markup() -> None:
    assert "<img" not in hint_list(["<img src=x onerror=alert(1)>"])


def test_settings_in_the_head_cannot_end_its_script() -> None:
    assert "</script" not in script_json({"delimiters": "</script><script>alert(1)"})
    assert json.loads(script_json({"a": "<\u2028"})) == {"a": "<\u2028"}


def test_the_head_asks_for_nothing_from_elsewhere() -> None:
    addresses = set(re.findall(r"https?://[^\s\"'`)<>\\]+", head()))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of the SVG format inside icons


def test_fonts_are_those_of_the_readers_system() -> None:
    theme = page_options()["theme"]
    assert {type(font).__name__ for font in (*theme._font, *theme._font_mono)} == {"Font"}


def test_importing_the_page_needs_no_torch() -> None:
    code = "import sys, webui.ui.page, webui.ui.routes; print('torch' in sys.modules, 'transformers' in sys.modules)"
    folder = Path(__file__).resolve().parents[2]
    shown = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=True)
    assert shown.stdout.split() == ["False", "False"]


def test_gradio_writes_no_files_beside_the_source() -> None:
    folder = Path(__file__).resolve().parents[2] / "webui" / "ui"
    assert list(folder.glob("*.pyi")) == []


def test_tabs_of_extensions_stand_in_the_page_and_a_broken_one_says_so(
    service: FakeService, store: SettingsStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabs: Registry = Registry("tab")
    tabs.register("My <tools>")(lambda: gr.Button("Sharpen"))
    tabs.register("Broken")(lambda: 1 / 0)
    for module in (panels, page_module):
        monkeypatch.setattr(module, "TABS", tabs)
    page = build_page(service, store)  # type: ignore[arg-type]
    blocks = page.blocks.values()
    assert any(getattr(block, "value", None) == "Sharpen" for block in blocks)
    assert any("ZeroDivisionError" in str(getattr(block, "value", "")) for block in blocks)
    assert "My &lt;tools&gt;</button>" in panels.tab_bar()
    assert '[data-tab="extension-1"]) #em-panel-extension-1' in panels.panel_style()
