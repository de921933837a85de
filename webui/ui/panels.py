"""The tabs of the page, in their order.

A panel is a plain page of its own: `assets/NAME.html`, with `NAME.js` and `NAME.css` beside it and a text `tab.NAME`.
"""

from __future__ import annotations

STUDIO_TABS = ("txt2img", "img2img", "inpaint")  # they share what `studio` builds
PANELS: tuple[str, ...] = ("extras", "library", "history", "picture_info", "models", "settings")


def tab_bar() -> str:
    """The tabs as HTML. Gradio's own stay in the language that the page was built in until they are opened."""
    tabs = (f'id="em-tab-{name}-button" data-opens="{name}" data-i18n="tab.{name}"' for name in (*STUDIO_TABS, *PANELS))
    buttons = "\n".join(f'  <button type="button" role="tab" {tab}></button>' for tab in tabs)
    return f'<nav class="em-tabs" role="tablist" data-i18n-label="tabs.label">\n{buttons}\n</nav>'


def panel_style() -> str:
    """The rules that show a panel only while its tab is the chosen one."""
    return "\n".join(f'body:not([data-tab="{n}"]) #em-panel-{n} {{ display: none !important; }}' for n in PANELS)
