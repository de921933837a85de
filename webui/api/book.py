"""Who may enter this run: the logins of the command line, who are administrators, and the accounts of the data folder.

The file is looked at with every question and read again when it changed, so that the command line changes a running
server. A damaged or missing file changes nothing: what was read last goes on counting.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from webui.api.accounts import FILE, Account, AccountsFile, check_password, hash_password, token_hash
from webui.errors import FileError
from webui.identity import ADMINISTRATOR
from webui.settings import write_atomically

log = logging.getLogger(__name__)

KEY_FILE = "session.key"
KEY_BYTES = 32
Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class Person:
    """Somebody who was recognised. `fingerprint` changes with the password."""

    name: str
    role: str
    fingerprint: str


class AccountBook:
    """Recognises people. `required`: without any account nobody enters, instead of everybody."""

    def __init__(
        self,
        given: Iterable[tuple[str, str]] = (),
        file: AccountsFile | None = None,
        required: bool = False,
        key: bytes | None = None,
    ):
        self._given = tuple((_normal(name), _normal(password)) for name, password in given)
        self._file, self._required = file, required
        self.key = key or secrets.token_bytes(KEY_BYTES)
        self._dummy = hash_password(secrets.token_hex(8), file.cost) if file else ""
        self._lock = threading.Lock()
        self._stamp: Stamp | None = None
        self._accounts: Mapping[str, Account] = {}
        self._tokens: Mapping[str, Account] = {}
        if file is not None and file.path.exists():
            self._accounts = file.read()  # a damaged file ends the start
            self._tokens = _by_token(self._accounts)
            self._stamp = _stamp(file.path)

    @property
    def needed(self) -> bool:
        """Whether a login is needed: one is given, there are accounts, or the server is open to others."""
        return self._required or bool(self._given) or bool(self._people())

    def by_fingerprint(self, name: str, fingerprint: str) -> Person | None:
        """The person of a name whose password is still the one of the fingerprint."""
        name = _normal(name)
        for person in self._persons(name):
            if hmac.compare_digest(person.fingerprint.encode(), fingerprint.encode("utf-8", "replace")):
                return person
        return None

    def by_token(self, text: str) -> Person | None:
        """The person of a bearer token."""
        self._people()
        account = self._tokens.get(token_hash(text))
        return self._person(account) if account else None

    def by_password(self, name: str, password: str) -> Person | None:
        """The person of a name and password. Slow; an unknown name takes as long as a wrong password."""
        name, password = _normal(name), _normal(password)
        people = self._people()
        matches = [(n, p) for n, p in self._given if _same(name, n) & _same(password, p)]
        if matches:
            return self._given_person(*matches[0])
        if not people:
            return None
        account = people.get(name)
        hashed = account.password if account is not None and account.password else self._dummy
        right = check_password(password, hashed)
        return self._person(account) if account is not None and account.password and right else None

    def _persons(self, name: str) -> list[Person]:
        people = self._people()
        found = [self._given_person(n, p) for n, p in self._given if n == name]
        return [*found, self._person(people[name])] if name in people else found

    def _given_person(self, name: str, password: str) -> Person:
        return Person(name, ADMINISTRATOR, self._fingerprint("given", name, password))

    def _person(self, account: Account) -> Person:
        return Person(account.name, account.role, self._fingerprint("account", account.name, account.password))

    def _fingerprint(self, *parts: str) -> str:
        return hmac.new(self.key, "\0".join(parts).encode("utf-8", "surrogatepass"), hashlib.sha256).hexdigest()[:32]

    def _people(self) -> Mapping[str, Account]:
        """The accounts of the file as it is now."""
        if self._file is None:
            return self._accounts
        with self._lock:
            stamp = _stamp(self._file.path)
            if stamp is not None and stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._accounts = self._file.read()
                    self._tokens = _by_token(self._accounts)
                except FileError as error:
                    log.error("%s", error)
            return self._accounts


def open_book(
    given: Iterable[tuple[str, str]], folder: Path, open_to_others: bool, insecure: bool = False
) -> tuple[AccountBook, tuple[str, str] | None]:
    """The book of a data folder, and the administrator's name and password that were made up because there were none.

    A server that others can reach never goes without, except where `insecure` says so. Raises FileError.
    """
    given, file, key = tuple(given), AccountsFile(folder / FILE), read_key(folder)
    made_up = None
    if open_to_others and not insecure and not given and not file.read():
        made_up = ("emulsion", secrets.token_urlsafe(12))
        given = (made_up,)
    return AccountBook(given, file, required=open_to_others and not insecure, key=key), made_up


def read_key(folder: Path) -> bytes:
    """The key that signs sessions, made at the first start and readable by its owner alone. Raises FileError."""
    path = folder / KEY_FILE
    try:
        if path.is_file() and len(key := path.read_bytes()) == KEY_BYTES:
            return key
        key = secrets.token_bytes(KEY_BYTES)
        write_atomically(path, key)
    except OSError as error:
        raise FileError(f"The key {path} cannot be kept ({error.strerror}).", "", "Look at --data-dir.") from None
    return key


def _by_token(accounts: Mapping[str, Account]) -> dict[str, Account]:
    return {token.sha256: account for account in accounts.values() for token in account.tokens}


def _stamp(path: Path) -> Stamp | None:
    try:
        facts = path.stat()
    except OSError:
        return None
    return (facts.st_mtime_ns, facts.st_size, facts.st_ino)


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _same(left: str, right: str) -> bool:
    digests = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest() for text in (left, right)]
    return hmac.compare_digest(*digests)
