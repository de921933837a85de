"""What every route of the really built application demands of whom: the table, the roles, and the browser's marks."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.access_table import EXPECTED
from tests.api.people import PASSWORD, PEOPLE, make_file
from tests.api.routes import built_with_hosts, close, house_of, routes_of
from webui.api.access import TABLE, UNKNOWN, needed, row_of
from webui.api.application import guarded
from webui.api.book import AccountBook
from webui.api.door import SHUT, HostNames
from webui.identity import ROLES, Level

LEVELS = {tuple(row.split(" ", 1)): level for level, text in EXPECTED.items() for row in text.split("\n        ")[1:]}
LEVELS = {(method, path.strip()): Level[level.upper()] for (method, path), level in LEVELS.items()}
SHARE = "emulsion.gradio.live"
PLACES = {  # how it was started, and a name that it goes by there
    "loopback": ({}, "127.0.0.1:7860"),
    "listen": ({"host": "0.0.0.0"}, "192.168.1.5:7860"),
    "share": ({"share": True}, SHARE),
}
TARGETS = {"loopback": "http://127.0.0.1:7860", "listen": "http://192.168.1.5:7860", "share": f"https://{SHARE}"}


@pytest.fixture(scope="module", params=PLACES)
def place(request, tmp_path_factory):
    """The application as started in one way: its name, the guarded application, a Host name, and its login."""
    options, host = PLACES[request.param]
    house = house_of(tmp_path_factory.mktemp("place"), **options)
    app, hosts, made_up = built_with_hosts(house)
    if request.param == "share":
        hosts.add(SHARE, https=True)
    yield request.param, app, host, made_up
    close(house)


def ask(app, requests: list[tuple[str, str, dict[str, str]]]) -> list[tuple[int, str]]:
    """Status and body of each request (method, path, headers), straight through the ASGI interface."""

    async def one(method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        sent: list[dict] = []
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "scheme": "http",
            "client": ("127.0.0.1", 5),
            "server": ("127.0.0.1", 7860),
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }

        async def receive():
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:]).decode("utf-8", "replace")

    async def all_of_them() -> list[tuple[int, str]]:
        return [await one(*request) for request in requests]

    return asyncio.run(all_of_them())


async def echo(scope, receive, send):
    """Answers 200 to whatever gets through."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b""})


# The table -------------------------------------------------------------------------------------------------------


def test_every_route_of_the_built_application_has_its_class_written_down(place):
    routes = routes_of(place[1])
    assert len(routes) > 150
    unknown = [route for route in routes if route not in LEVELS]
    assert not unknown, f"say in webui/api/access.py and tests/api/access_table.py what they demand: {unknown}"
    assert set(LEVELS) - set(routes) == set(), "these are no more"


def test_the_table_gives_every_route_the_class_that_is_written_down():
    assert {route: needed(*route) for route in LEVELS} == LEVELS


def test_every_row_of_the_table_counts_for_some_route():
    examples = [*LEVELS, *MORE]
    rows = {row_of(*route) for route in examples}
    assert [TABLE[number] for number in range(len(TABLE)) if number not in rows] == []


MORE = (  # what is answered in front of the routes, is named by an example above, or is there under other options
    *(("POST", "/login"), ("GET", "/login/style.css"), ("POST", "/logout"), ("POST", "/logout/")),
    *(("POST", "/ui/tasks/unload"), ("POST", "/ui/tasks/merge")),
    *(("POST", "/api/v1/tasks/unload"), ("POST", "/api/v1/tasks/merge"), ("POST", "/internal/new")),
    *(("POST", "/mcp"), ("POST", "/mcp/x"), ("POST", "/gradio_api/run/predict")),
)


@pytest.mark.parametrize(
    "path", ["/my-extension/run", "/sdapi2/x", "/uix", "/Login", "//login", "/login2", "/healthz/x"]
)
def test_what_no_row_names_can_be_used_by_users(path):
    assert needed("GET", path) == needed("POST", path) == UNKNOWN == Level.USE


@pytest.mark.parametrize(
    ("method", "path", "level"),
    [
        ("HEAD", "/ui/options", Level.ADMINISTER),
        ("PATCH", "/ui/options", Level.ADMINISTER),
        ("DELETE", "/sdapi/v1/txt2img", Level.ADMINISTER),
        ("POST", "/ui/history", Level.ADMINISTER),
        ("POST", "/ui/jobs/1/interrupt/x", Level.ADMINISTER),
        ("POST", "/ui/new\nline", Level.ADMINISTER),
        ("WEBSOCKET", "/ui/x", Level.ADMINISTER),
        ("OPTIONS", "/", Level.USE),
    ],
)
def test_unusual_requests_fall_on_the_strict_side(method, path, level):
    assert needed(method, path) == level


# Without a login -------------------------------------------------------------------------------------------------


