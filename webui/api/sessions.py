"""The cookie of a browser that is logged in: signed, stateless, and worthless once the password has changed."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from webui.api.book import AccountBook, Person

DAYS = 14
LONGEST = 1000  # characters of a cookie that is looked at


@dataclass(frozen=True)
class Ticket:
    """What a cookie with a right signature says; it may be over, or of a password that is no more."""

    name: str
    fingerprint: str
    expires: float


class Sessions:
    """Makes and reads cookies. Their name differs for each data folder: browsers share cookies between ports."""

    def __init__(self, book: AccountBook, clock: Callable[[], float] = time.time):
        self._book, self._clock = book, clock
        self.cookie = f"emulsion_{self._sign(b'name of the cookie')[:8]}"

    def make(self, person: Person) -> str:
        """The cookie's value for somebody who has just logged in."""
        body = json.dumps([person.name, person.fingerprint, int(self._clock()) + DAYS * 86400]).encode()
        text = base64.urlsafe_b64encode(body).decode("ascii").rstrip("=")
        return f"{text}.{self._sign(text.encode())}"

    def ticket(self, value: str) -> Ticket | None:
        """What a cookie says, where its signature is ours."""
        text, _, signature = value.partition(".")
        if len(value) > LONGEST or not text.isascii() or not signature.isascii():
            return None
        if not hmac.compare_digest(self._sign(text.encode()), signature):
            return None
        try:
            name, fingerprint, expires = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
            return Ticket(str(name), str(fingerprint), float(expires))
        except (ValueError, TypeError, binascii.Error):
            return None

    def person(self, value: str) -> Person | None:
        """The person of a cookie, as long as it lasts and the password is the same."""
        ticket = self.ticket(value)
        if ticket is None or ticket.expires <= self._clock():
            return None
        return self._book.by_fingerprint(ticket.name, ticket.fingerprint)

    def _sign(self, text: bytes) -> str:
        return hmac.new(self._book.key, b"session:" + text, hashlib.sha256).hexdigest()
