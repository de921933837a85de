"""Values that no sensible client sends, for hypothesis."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

DEEP = [[[[[[[[{"a": [{}]}]]]]]]]]
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2**31, 2**63, 10**400, -(2**64), 0.0, -0.5, 1e308, -1e308),
    *(math.nan, math.inf, -math.inf, "", " ", "0", "-1", "NaN", "1e400", "9" * 5000, "true", "null"),
    *("\ud800", "\udfff x", "a\0b", "\u202e", "é", "x" * 5000, "a,b", "%s{0}", "[]", "{}", '{"a":', "a: b, c: d"),
    *([], {}, [[]], [None], {"": None}, {"a": "\ud800"}, list(range(300)), DEEP, [math.nan], ["x"] * 300),
)


def junk() -> st.SearchStrategy[Any]:
    """Any value of JSON and beyond: odd ones by hand, and made-up ones."""
    plain = st.sampled_from(ODD) | st.integers() | st.floats() | st.text(st.characters(), max_size=20)
    names = st.text(max_size=8)
    return st.recursive(
        plain, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3), max_leaves=6
    )


def fields(names: list[str], most: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Some of the names with junk in them."""
    return st.dictionaries(st.sampled_from(names), junk(), max_size=most)


def cases(number: int) -> Any:
    """Hypothesis settings for tests that ask a server: the same cases every time, and no time limit on one."""
    return settings(
        max_examples=number, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck)
    )


def as_json(value: Any) -> bytes:
    """JSON as lenient clients write it: NaN and Infinity, half characters as escapes, numbers of any length."""
    return json.dumps(value).encode()


def spoiled(good: Any, values: st.SearchStrategy[Any] | None = None) -> st.SearchStrategy[Any]:
    """A good value with one of its parts, at any depth, replaced by junk or by one of `values`."""
    return st.builds(_with, st.just(good), st.sampled_from(list(_places(good))), junk() if values is None else values)


def _places(value: Any) -> Iterator[tuple[Any, ...]]:
    yield ()
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    for key, part in inner:
        yield from ((key, *rest) for rest in _places(part))


def _with(value: Any, place: tuple[Any, ...], new: Any) -> Any:
    if not place:
        return new
    if isinstance(value, dict):
        return {**value, place[0]: _with(value[place[0]], place[1:], new)}
    return [_with(part, place[1:], new) if index == place[0] else part for index, part in enumerate(value)]
