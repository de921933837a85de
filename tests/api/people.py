"""Accounts for tests, with passwords that cost next to nothing to hash."""

from __future__ import annotations

from pathlib import Path

from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from webui.api.accounts import FILE, AccountsFile
from webui.api.application import guarded
from webui.api.book import AccountBook
from webui.api.door import HostNames
from webui.api.entrance import LoginPage
from webui.identity import ROLE, USER
from webui.ui.login_page import login_files, login_html

CHEAP = (2, 8, 1)
PASSWORD = "correct horse"
PEOPLE = (("adam", "administrator"), ("uma", "user"), ("rita", "read-only"))


def make_file(folder: Path, people=PEOPLE) -> AccountsFile:
    """The accounts of a data folder, all with the same password."""
    file = AccountsFile(folder / FILE, CHEAP)
    for name, role in people:
        file.add(name, role, PASSWORD)
    return file


ADDRESS = "http://127.0.0.1:7860"
HTML = {"accept": "text/html,application/xhtml+xml"}
PATHS = ("/", "/sdapi/v1/options", "/gradio_api/app_id", "/anything", "/ui/options", "/healthz")
PAGE = LoginPage(lambda scene: login_html(**vars(scene)), login_files())


async def who(request):
    return JSONResponse([request.scope[USER], request.scope[ROLE]])


def client(book: AccountBook, **options) -> TestClient:
    """An application whose routes tell who is asking, behind the real doors."""
    routes = [Route(path, who, methods=["GET", "POST"]) for path in PATHS]
    app = guarded(Starlette(routes=routes), HostNames(further=("pictures.home",)), book, PAGE, **options)
    return TestClient(app, base_url=ADDRESS, follow_redirects=False)


def bearer(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {token}"}


def log_in(door: TestClient, name: str, password: str = PASSWORD, **more: str):
    """What the form of the login page is answered."""
    return door.post("/login", data={"name": name, "password": password, **more})


def cookie_of(door: TestClient, name: str = "uma") -> tuple[str, str]:
    """Name and value of a fresh cookie, which the client does not keep."""
    pair = log_in(door, name).headers["set-cookie"].split(";")[0]
    door.cookies.clear()
    name, _, value = pair.partition("=")
    return name, value
