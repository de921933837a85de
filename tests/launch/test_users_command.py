"""The command `users`, and the file that it keeps."""

from __future__ import annotations

import io
import json
import os
import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from webui import user_commands
from webui.api import accounts
from webui.api.accounts import AccountsFile, check_name, check_password, hash_password
from webui.cli import main, parse, start_options
from webui.errors import FileError, InvalidRequest
from webui.workers.locks import hold

CHEAP = (2, 8, 1)
PASSWORD = "correct horse"


@pytest.fixture
def users(tmp_path, monkeypatch, capsys):
    """Runs `users …` with a password on the input; returns exit code, output and error output."""
    monkeypatch.setattr(user_commands, "AccountsFile", lambda path: AccountsFile(path, CHEAP))

    def run(*words: str, typed: str = f"{PASSWORD}\n") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed))
        code = main(["users", *words, "--data-dir", str(tmp_path)])
        return (code, *capsys.readouterr())

    run.file = AccountsFile(tmp_path / accounts.FILE, CHEAP)
    return run


def test_people_are_added_listed_changed_and_removed(users):
    assert "no accounts" in users()[1]
    code, said, _ = users("add", "ann", "--role", "administrator")
    assert code == 0 and "on this machine too" in said and "Nobody is an administrator" not in said
    assert users("add", "bob")[1] == "bob may enter as user.\n"
    assert users("list")[1] == "ann\tadministrator\nbob\tuser\n"
    assert users("role", "bob", "--role", "read-only")[0] == 0
    assert users("password", "bob", typed="another password\n")[0] == 0
    account = users.file.read()["bob"]
    assert account.role == "read-only" and check_password("another password", account.password)
    assert users("remove", "bob")[0] == 0 and list(users.file.read()) == ["ann"]


def test_people_who_are_added_at_the_same_time_are_all_there(tmp_path, monkeypatch):
    written = accounts.write_atomically

    def slowly(path, data) -> None:  # between reading and writing, where the others would be lost
        time.sleep(0.02)
        written(path, data)

    monkeypatch.setattr(accounts, "write_atomically", slowly)
    names = [f"person {number}" for number in range(6)]
    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(lambda name: AccountsFile(tmp_path / "a.json", CHEAP).add(name, "user", PASSWORD), names))
    assert sorted(AccountsFile(tmp_path / "a.json").read()) == names


def test_who_changes_accounts_while_another_program_does_is_told_so(users, monkeypatch):
    monkeypatch.setattr(accounts, "PATIENCE", 0.0)
    with hold(users.file.path.with_suffix(".lock")):
        code, _, said = users("add", "ann")
    assert code != 0 and "Another program is changing the accounts" in said
    assert users("add", "ann")[0] == 0


def test_a_first_account_that_is_no_administrator_is_pointed_out(users):
    assert "Nobody is an administrator yet" in users("add", "ann")[1]


def test_a_token_is_shown_once_and_kept_as_its_hash(users):
    users("add", "ann")
    code, token, aside = users("token", "ann")
    assert code == 0 and token.startswith("em_") and len(token.strip()) > 40 and "not shown again" in aside
    assert token.strip() not in users.file.path.read_text()
    kept = users.file.read()["ann"].tokens[0]
    assert kept.sha256 == accounts.token_hash(token.strip())
    listed = users("list")[1]
    assert kept.id in listed and token.strip() not in listed
    assert json.loads(users("list", "--json")[1])[0]["tokens"][0]["id"] == kept.id
    assert users("token", "ann", "--revoke", "nothing")[0] == 1
    assert users("token", "ann", "--revoke", kept.id)[0] == 0 and not users.file.read()["ann"].tokens


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "a:b"),
        ("add", ""),
        ("add", " ann"),
        ("add", "a\nb"),
        ("add", "127.0.0.1"),
        ("add", "::1"),
        ("add", "x" * 65),
        ("role", "ann"),
    ],
)
def test_what_will_not_do_is_said(users, words):
    users("add", "ann")
    code, _, said = users(*words)
    assert code == 2 and said.strip()


