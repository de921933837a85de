"""Named things that can be chosen: samplers, schedules, families, upscalers, and what extensions add."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from webui.errors import InvalidRequest

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """One registered thing: its shown name, other accepted spellings, and facts about it."""

    name: str
    value: T
    aliases: tuple[str, ...]
    facts: dict[str, Any]


class Registry(Generic[T]):
    """Entries by name, in order of registration; lookups ignore case. Frozen once the app has started."""

    def __init__(self, kind: str):
        self.kind = kind
        self._entries: dict[str, Entry[T]] = {}
        self._keys: dict[str, str] = {}
        self._frozen = False

    def register(self, name: str, /, *aliases: str, **facts: Any) -> Callable[[T], T]:
        """Decorator: add `value` under `name`. Raises ValueError on a taken name or after `freeze`."""

        def add(value: T) -> T:
            if self._frozen:
                raise ValueError(f"{self.kind} {name!r} came too late: registries are frozen once the app has started")
            for key in (name, *aliases):
                if key.casefold() in self._keys:
                    raise ValueError(f"{self.kind} {key!r} is already registered as {self._keys[key.casefold()]!r}")
                self._keys[key.casefold()] = name
            self._entries[name] = Entry(name, value, aliases, facts)
            return value

        return add

    def freeze(self) -> None:
        """Allow no more registrations."""
        self._frozen = True

    def find(self, name: str) -> Entry[T]:
        """The entry of a name or alias. Raises InvalidRequest naming the choices."""
        key = self._keys.get(name.casefold())
        if key is None:
            raise InvalidRequest(f"There is no {self.kind} named {name!r}.", f"Known: {', '.join(self._entries)}.")
        return self._entries[key]

    def __getitem__(self, name: str) -> T:
        return self.find(name).value

    def __contains__(self, name: str) -> bool:
        return name.casefold() in self._keys

    def __iter__(self) -> Iterator[Entry[T]]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)

    def names(self) -> list[str]:
        """Shown names in order of registration."""
        return list(self._entries)
