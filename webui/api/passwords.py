"""Checking names and passwords without letting anybody guess, and without scrypt for each request of a script."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from webui.api.book import AccountBook, Person
from webui.api.throttle import Throttle
from webui.errors import EmulsionError

KEPT = 600.0  # seconds that a right password is remembered, as a keyed hash in memory
MOST_KEPT = 1000
AT_ONCE = 2  # passwords that are hashed at the same time: 32 MB and a processor each


class TooManyAttempts(EmulsionError):
    """An attempt came too early after others that failed."""

    status = 429

    def __init__(self, seconds: float):
        super().__init__(f"Too many logins have failed. Try again in {math.ceil(seconds)} s.")
        self.seconds = seconds


class Passwords:
    """Answers who a name and password are. Equal questions at the same time are one attempt."""

    def __init__(
        self, book: AccountBook, throttle: Throttle | None = None, clock: Callable[[], float] = time.monotonic
    ):
        self._book, self._throttle, self._clock = book, throttle or Throttle(), clock
        self._key = secrets.token_bytes(32)
        self._known: OrderedDict[bytes, tuple[str, float]] = OrderedDict()  # keyed hash -> fingerprint, until when
        self._running: dict[bytes, asyncio.Future[Person | None]] = {}
        self._pool = ThreadPoolExecutor(AT_ONCE, "passwords")

    async def person(self, name: str, password: str, address: str, device: str | None = None) -> Person | None:
        """Who it is, or None. `device`: what tells a browser that was logged in as this name before.

        Raises TooManyAttempts.
        """
        # With the address: else somebody elsewhere could guess against what is remembered, without ever waiting.
        pair = f"{address} {len(name)}:{name}{password}".encode("utf-8", "surrogatepass")
        key = hmac.digest(self._key, pair, hashlib.sha256)
        fingerprint, until = self._known.get(key, ("", 0.0))
        if until > self._clock() and (person := self._book.by_fingerprint(name, fingerprint)) is not None:
            if (wait := self._throttle.wait(address, name, device)) > 0.0:
                raise TooManyAttempts(wait)
            return person
        running = self._running.get(key)
        if running is None:
            running = asyncio.ensure_future(self._attempt(key, name, password, address, device))
            self._running[key] = running
            running.add_done_callback(lambda done: self._over(key, done))
        return await asyncio.shield(running)

    async def _attempt(self, key: bytes, name: str, password: str, address: str, device: str | None) -> Person | None:
        if (wait := self._throttle.begin(address, name, device)) > 0.0:
            raise TooManyAttempts(wait)
        loop = asyncio.get_running_loop()
        person = await loop.run_in_executor(self._pool, self._book.by_password, name, password)
        if person is not None:
            self._throttle.succeeded(address, name, device)
            self._known[key] = (person.fingerprint, self._clock() + KEPT)
            while len(self._known) > MOST_KEPT:
                self._known.popitem(last=False)
        return person

    def _over(self, key: bytes, done: asyncio.Future[Person | None]) -> None:
        self._running.pop(key, None)
        if not done.cancelled():
            done.exception()  # whoever asked has it, or has gone
