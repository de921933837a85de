"""The login: who is recognised by a Basic header, a token or a cookie, and what the others are told."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from tests.api.people import ADDRESS, CHEAP, HTML, PASSWORD, bearer, client, cookie_of, log_in, make_file
from webui.api.book import AccountBook, open_book
from webui.api.login import Login
from webui.api.passwords import Passwords
from webui.api.throttle import FREE, LONGEST, Throttle


@pytest.fixture(autouse=True)
def standing_clock(monkeypatch):
    """Who has to wait has to wait in all of a test, however long that takes."""
    monkeypatch.setattr("webui.api.passwords.Throttle", lambda: Throttle(clock=lambda: 1000.0))


@pytest.fixture
def file(tmp_path):
    """Accounts of one person for each role."""
    return make_file(tmp_path)


@pytest.fixture
def door(file):
    return client(AccountBook([("root", "pass:word")], file))


# Who is recognised -----------------------------------------------------------------------------------------------


def test_without_accounts_everybody_is_the_administrator():
    assert client(AccountBook()).get("/").json() == [None, "administrator"]


def test_a_book_that_must_have_accounts_lets_nobody_in_without_them():
    assert client(AccountBook(required=True)).get("/").status_code == 401


@pytest.mark.parametrize("path", ["/", "/sdapi/v1/options", "/gradio_api/app_id", "/anything", "/missing"])
def test_with_accounts_nothing_is_open(door, path):
    answer = door.get(path)
    assert answer.status_code == 401 and answer.headers["www-authenticate"].startswith("Basic")
    assert answer.json()["detail"] == "Not authenticated"
    assert door.get(path, auth=("root", "pass:word")).status_code != 401


@pytest.mark.parametrize("name", ["adam", "uma", "rita"])
def test_a_password_a_token_and_a_cookie_name_the_same_person(door, file, name):
    expected = [name, {"adam": "administrator", "uma": "user", "rita": "read-only"}[name]]
    assert door.get("/", auth=(name, PASSWORD)).json() == expected
    assert door.get("/", headers=bearer(file.add_token(name))).json() == expected
    assert log_in(door, name).status_code == 303
    assert door.get("/").json() == expected


@pytest.mark.parametrize(
    "header",
    [
        *("", "Basic", "Basic !!!", "Basic YW5u", "Bearer YW5uOnBhc3M=", "Basic /////w==", "Basic YW5uOndyb25n"),
        *("Bearer ", "Basic Og==", "Digest username=root", "Bearer em_" + "A" * 43),
    ],
)
def test_wrong_headers_are_refused(door, header):
    assert door.get("/", headers={"authorization": header}).status_code == 401


def test_one_persons_password_does_not_open_for_another(door):
    assert door.get("/", auth=("uma", "pass:word")).status_code == 401
    assert door.get("/", auth=("root", PASSWORD)).status_code == 401


def test_logins_of_the_command_line_are_administrators_for_page_and_routes_alike():
    door = client(AccountBook([("page", "p"), ("api", "a")]))
    for pair in (("page", "p"), ("api", "a")):
        for path in ("/", "/sdapi/v1/options"):
            assert door.get(path, auth=pair).json() == [pair[0], "administrator"]


def test_a_server_for_others_makes_up_a_login(tmp_path):
    book, made_up = open_book((), tmp_path, open_to_others=True)
    assert client(book).get("/", auth=made_up).json() == ["emulsion", "administrator"]
    assert len(made_up[1]) >= 16 and made_up != open_book((), tmp_path, open_to_others=True)[1]


def test_none_is_made_up_where_one_was_given_or_nobody_else_can_come_or_it_is_refused_by_name(tmp_path):
    assert open_book([("ann", "x")], tmp_path, open_to_others=True)[1] is None
    assert open_book((), tmp_path, open_to_others=False)[1] is None
    book, made_up = open_book((), tmp_path, open_to_others=True, insecure=True)
    assert made_up is None and client(book).get("/").status_code == 200
    make_file(tmp_path)
    book, made_up = open_book((), tmp_path, open_to_others=True, insecure=True)
    assert made_up is None and client(book).get("/").status_code == 401  # there are accounts, so they count


# The file is followed while the server runs ------------------------------------------------------------------------


def test_a_running_server_takes_notice_of_new_removed_and_changed_accounts(tmp_path):
    file = make_file(tmp_path, people=())
    door = client(AccountBook(file=file))
    assert door.get("/").status_code == 200
    file.add("ann", "user", PASSWORD)
    assert door.get("/").status_code == 401
    assert door.get("/", auth=("ann", PASSWORD)).json() == ["ann", "user"]
    file.change("ann", role="read-only")
    assert door.get("/", auth=("ann", PASSWORD)).json() == ["ann", "read-only"]
    file.change("ann", password="another password")
    assert door.get("/", auth=("ann", PASSWORD)).status_code == 401
    file.add("bob", "user", PASSWORD)
    file.remove("ann")
    assert door.get("/", auth=("ann", "another password")).status_code == 401


def test_a_revoked_token_opens_nothing(door, file):
    token = file.add_token("uma")
    assert door.get("/", headers=bearer(token)).status_code == 200
    file.remove_token("uma", file.read()["uma"].tokens[0].id)
    assert door.get("/", headers=bearer(token)).status_code == 401


@pytest.mark.parametrize("damage", [b"", b"{", b'{"accounts": [{"name": "eve"}]}', None])
def test_a_damaged_or_missing_file_lets_nobody_in_who_was_out(door, file, damage):
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 200
    if damage is None:
        file.path.unlink()
    else:
        file.path.write_bytes(damage)
    assert door.get("/").status_code == 401
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 200


def test_a_right_password_is_hashed_once_and_a_wrong_one_each_time(file, monkeypatch):
    asked = []
    book = AccountBook(file=file)
    monkeypatch.setattr(book, "by_password", lambda *pair, real=book.by_password: asked.append(pair) or real(*pair))
    door = client(book)
    for _ in range(4):
        assert door.get("/", auth=("uma", PASSWORD)).status_code == 200
    assert len(asked) == 1
    for _ in range(2):
        door.get("/", auth=("uma", "wrong"))
    assert len(asked) == 3


def test_what_is_remembered_of_a_password_is_no_password(file):
    import asyncio

    passwords = Passwords(AccountBook(file=file))
    assert asyncio.run(passwords.person("uma", PASSWORD, "1.2.3.4")).name == "uma"
    assert PASSWORD not in repr(vars(passwords)) and len(passwords._known) == 1


# What others are told ----------------------------------------------------------------------------------------------


def test_a_browser_is_sent_to_the_login_page_and_from_there_to_where_it_wanted(door):
    answer = door.get("/anything?a=1&b=%2F", headers=HTML)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=%2Fanything%3Fa%3D1%26b%3D%252F"
    assert door.get("/", headers=HTML).headers["location"] == "/login"
    page = door.get(answer.headers["location"], headers=HTML)
    assert page.status_code == 200 and 'value="/anything?a=1&amp;b=%2F"' in page.text
    answer = log_in(door, "uma", next="/anything?a=1&b=%2F")
    assert (answer.status_code, answer.headers["location"]) == (303, "/anything?a=1&b=%2F")


def test_only_navigations_are_redirected(door):
    assert door.post("/", headers=HTML).status_code == 401
    assert door.get("/", headers={"accept": "*/*"}).status_code == 401
    assert door.get("/", headers={**HTML, "sec-fetch-mode": "cors"}).status_code == 401
    assert door.get("/", headers={**HTML, "sec-fetch-mode": "navigate"}).status_code == 303


@pytest.mark.parametrize("mode", ["cors", "same-origin", "no-cors", "navigate"])
def test_a_browser_never_asks_with_a_window_of_its_own(door, mode):
    answer = door.get("/ui/options", headers={"accept": "*/*", "sec-fetch-mode": mode})
    assert answer.status_code == 401 and "www-authenticate" not in answer.headers


def test_a_role_that_is_too_small_is_told_so(door):
    answer = door.get("/ui/options", auth=("uma", PASSWORD))
    assert answer.status_code == 403
    assert answer.json()["errors"] == "This needs an administrator, and uma is user."


def test_open_routes_answer_everybody(door):
    assert door.get("/healthz").json() == [None, "nobody"]
    assert door.get("/healthz", headers={"authorization": "Basic nonsense"}).status_code == 200


def test_web_sockets_need_a_login_too(door):
    from starlette.websockets import WebSocketDisconnect

    with pytest.raises(WebSocketDisconnect), door.websocket_connect("/anything"):
        pass


# Guessing ----------------------------------------------------------------------------------------------------------


def test_guessing_has_to_wait_and_the_answer_says_how_long(door):
    answers = [door.get("/", auth=("uma", f"wrong {n}")) for n in range(FREE + 1)]
    assert [answer.status_code for answer in answers] == [401] * FREE + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= LONGEST
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 429  # else it would tell that this one is right
    page = log_in(door, "uma")
    assert page.status_code == 429 and "Too many logins" in page.text and page.headers["retry-after"]


def elsewhere(door: TestClient) -> TestClient:
    """The same server, from another address."""
    return TestClient(door.app, base_url=ADDRESS, client=("203.0.113.9", 5), follow_redirects=False)


def test_guessing_does_not_hinder_those_who_are_inside(door, file):
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 200
    token, (cookie, value) = file.add_token("uma"), cookie_of(door)
    for number in range(FREE + 1):
        elsewhere(door).get("/", auth=("uma", f"wrong {number}"))
    for one in (door, elsewhere(door)):
        assert one.get("/", headers=bearer(token)).status_code == 200
        assert one.get("/", headers={"cookie": f"{cookie}={value}"}).status_code == 200
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 200


def test_a_password_that_is_remembered_cannot_be_guessed_faster(door):
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 200
    for number in range(FREE + 1):
        elsewhere(door).get("/", auth=("uma", f"wrong {number}"))
    assert elsewhere(door).get("/", auth=("uma", PASSWORD)).status_code == 429
    for number in range(FREE + 1):
        door.get("/", auth=("uma", f"wrong {number}"))
    assert door.get("/", auth=("uma", PASSWORD)).status_code == 429


def test_a_browser_that_was_inside_before_can_log_in_while_others_guess(door):
    cookie, value = cookie_of(door)
    for number in range(FREE + 1):
        log_in(elsewhere(door), "uma", f"wrong {number}")
    assert log_in(elsewhere(door), "uma").status_code == 429
    headers, form = {"cookie": f"{cookie}={value}"}, {"name": "uma", "password": PASSWORD}
    assert elsewhere(door).post("/login", data=form, headers=headers).status_code == 303
    form["name"] = "adam"
    assert elsewhere(door).post("/login", data=form, headers=headers).status_code == 429


def test_an_unknown_name_costs_as_much_as_a_wrong_password(file, monkeypatch):
    from webui.api import book as module

    costs = []
    monkeypatch.setattr(
        module, "check_password", lambda password, hashed: costs.append(hashed.split("$")[1:4]) or False
    )
    book = AccountBook([("root", "x")], file)
    for name in ("uma", "nobody-of-this-name", "root", ""):
        assert book.by_password(name, "wrong") is None
    assert len(costs) == 4 and costs == [list(map(str, CHEAP))] * 4


def test_every_login_of_the_command_line_is_compared(monkeypatch):
    from webui.api import book as module

    compared = []
    monkeypatch.setattr(module, "_same", lambda left, right: compared.append(right) or left == right)
    book = AccountBook([("ann", "a"), ("bob", "b")])
    for pair in (("ann", "a"), ("bob", "b"), ("eve", "x")):
        compared.clear()
        book.by_password(*pair)
        assert compared == ["ann", "a", "bob", "b"]


def test_the_middleware_passes_the_programs_own_messages_on():
    import anyio

    seen = []

    async def app(scope, receive, send):
        seen.append(scope["type"])

    anyio.run(Login(app, AccountBook()), {"type": "lifespan"}, None, None)
    assert seen == ["lifespan"]
