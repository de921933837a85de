"""People who may enter: their names, roles, passwords and tokens, in one file of the data folder.

No password and no token is kept. Of a password the file holds what scrypt (RFC 7914, with a salt for each account and
the parameters beside it) makes of it; of a token, which is long and random, its SHA-256. Standard library only: the
command line reads and writes the same file while a server runs.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import ipaddress
import json
import secrets
import time
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from webui.errors import FileError, InvalidRequest, NotFound
from webui.identity import ROLES
from webui.settings import write_atomically
from webui.workers.locks import hold

FILE = "accounts.json"
VERSION = 1
COST = (2**15, 8, 3)  # N, r, p of scrypt: 32 MB; OWASP's Password Storage Cheat Sheet names it among the least to take
MOST_MEMORY = 256 * 2**20  # bytes; a file that asks for more is damaged
SHORTEST, LONGEST = 8, 1000  # characters of a password
PATIENCE = 10.0  # seconds to wait for another program that changes the file
TOKEN_MARK = "em_"  # by which tokens are found in logs and repositories


@dataclass(frozen=True)
class Token:
    """What is known of a bearer token: enough to recognise it, and not to make it again."""

    id: str
    sha256: str
    made: float  # seconds since 1970


@dataclass(frozen=True)
class Account:
    """One person. `password` is what `hash_password` made; empty: tokens only."""

    name: str
    role: str
    password: str = ""
    tokens: tuple[Token, ...] = ()


# Passwords and tokens --------------------------------------------------------------------------------------------


def hash_password(password: str, cost: tuple[int, int, int] = COST) -> str:
    """`scrypt$N$r$p$salt$hash`, different each time."""
    salt = secrets.token_bytes(16)
    numbers = "$".join(map(str, cost))
    return f"scrypt${numbers}${salt.hex()}${_scrypt(password, salt, cost).hex()}"


def check_password(password: str, hashed: str) -> bool:
    """Whether a password is the one of a hash. Takes the time of scrypt. Raises FileError for a damaged hash."""
    try:
        kind, *numbers, salt, wanted = hashed.split("$")
        cost = tuple(map(int, numbers))
        if kind != "scrypt" or len(cost) != 3 or cost[0] * cost[1] * 128 > MOST_MEMORY or cost[2] > 64:
            raise ValueError
        found = _scrypt(password, bytes.fromhex(salt), cost)
        return hmac.compare_digest(found, bytes.fromhex(wanted))
    except ValueError:
        raise FileError("A password's hash cannot be read.", "", "Set it again: users password NAME.") from None


def new_token() -> tuple[str, Token]:
    """A token to show once, and what is kept of it."""
    text = TOKEN_MARK + secrets.token_urlsafe(32)
    return text, Token(secrets.token_hex(4), token_hash(text), time.time())


def token_hash(text: str) -> str:
    """SHA-256 in hexadecimal. A token has 256 random bits, so there is nothing to slow down."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _scrypt(password: str, salt: bytes, cost: tuple[int, ...]) -> bytes:
    text = unicodedata.normalize("NFC", password).encode("utf-8", "surrogatepass")
    n, r, p = cost
    return hashlib.scrypt(text, salt=salt, n=n, r=r, p=p, maxmem=2 * MOST_MEMORY, dklen=32)