def test_an_account_that_is_there_is_not_replaced_and_one_that_is_not_is_not_changed(users):
    users("add", "ann", "--role", "read-only")
    assert users("add", "ann", "--role", "administrator")[0] == 2
    assert users.file.read()["ann"].role == "read-only"
    for words in (("remove", "bob"), ("password", "bob"), ("token", "bob"), ("role", "bob", "--role", "user")):
        assert users(*words)[0] == 1


@pytest.mark.parametrize("typed", ["", "short\n", "x" * 1001])
def test_a_password_that_is_too_short_or_too_long_is_refused(users, typed):
    assert users("add", "ann", typed=typed)[0] == 2 and not users.file.read()


def test_two_typed_passwords_have_to_be_equal(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    answers = iter(["one password", "another one"])
    monkeypatch.setattr(sys, "stdin", Terminal())
    monkeypatch.setattr("getpass.getpass", lambda prompt: next(answers))
    with pytest.raises(InvalidRequest, match="differ"):
        user_commands._asked()


@pytest.mark.skipif(os.name == "nt", reason="modes of POSIX")
def test_only_its_owner_reads_the_file(users):
    users("add", "ann")
    assert stat.S_IMODE(users.file.path.stat().st_mode) == 0o600


def test_the_file_holds_no_password_and_each_hash_has_its_own_salt_and_parameters(users):
    users("add", "ann")
    users("add", "bob")
    assert PASSWORD not in users.file.path.read_text()
    ann, bob = (users.file.read()[name].password.split("$") for name in ("ann", "bob"))
    assert ann[:4] == bob[:4] == ["scrypt", *map(str, CHEAP)] and ann[4] != bob[4] and ann[5] != bob[5]


def test_hashes_are_those_of_rfc_7914():
    salt, wanted = b"NaCl".hex(), "fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162"
    assert check_password("password", f"scrypt$1024$8$16${salt}${wanted}")  # its second test vector, cut to 32 bytes
    assert not check_password("Password", f"scrypt$1024$8$16${salt}${wanted}")


def test_passwords_are_hashed_as_dearly_as_is_recommended():
    n, r, p = accounts.COST
    assert (r, p) == (8, 3) and n >= 2**15
    assert hash_password("x").startswith(f"scrypt${n}$8$3$")


def test_the_same_letters_are_the_same_password_however_they_are_composed():
    assert check_password("caf\u00e9 noir", hash_password("cafe\u0301 noir", CHEAP))
    assert check_name("Zoe\u0308") == "Zo\u00eb"


@pytest.mark.parametrize(
    "hashed", ["", "md5$1$1$1$00$00", "scrypt$2$8$1$zz$00", "scrypt$1073741824$8$1$00$00", "scrypt$3$8$1$00$00"]
)
def test_a_damaged_hash_is_told(hashed):
    with pytest.raises(FileError, match="users password"):
        check_password("x", hashed)


@pytest.mark.parametrize(
    "text", ["{", "[]", '{"accounts": [{"name": "x", "role": "king", "password": "", "tokens": []}]}']
)
def test_a_damaged_file_is_told_and_kept(users, text):
    users.file.path.parent.mkdir(exist_ok=True)
    users.file.path.write_text(text)
    code, _, said = users("add", "ann")
    assert code == 1 and "cannot be read" in said and users.file.path.read_text() == text


def test_the_servers_options_name_who_may_enter_and_the_proxy(tmp_path):
    words = ["--auth", "ann:x", "--api-auth", "bot:y", "--root-path", "/studio/", "--trusted-proxy", "10.0.0.0/8"]
    start = start_options(parse([*words, "--insecure-no-login", "--data-dir", str(tmp_path)]))
    assert (start.auth, start.api_auth) == ((("ann", "x"),), (("bot", "y"),))
    assert (start.subpath, start.trusted_proxies, start.insecure_no_login) == ("studio", ("10.0.0.0/8",), True)
    assert not start_options(parse(["--listen", "--data-dir", str(tmp_path)])).insecure_no_login
