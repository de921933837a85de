"""Failed logins cost time: after some failures, each address and each name has to wait longer and longer.

An attempt counts as failed when it begins and is taken back when it was right, so that many at once gain nothing. A
refused attempt is not counted, and no wait is longer than a minute: nobody is locked out for ever.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

FREE = 5  # failures without a wait
LONGEST = 60.0  # seconds
FORGET = 900.0  # seconds after the last failure
MOST = 10_000  # names, and addresses, that are remembered


class Failures:
    """Failures by key; the oldest keys are forgotten when there are too many."""

    def __init__(self, clock: Callable[[], float], most: int = MOST):
        self._clock, self._most = clock, most
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures)

    def wait(self, key: str) -> float:
        """Seconds until the next attempt may be made."""
        count, last = self._failures.get(key, (0, 0.0))
        over = self._clock() - last
        if count < FREE or over > FORGET:
            return 0.0
        return max(0.0, min(LONGEST, 2.0 ** (count - FREE)) - over)

    def add(self, key: str) -> None:
        """One more failure."""
        count, last = self._failures.pop(key, (0, 0.0))
        now = self._clock()
        self._failures[key] = (min(count, 30) + 1 if now - last <= FORGET else 1, now)
        while len(self._failures) > self._most:
            self._failures.popitem(last=False)

    def take_back(self, key: str, all_of_them: bool = False) -> None:
        """It was none."""
        if key in self._failures:
            count, last = self._failures[key]
            if all_of_them or count <= 1:
                del self._failures[key]
            else:
                self._failures[key] = (count - 1, last)


class Throttle:
    """Counts by address and by name. A browser that has been logged in as the name before (`device`), and an address
    from which the name has logged in, are counted by themselves: guesses from elsewhere do not keep people out."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, most: int = MOST):
        self._lock = threading.Lock()
        self._addresses, self._names = Failures(clock, most), Failures(clock, most)
        self._places: OrderedDict[str, None] = OrderedDict()  # of names that have logged in
        self._most = most

    def begin(self, address: str, name: str, device: str | None = None) -> float:
        """Seconds to wait; 0.0: go on, and the attempt counts as failed until `succeeded`."""
        with self._lock:
            keys = self._keys(address, name, device)
            wait = max(failures.wait(key) for failures, key in keys)
            if wait <= 0.0:
                for failures, key in keys:
                    failures.add(key)
            return wait

    def wait(self, address: str, name: str, device: str | None = None) -> float:
        """Seconds until an attempt may begin."""
        with self._lock:
            return max(failures.wait(key) for failures, key in self._keys(address, name, device))

    def succeeded(self, address: str, name: str, device: str | None = None) -> None:
        """The attempt was right: the name's failures are forgotten, and this one of the address."""
        with self._lock:
            for failures, key in self._keys(address, name, device):
                failures.take_back(key, all_of_them=failures is self._names)
            place = _place(address, name)
            self._places[place] = None
            self._places.move_to_end(place)
            while len(self._places) > self._most:
                self._places.popitem(last=False)

    def _keys(self, address: str, name: str, device: str | None) -> list[tuple[Failures, str]]:
        if device:
            return [(self._names, f"device {device}")]
        place = _place(address, name)
        by_name = f"place {place}" if place in self._places else f"name {name[:200]}"
        return [(self._addresses, _network(address)), (self._names, by_name)]


def _place(address: str, name: str) -> str:
    return f"{_network(address)} {name[:200]}"


def _network(address: str) -> str:
    """The address; of IPv6 its first half, as one visitor has all addresses of the other."""
    try:
        number = ipaddress.ip_address(address)
    except ValueError:
        return address[:200]
    if isinstance(number, ipaddress.IPv4Address):
        return str(number)
    return str(number.ipv4_mapped or ipaddress.IPv6Address(int(number) >> 64 << 64))