# The file --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class AccountsFile:
    """The accounts of a data folder. Each change reads the file, and replaces it whole; only its owner may read it."""

    path: Path
    cost: tuple[int, int, int] = field(default=COST)

    def read(self) -> dict[str, Account]:
        """Accounts by name. Raises FileError for a file that cannot be read or understood."""
        try:
            body = json.loads(self.path.read_text(encoding="utf-8"))
            return {one["name"]: _account(one) for one in body["accounts"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise FileError(
                f"The accounts in {self.path} cannot be read ({type(error).__name__}).",
                "",
                "Mend the file, or put a copy of it back; without it nobody is let in.",
            ) from None

    def add(self, name: str, role: str, password: str) -> None:
        """A new account. Raises InvalidRequest for a name, role or password that will not do."""
        name = check_name(name)
        with self._alone():
            accounts = self.read()
            if name in accounts:
                raise InvalidRequest(f"There is an account {name!r} already.", "", "See users role and users password.")
            _check_role(role)
            self._write({**accounts, name: Account(name, role, self._hashed(password))})

    def remove(self, name: str) -> None:
        """Take an account away, with its tokens. Raises NotFound."""
        with self._alone():
            accounts = self.read()
            del accounts[_found(accounts, name).name]
            self._write(accounts)

    def change(self, name: str, role: str | None = None, password: str | None = None) -> None:
        """Another role or password. Raises NotFound, InvalidRequest."""
        with self._alone():
            accounts = self.read()
            account = _found(accounts, name)
            if role is not None:
                _check_role(role)
                account = replace(account, role=role)
            if password is not None:
                account = replace(account, password=self._hashed(password))
            self._write({**accounts, account.name: account})

    def add_token(self, name: str) -> str:
        """A new token for an account's scripts: the only time that it is told. Raises NotFound."""
        with self._alone():
            accounts = self.read()
            account = _found(accounts, name)
            text, token = new_token()
            self._write({**accounts, account.name: replace(account, tokens=(*account.tokens, token))})
            return text

    def remove_token(self, name: str, token_id: str) -> None:
        """End a token. Raises NotFound."""
        with self._alone():
            accounts = self.read()
            account = _found(accounts, name)
            left = tuple(token for token in account.tokens if token.id != token_id)
            if len(left) == len(account.tokens):
                known = ", ".join(token.id for token in account.tokens) or "none"
                raise NotFound(f"{account.name} has no token {token_id!r}.", f"There are: {known}.")
            self._write({**accounts, account.name: replace(account, tokens=left)})

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """No other program changes the accounts between reading and writing. Raises FileError."""
        end = time.monotonic() + PATIENCE
        try:
            while (lock := hold(self.path.with_suffix(".lock"))) is None:
                if time.monotonic() > end:
                    raise FileError("Another program is changing the accounts.", "", "Try again when it has ended.")
                time.sleep(0.02)
        except OSError as error:
            raise self._unwritable(error) from None
        with lock:
            yield

    def _unwritable(self, error: OSError) -> FileError:
        said = f"The accounts cannot be written to {self.path} ({error.strerror})."
        return FileError(said, "", "Look at --data-dir.")

    def _hashed(self, password: str) -> str:
        if not SHORTEST <= len(password) <= LONGEST:
            raise InvalidRequest(f"The password has {len(password)} characters.", f"{SHORTEST} or more were wanted.")
        return hash_password(password, self.cost)

    def _write(self, accounts: Mapping[str, Account]) -> None:
        body = {"version": VERSION, "accounts": [_plain(accounts[name]) for name in sorted(accounts)]}
        try:
            write_atomically(self.path, json.dumps(body, ensure_ascii=False, indent=1).encode())
        except OSError as error:
            raise self._unwritable(error) from None


def check_name(name: str) -> str:
    """The name as it is kept. Raises InvalidRequest for one that HTTP Basic or the queue could mistake."""
    name = unicodedata.normalize("NFC", name)
    if not 1 <= len(name) <= 64 or ":" in name or name != name.strip() or not name.isprintable():
        raise InvalidRequest(
            f"{name!r} will not do as a name.", "1 to 64 characters were wanted, no colon, no space at the ends."
        )
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return name
    raise InvalidRequest(f"{name!r} is an address.", "", "Jobs of visitors without a name go by their addresses.")


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise InvalidRequest(f"There is no role {role!r}.", f"Known: {', '.join(ROLES)}.")


def _found(accounts: Mapping[str, Account], name: str) -> Account:
    account = accounts.get(unicodedata.normalize("NFC", name))
    if account is None:
        raise NotFound(f"There is no account {name!r}.", f"Known: {', '.join(sorted(accounts)) or 'none'}.")
    return account


def _plain(account: Account) -> dict[str, Any]:
    tokens = [vars(token) for token in account.tokens]
    return {"name": account.name, "role": account.role, "password": account.password, "tokens": tokens}


def _account(plain: Mapping[str, Any]) -> Account:
    tokens = tuple(Token(str(t["id"]), str(t["sha256"]), float(t["made"])) for t in plain["tokens"])
    if plain["role"] not in ROLES:
        raise ValueError
    return Account(str(plain["name"]), plain["role"], str(plain["password"]), tokens)
