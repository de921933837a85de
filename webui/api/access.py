"""What each route demands of who is asking: one table for the page, the HTTP routes, Gradio's own and extensions'.

The first row that fits counts. What no row names is a route of an extension: it can be used by whoever may use the
program. tests/api/test_access.py walks every route of the built application, so a new one is put here first.
"""

from __future__ import annotations

import re

from webui.identity import Level

OPEN, READ, USE, ADMINISTER = Level.OPEN, Level.READ, Level.USE, Level.ADMINISTER
UNKNOWN = USE

# methods ("*": all; GET means HEAD too), path ({} is one part, * is all that follows), level
TABLE: tuple[tuple[str, str, Level], ...] = (
    # who may enter, and whether the program lives
    ("*", "/login", OPEN),
    ("*", "/login/*", OPEN),
    ("*", "/logout", OPEN),
    ("*", "/logout/", OPEN),
    ("GET", "/healthz", OPEN),
    ("GET", "/readyz", OPEN),
    ("GET", "/metrics", READ),
    ("GET", "/ui/me", READ),
    # A1111's routes
    ("GET", "/sdapi/v1/cmd-flags", ADMINISTER),
    ("GET", "/sdapi/v1/*", READ),
    ("POST", "/sdapi/v1/png-info", READ),
    ("POST", "/sdapi/v1/txt2img", USE),
    ("POST", "/sdapi/v1/img2img", USE),
    ("POST", "/sdapi/v1/interrogate", USE),
    ("POST", "/sdapi/v1/extra-single-image", USE),
    ("POST", "/sdapi/v1/extra-batch-images", USE),
    ("POST", "/sdapi/v1/interrupt", USE),
    ("POST", "/sdapi/v1/skip", USE),
    ("*", "/sdapi/*", ADMINISTER),  # options, refresh-…, unload, reload, create, train, server-…
    ("GET", "/internal/sysinfo", ADMINISTER),
    ("GET", "/internal/sysinfo-download", ADMINISTER),
    ("GET", "/internal/*", READ),
    ("POST", "/internal/progress", READ),
    ("*", "/internal/*", ADMINISTER),
    ("GET", "/controlnet/*", READ),
    ("POST", "/controlnet/*", USE),
    ("GET", "/sd_extra_networks/*", READ),
    # OpenAI's routes, our own, their descriptions, MCP
    ("GET", "/v1/*", READ),
    ("*", "/v1/*", USE),
    ("GET", "/api/v1/*", READ),
    ("POST", "/api/v1/tasks/unload", ADMINISTER),
    ("POST", "/api/v1/tasks/merge", ADMINISTER),
    ("*", "/api/v1/*", USE),
    ("GET", "/docs", READ),
    ("GET", "/docs/*", READ),
    ("GET", "/openapi.json", READ),
    ("*", "/mcp", USE),
    ("*", "/mcp/*", USE),
    # the page's own routes
    ("GET", "/ui/jobs/*", READ),
    ("POST", "/ui/jobs/{}/{}", USE),
    ("POST", "/ui/tasks/unload", ADMINISTER),
    ("POST", "/ui/tasks/merge", ADMINISTER),
    ("POST", "/ui/tasks/{}", USE),  # folders in it are the administrator's: ui/routes.py
    ("POST", "/ui/uploads", USE),
    ("GET", "/ui/uploads/{}", READ),
    ("POST", "/ui/tokens", READ),
    ("POST", "/ui/settings", READ),
    ("POST", "/ui/picture-info", READ),
    ("GET", "/ui/extras", READ),
    ("GET", "/ui/extensions", READ),
    ("GET", "/ui/scripts", READ),
    ("GET", "/ui/sentences/{}", READ),
    ("POST", "/ui/scripts/*", READ),  # only counts
    ("GET", "/ui/downloads", ADMINISTER),  # their addresses may hold tokens
    ("GET", "/ui/library/trash", ADMINISTER),
    ("GET", "/ui/library/*", READ),
    ("POST", "/ui/library/recipes", READ),
    ("GET", "/ui/history", READ),
    ("GET", "/ui/history/trash", ADMINISTER),
    ("GET", "/ui/history/*", READ),
    ("POST", "/ui/history/zip", READ),
    ("PUT", "/ui/history/{}", USE),  # favourite, rating
    ("GET", "/ui/options", ADMINISTER),
    ("GET", "/ui/options/page", READ),
    ("GET", "/ui/styles", READ),
    ("POST", "/ui/styles/apply", READ),
    ("GET", "/ui/presets", READ),
    ("GET", "/ui/vae", READ),
    ("GET", "/ui/merge", READ),
    ("*", "/ui/*", ADMINISTER),  # settings, styles, presets, model files, pictures' trash, downloads, merges
    # Gradio's own routes; what an event does is checked where it is handled, and those of extensions in ui/events.py
    ("GET", "/", READ),
    ("GET", "/config", READ),
    ("GET", "/config/", READ),
    ("GET", "/theme.css", READ),
    ("GET", "/favicon.ico", READ),
    ("GET", "/robots.txt", READ),
    ("GET", "/manifest.json", READ),
    ("GET", "/pwa_icon", READ),
    ("GET", "/pwa_icon/{}", READ),
    ("GET", "/svelte/*", READ),
    ("GET", "/static/*", READ),
    ("GET", "/assets/*", READ),
    ("*", "/monitoring", ADMINISTER),
    ("*", "/monitoring/*", ADMINISTER),
    ("*", "/gradio_api/vibe*", ADMINISTER),
    ("*", "/gradio_api/undo-vibe*", ADMINISTER),
    ("*", "/gradio_api/dev/*", ADMINISTER),
    ("*", "/gradio_api/proxy=*", ADMINISTER),
    ("*", "/gradio_api/process_recording", ADMINISTER),
    ("*", "/gradio_api/runs", ADMINISTER),
    ("*", "/gradio_api/runs/", ADMINISTER),
    ("GET", "/gradio_api/*", READ),
    ("POST", "/gradio_api/queue/join", READ),
    ("POST", "/gradio_api/run/predict", READ),
    ("POST", "/gradio_api/cancel", READ),
    ("POST", "/gradio_api/reset", READ),
    ("POST", "/gradio_api/reset/", READ),
    ("*", "/gradio_api/*", USE),
)


def _pattern(path: str) -> re.Pattern[str]:
    parts = re.split(r"(\{\}|\*)", path)
    return re.compile("".join({"{}": "[^/]+", "*": ".*"}.get(part, re.escape(part)) for part in parts), re.DOTALL)


_ROWS = tuple((methods.split(), _pattern(path), level) for methods, path, level in TABLE)


def row_of(method: str, path: str) -> int | None:
    """The number of the row that counts for a request; None: no row names it."""
    method = "GET" if method == "HEAD" else method
    for number, (methods, pattern, _) in enumerate(_ROWS):
        if ("*" in methods or method in methods) and pattern.fullmatch(path):
            return number
    return None


def needed(method: str, path: str) -> Level:
    """What a request demands. `path` is that of the ASGI scope, decoded and without a proxy's prefix."""
    row = row_of(method, path)
    return UNKNOWN if row is None else _ROWS[row][2]
