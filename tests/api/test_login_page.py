"""The login page: what it shows, where it sends people, and the cookie that it gives them."""

from __future__ import annotations

import base64
import json
import re

import pytest
from starlette.testclient import TestClient

from tests.api.people import PASSWORD, client, cookie_of, log_in, make_file
from webui.api.book import AccountBook, open_book
from webui.api.entrance import safe_path
from webui.api.sessions import DAYS, Sessions


@pytest.fixture
def file(tmp_path):
    """Accounts of one person for each role."""
    return make_file(tmp_path)


@pytest.fixture
def door(file):
    return client(AccountBook([("root", "pass:word")], file))


def test_a_wrong_login_shows_the_page_again_with_the_name_and_without_the_password(door):
    answer = log_in(door, "<uma>", "wrong-secret")
    assert answer.status_code == 401 and "do not belong together" in answer.text
    assert "&lt;uma&gt;" in answer.text and "<uma>" not in answer.text and "wrong-secret" not in answer.text
    assert "set-cookie" not in answer.headers


@pytest.mark.parametrize(
    ("languages", "query", "lang"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"),
        ("zh-TW", "", "zh-CN"),
        ("de,en;q=0.5", "", "en"),
        ("en;q=0.4,zh;q=0.6", "", "zh-CN"),
        ("zh", "?lang=en", "en"),
        ("en", "?lang=zh-CN", "zh-CN"),
        ("en", "?lang=<script>", "en"),
        (";;;q=x,,", "", "en"),
    ],
)
def test_the_page_speaks_the_readers_language(door, languages, query, lang):
    text = door.get(f"/login{query}", headers={"accept-language": languages}).text
    assert f'<html lang="{lang}">' in text and "<script>&" not in text


def test_the_page_needs_nothing_that_is_behind_the_login(door):
    text = door.get("/login").text
    for address in re.findall(r'(?:src|href)="([^"]+)"', text):
        assert "//" not in address and door.get(f"/{address}".replace("&amp;", "&")).status_code == 200
    assert door.get("/login/../ui/options").status_code in (401, 404)
    assert door.get("/login/accounts.json").status_code == 404


def test_the_cookie_is_for_the_server_alone(door):
    cookie = log_in(door, "uma").headers["set-cookie"].lower()
    assert "httponly" in cookie and "samesite=lax" in cookie and "path=/;" in cookie and "; secure" not in cookie
    door.cookies.clear()
    https = TestClient(door.app, base_url="https://pictures.home", follow_redirects=False)
    assert "; secure" in log_in(https, "uma").headers["set-cookie"].lower()


def test_logging_out_takes_the_cookie_away_and_only_a_post_does(door):
    log_in(door, "uma")
    assert door.get("/logout").status_code == 405 and door.get("/").status_code == 200
    answer = door.post("/logout")
    assert (answer.status_code, answer.headers["location"]) == (303, "/login")
    assert door.get("/").status_code == 401


def test_whoever_is_inside_sees_no_login_page(door):
    assert client(AccountBook()).get("/login").headers["location"] == "/"
    log_in(door, "uma")
    assert door.get("/login?next=/anything").headers["location"] == "/anything"


def test_another_site_cannot_log_a_visitor_in_or_out(door):
    for headers in ({"origin": "http://evil.com"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        for path in ("/login", "/logout"):
            assert door.post(path, data={"name": "uma", "password": PASSWORD}, headers=headers).status_code == 403


def test_a_form_that_is_no_form_is_refused(door):
    assert door.post("/login", content=b"a=1&" * 10_000).status_code == 400
    assert door.post("/login", content=b"a=1&" * 30).status_code == 400
    assert door.post("/login", content=b"\xff\xfe").status_code == 401
    assert door.request("DELETE", "/login").status_code == 405


ELSEWHERE = [
    *("//evil.com", "///evil.com", "http://evil.com", "https:evil.com", "/\\evil.com", "\\\\evil.com", "evil.com", ""),
    *(
        "/\t/evil.com",
        "/\n/evil.com",
        "\t//evil.com",
        " //evil.com",
        "/%0d%0aset-cookie:a=b\r\nx",
        "javascript:alert(1)",
    ),
    *("/x\r\nlocation: //evil.com", "/\x00/evil.com", "/\x7f/evil.com", "/é", "/a b", '/"><script>', "@evil.com"),
    *("/login", "/login?next=/login", "/logout", "/" + "a" * 3000, ".", "./x", "?x=//evil.com"),
]


@pytest.mark.parametrize("wanted", ELSEWHERE)
def test_nobody_is_sent_elsewhere(door, wanted):
    assert safe_path(wanted) == "/"
    assert log_in(door, "uma", next=wanted).headers["location"] == "/"


@pytest.mark.parametrize(
    "wanted", ["/", "/?__theme=dark", "/ui/history/3/file", "/a/%2F%2Fevil.com", "/x?next=//evil.com"]
)
def test_places_of_this_server_are_kept(wanted):
    assert safe_path(wanted) == wanted


# Forged cookies ----------------------------------------------------------------------------------------------------


def encoded(body: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(body).encode()).decode().rstrip("=")


def test_no_changed_cookie_is_taken(door):
    cookie, value = cookie_of(door)
    text, signature = value.split(".")
    name, fingerprint, expires = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    forged = [
        *(
            f"{encoded(body)}.{signature}"
            for body in (["adam", fingerprint, expires], [name, fingerprint, expires + 1])
        ),
        *(f"{text}.{signature[:-1]}{c}" for c in "0f" if c != signature[-1]),
        *(f"{text}.", text, f".{signature}", "", ".", f"{text}.{signature}.x", f"{text}.{signature.upper()}"),
        *(f"{text}A.{signature}", f"{text}=.{signature}", "é.é", "A" * 5000),
    ]
    for bad in forged:
        assert door.get("/", headers={"cookie": f"{cookie}={bad}".encode()}).status_code == 401, bad
    assert door.get("/", headers={"cookie": f"{cookie}={value}"}).status_code == 200


def test_a_cookie_ends_with_its_time_the_password_the_account_and_the_key(file):
    book = AccountBook(file=file)
    now = [1e9]
    sessions = Sessions(book, lambda: now[0])
    value = sessions.make(book.by_password("uma", PASSWORD))
    assert sessions.person(value).role == "user"
    now[0] += DAYS * 86400 - 1
    assert sessions.person(value) is not None
    now[0] += 1
    assert sessions.person(value) is None
    value = sessions.make(book.by_password("uma", PASSWORD))
    file.change("uma", role="read-only")
    assert sessions.person(value).role == "read-only"
    assert Sessions(AccountBook(file=file)).person(value) is None  # another key
    file.change("uma", password="another password")
    assert sessions.person(value) is None
    value = sessions.make(book.by_password("rita", PASSWORD))
    file.remove("rita")
    assert sessions.person(value) is None


def test_a_cookie_outlives_a_restart(tmp_path, file):
    cookie, value = cookie_of(client(open_book([("root", "x")], tmp_path, False)[0]))
    door = client(open_book([("root", "x")], tmp_path, False)[0])
    assert door.get("/", headers={"cookie": f"{cookie}={value}"}).json() == ["uma", "user"]
