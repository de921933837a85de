"""The login page: plain HTML that works without scripts, in the reader's language. Nothing of Gradio is needed."""

from __future__ import annotations

import functools
import html
import json
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlencode

UI = Path(__file__).parent
LOCALES, ASSETS = UI / "locales", UI / "assets"
FALLBACK = "en"
FILES = {
    "style.css": "text/css",
    "login.css": "text/css",
    "login.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}


def login_html(
    wanted: str, language: str, languages: str, name: str = "", failed: bool = False, seconds: int = 0
) -> str:
    """The page. `wanted`: where to go afterwards; `language`: what the address asks for, else the browser's
    `languages` (its header Accept-Language) count; `failed` and `seconds` to wait tell of the last attempt."""
    chosen = choose_language(language, languages)
    texts = _texts()[chosen] | {"wait": _texts()[chosen]["login.wait"].format(seconds=seconds)}
    message = texts["wait"] if seconds else texts["login.failed"] if failed else ""
    values = {
        "language": chosen,
        "title": texts["login.title"],
        "query": f"?{urlencode({'lang': chosen})}" if language else "",
        "next": wanted,
        "name_label": texts["login.name"],
        "name": name,
        "focus_name": "" if name else "autofocus",
        "password_label": texts["login.password"],
        "focus_password": "autofocus" if name else "",
        "submit": texts["login.submit"],
        "busy": texts["login.busy"],
        "seconds": str(seconds),
        "languages_label": texts["language.label"],
    }
    pieces = {
        "message": f'<p class="em-error" role="alert">{html.escape(message)}</p>' if message else "",
        "languages": "\n    ".join(_language_link(one, chosen, wanted) for one in _texts()),
    }
    return _template().format_map({key: html.escape(value) for key, value in values.items()} | pieces)


def login_files() -> dict[str, tuple[str, bytes]]:
    """What the page needs, by name below /login/: media type and bytes."""
    return {name: (kind, (ASSETS / name).read_bytes()) for name, kind in FILES.items()}


def choose_language(asked: str, accepted: str) -> str:
    """A language that there is: the one asked for, or the first that a header Accept-Language prefers."""
    if asked in _texts():
        return asked
    wishes = []
    for part in accepted.split(",")[:20]:
        name, _, quality = part.strip().partition(";q=")
        try:
            wishes.append((-float(quality or 1), name.lower()))
        except ValueError:
            continue
    for _, name in sorted(wishes, key=lambda wish: wish[0]):
        for known in _texts():
            if name and known.lower().split("-")[0] == name.split("-")[0]:
                return known
    return FALLBACK


def _language_link(name: str, chosen: str, wanted: str) -> str:
    query = {"lang": name} | ({"next": wanted} if wanted != "/" else {})
    current = ' aria-current="true"' if name == chosen else ""
    own = html.escape(_texts()[name]["language.name"])
    return f'<a href="login?{html.escape(urlencode(query))}" lang="{name}" hreflang="{name}"{current}>{own}</a>'


@functools.cache
def _texts() -> Mapping[str, dict[str, str]]:
    """Every language's texts by key; the module for it needs Gradio."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(LOCALES.glob("*.json"))}


@functools.cache
def _template() -> str:
    return (ASSETS / "login.html").read_text("utf-8")