def test_without_a_login_only_a_fixed_list_is_reachable(place):
    name, app, host, made_up = place
    if name == "loopback":
        assert made_up is None
        return  # everybody is the administrator there, behind the Host and Origin checks below
    routes = [*LEVELS, *MORE]
    answers = ask(app, [(method, path, {"host": host}) for method, path in routes])
    reached = {  # the login page itself says 401 to an empty form, in HTML
        route
        for route, (status, body) in zip(routes, answers, strict=True)
        if status not in (401, 403) or body.startswith("<!doctype html>")
    }
    refused = {route for route, (status, _) in zip(routes, answers, strict=True) if status == 403}
    assert reached == {
        *(("GET", "/healthz"), ("GET", "/readyz"), ("POST", "/login"), ("POST", "/login/"), ("GET", "/logout")),
        *(("GET", "/login/style.css"), ("POST", "/logout"), ("POST", "/logout/")),
    }
    assert refused == {route for route in routes if SHUT.match(route[1])}


def test_with_the_made_up_login_it_answers(place):
    _, app, host, made_up = place
    if made_up is None:
        assert ask(app, [("GET", "/internal/ping", {"host": host})])[0][0] == 200
        return
    import base64

    basic = "Basic " + base64.b64encode(":".join(made_up).encode()).decode()
    assert ask(app, [("GET", "/internal/ping", {"host": host, "authorization": basic})])[0][0] == 200


# Roles -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "role"), PEOPLE)
def test_each_role_reaches_exactly_the_routes_of_its_level(tmp_path, name, role):
    file = make_file(tmp_path)
    app = guarded(echo, HostNames(), AccountBook(file=file))
    headers = {"host": "127.0.0.1", "authorization": f"Bearer {file.add_token(name)}"}
    routes = [route for route in (*LEVELS, *MORE) if not SHUT.match(route[1]) and needed(*route) > Level.OPEN]
    answers = ask(app, [(*route, headers) for route in routes])
    for route, (status, body) in zip(routes, answers, strict=True):
        allowed = ROLES[role] >= needed(*route)
        assert status == (200 if allowed else 403), (route, status)
        assert allowed or f"{name} is {role}." in body


def test_a_password_reaches_what_a_token_reaches(tmp_path):
    import base64

    app = guarded(echo, HostNames(), AccountBook(file=make_file(tmp_path)))
    basic = "Basic " + base64.b64encode(f"rita:{PASSWORD}".encode()).decode()
    headers = {"host": "127.0.0.1", "authorization": basic}
    assert [s for s, _ in ask(app, [("GET", "/", headers), ("POST", "/sdapi/v1/txt2img", headers)])] == [200, 403]


# R8: the browser's marks, on every route, however it was started ------------------------------------------------------

FOREIGN_HOSTS = ("evil.com", "127.0.0.1.evil.com", "localhost.", "user@127.0.0.1", "", "evil.com:7860")


def test_no_route_answers_to_a_foreign_name(place):
    _, app, _, _ = place
    for host in FOREIGN_HOSTS:
        answers = ask(app, [(*route, {"host": host}) for route in LEVELS])
        assert {status for status, _ in answers} == {403}, host


def test_no_route_that_changes_anything_answers_another_web_site(place):
    name, app, host, _ = place
    target = TARGETS[name]
    other_scheme_or_port = f"{target}1" if name != "share" else f"https://{SHARE}:444"
    marks = [
        *({"origin": origin} for origin in ("http://evil.com", "null", other_scheme_or_port, f"{target}.evil.com")),
        *(
            {"sec-fetch-site": site, "sec-fetch-mode": m}
            for site in ("cross-site", "same-site")
            for m in ("cors", "navigate")
        ),
    ]
    changing = [route for route in LEVELS if route[0] != "GET"]
    for mark in marks:
        answers = ask(app, [(*route, {"host": host, **mark}) for route in changing])
        assert {status for status, _ in answers} == {403}, mark


def test_no_route_lets_another_web_site_embed_what_it_answers(place):
    _, app, host, _ = place
    reading = [route for route in LEVELS if route[0] == "GET"]
    for site in ("cross-site", "same-site"):
        for mode in ("no-cors", "cors", "same-origin", "websocket"):
            mark = {"host": host, "sec-fetch-site": site, "sec-fetch-mode": mode}
            assert {status for status, _ in ask(app, [(*route, mark) for route in reading])} == {403}


def test_what_the_page_and_programs_send_gets_through(tmp_path):
    for name, (options, host) in PLACES.items():
        hosts = HostNames(options.get("host", "127.0.0.1"))
        hosts.add(SHARE, https=True)
        app = guarded(echo, hosts, AccountBook())
        own = (
            {"origin": TARGETS[name], "sec-fetch-site": "same-origin", "sec-fetch-mode": "cors"},
            {},
            {"sec-fetch-site": "none"},
        )
        routes = [route for route in LEVELS if not SHUT.match(route[1]) and needed(*route) > Level.OPEN]
        for marks in own:
            assert {s for s, _ in ask(app, [(*route, {"host": host, **marks}) for route in routes])} == {200}
        link = {"host": host, "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
        assert {s for s, _ in ask(app, [(*route, link) for route in routes if route[0] == "GET"])} == {200}
