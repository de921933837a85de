"""Connections within bounds: headers that never end, bodies that stop half way, and too many of them at once.

uvicorn waits for a request's headers for ever, so fifty connections that send a byte now and then would hold fifty
places. Here the headers have to be complete some seconds after their first byte, a body may not pause for long, and
when there are too many connections those go first that have not sent a whole request.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADER_BYTES = 32 << 10  # of one request
PIECE = 16 << 10
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_MANY = b"HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\nretry-after: 5\r\ncontent-length: 0\r\n\r\n"


@dataclass(frozen=True)
class Bounds:
    """Seconds for headers, seconds without a byte of a body, and how many connections there may be."""

    header_seconds: float = 10.0
    idle_seconds: float = 30.0
    connections: int = 512


def protocol_of(bounds: Bounds) -> type[H11Protocol]:
    """The protocol class to give to uvicorn as `http`."""

    class Bounded(BoundedProtocol):
        pass

    Bounded.bounds = bounds
    return Bounded


class BoundedProtocol(H11Protocol):
    """uvicorn's HTTP protocol with a timer for whatever the other side owes."""

    bounds = Bounds()

    def __init__(self, *arguments: Any, **named: Any):
        super().__init__(*arguments, **named)
        self._timer: asyncio.TimerHandle | None = None
        self._awaits_headers = False  # the timer stands for headers: more bytes of them do not wind it up again

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or refuse it where there are too many already."""
        super().connection_made(transport)
        if len(self.connections) > self.bounds.connections and not self._make_room():
            transport.write(TOO_MANY)
            transport.close()
            return
        self._wind(self.bounds.header_seconds)
        self._awaits_headers = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing more is owed."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see what is owed now."""
        size = len(data) if self.conn.their_state is h11.SEND_BODY else PIECE  # h11 sees only between pieces how long
        for start in range(0, len(data), size):  # headers are that do not end
            super().data_received(data[start : start + size])
            if self.transport.is_closing():
                return
        self._look()

    def on_response_complete(self) -> None:
        """The next request may come; uvicorn's own timer stands for its first byte."""
        super().on_response_complete()
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._stop()
        else:
            self._look()

    @property
    def owes_a_request(self) -> bool:
        """Whether the other side has not sent a whole request, and none is being answered."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return not answering and not self.transport.is_closing()

    def _look(self) -> None:
        state = self.conn.their_state
        if self.transport.is_closing() or state not in (h11.IDLE, h11.SEND_BODY):
            self._stop()
        elif state is h11.SEND_BODY:
            self._wind(self.bounds.idle_seconds)
            self._awaits_headers = False
        elif not self._awaits_headers:
            self._wind(self.bounds.header_seconds)
            self._awaits_headers = True

    def _wind(self, seconds: float) -> None:
        self._stop()
        self._timer = self.loop.call_later(seconds, self._on_time)

    def _stop(self) -> None:
        self._awaits_headers = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_time(self) -> None:
        if self.transport.is_closing():
            return
        if self.conn.their_state is h11.SEND_BODY and self.flow.read_paused:
            self._wind(self.bounds.idle_seconds)  # it is we who do not read
            return
        if self.owes_a_request:
            self.transport.write(TOO_SLOW)
        self.transport.close()

    def _make_room(self) -> bool:
        """Close another connection that owes a request; False where all are at work."""
        for other in tuple(self.connections):
            if other is not self and isinstance(other, BoundedProtocol) and other.owes_a_request:
                other.transport.close()
                return True
        return False
