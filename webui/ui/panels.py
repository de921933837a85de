"""The tabs of the page, in their order.

A panel is a plain page of its own: `assets/NAME.html`, with `NAME.js` and `NAME.css` beside it and a text `tab.NAME`.
"""

from __future__ import annotations

import html

from webui.engine.extensions import TABS

STUDIO_TABS = ("txt2img", "img2img", "inpaint")  # they share what `studio` builds
PANELS: tuple[str, ...] = ("extras", "library", "history", "picture_info", "models", "settings")


def extension_tabs() -> list[tuple[str, str]]:
    """Name on the page and title of every tab that extensions brought."""
    return [(f"extension-{number}", entry.name) for number, entry in enumerate(TABS)]


def tab_bar() -> str:
    """The tabs as HTML. Gradio's own stay in the language that the page was built in until they are opened."""
    ours = [(name, f'data-i18n="tab.{name}"', "") for name in (*STUDIO_TABS, *PANELS)]
    theirs = [(name, "", html.escape(title)) for name, title in extension_tabs()]
    buttons = "\n".join(
        f'  <button type="button" role="tab" id="em-tab-{name}-button" data-opens="{name}" {text}>{title}</button>'
        for name, text, title in (*ours, *theirs)
    )
    return f'<nav class="em-tabs" role="tablist" data-i18n-label="tabs.label">\n{buttons}\n</nav>'


def panel_style() -> str:
    """The rules that show a panel only while its tab is the chosen one."""
    names = (*PANELS, *(name for name, _ in extension_tabs()))
    return "\n".join(f'body:not([data-tab="{n}"]) #em-panel-{n} {{ display: none !important; }}' for n in names)
