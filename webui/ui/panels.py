"""The tabs of the page, in their order.

A panel is a plain page of its own: `assets/NAME.html`, with `NAME.js` and `NAME.css` beside it and a text `tab.NAME`.
"""

from __future__ import annotations

STUDIO_TABS = ("txt2img", "img2img", "inpaint")  # they share what `studio` builds
PANELS: tuple[str, ...] = ("extras", "library", "history", "picture_info", "models", "settings")
