"""Names and passwords."""

from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from webui.api.login import USER, Accounts, Login, make_accounts


async def who(request):
    return PlainTextResponse(str(request.scope[USER]))


def client(accounts: Accounts) -> TestClient:
    routes = [Route(path, who) for path in ("/", "/sdapi/v1/options", "/gradio_api/app_id", "/anything")]
    return TestClient(Login(Starlette(routes=routes), accounts))


def test_without_accounts_everybody_enters():
    assert client(Accounts()).get("/").text == "None"


@pytest.mark.parametrize("path", ["/", "/sdapi/v1/options", "/gradio_api/app_id", "/anything", "/missing"])
def test_with_accounts_nothing_is_open(path):
    door = client(Accounts((("ann", "pass:word"),), (("ann", "pass:word"),)))
    answer = door.get(path)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")
    assert door.get(path, auth=("ann", "pass:word")).status_code != 401


@pytest.mark.parametrize(
    "header", ["", "Basic", "Basic !!!", "Basic YW5u", "Bearer YW5uOnBhc3M=", "Basic /////w==", "Basic YW5uOndyb25n"]
)
def test_wrong_headers_are_refused(header):
    door = client(Accounts((("ann", "pass"),), (("ann", "pass"),)))
    assert door.get("/", headers={"authorization": header}).status_code == 401


def test_one_users_password_does_not_open_for_another():
    accounts = (("ann", "a"), ("bob", "b"))
    assert client(Accounts(accounts, accounts)).get("/", auth=("ann", "b")).status_code == 401
    assert client(Accounts(accounts, accounts)).get("/", auth=("bob", "b")).text == "bob"


def test_page_and_api_can_have_accounts_of_their_own():
    door = client(Accounts((("page", "p"),), (("api", "a"),)))
    assert door.get("/sdapi/v1/options", auth=("page", "p")).status_code == 401
    assert door.get("/sdapi/v1/options", auth=("api", "a")).status_code == 200
    assert door.get("/", auth=("api", "a")).status_code == 401


ANN, BOT = (("ann", "x"),), (("bot", "y"),)


@pytest.mark.parametrize(
    ("auth", "api_auth", "listen", "page", "api"),
    [
        ((), (), False, (), ()),
        (ANN, (), False, ANN, ANN),
        ((), BOT, False, (), BOT),
        (ANN, BOT, False, ANN, BOT),
        ((), BOT, True, BOT, BOT),
        (ANN, (), True, ANN, ANN),
    ],
)
def test_either_list_stands_in_for_the_other(auth, api_auth, listen, page, api):
    accounts, made_up = make_accounts(auth, api_auth, listen)
    assert (accounts.page, accounts.api, made_up) == (page, api, None)


def test_a_server_for_others_makes_up_a_login():
    accounts, made_up = make_accounts((), (), True)
    assert accounts.page == accounts.api == (made_up,)
    assert len(made_up[1]) >= 16 and made_up != make_accounts((), (), True)[1]
