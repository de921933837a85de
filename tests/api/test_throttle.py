"""Failed logins: how long one waits, and who does not."""

from __future__ import annotations

import asyncio

import pytest

from tests.api.people import PASSWORD, make_file
from webui.api.book import AccountBook
from webui.api.passwords import Passwords, TooManyAttempts
from webui.api.throttle import FORGET, FREE, LONGEST, Throttle


class Clock:
    """Time that a test moves."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def fail(throttle: Throttle, times: int, address: str = "1.2.3.4", name: str = "ann") -> list[float]:
    return [throttle.begin(address, name) for _ in range(times)]


def test_the_first_failures_cost_nothing_and_then_the_wait_doubles_up_to_a_minute(clock):
    throttle = Throttle(clock)
    assert fail(throttle, FREE) == [0.0] * FREE
    waits = []
    for _ in range(9):
        waits.append(throttle.begin("1.2.3.4", "ann"))
        clock.now += waits[-1]
        assert throttle.begin("1.2.3.4", "ann") == 0.0
    assert waits == [1, 2, 4, 8, 16, 32, LONGEST, LONGEST, LONGEST]


def test_an_attempt_that_comes_too_early_is_not_counted(clock):
    throttle = Throttle(clock)
    fail(throttle, FREE + 1000)
    assert throttle.begin("1.2.3.4", "ann") == 1.0


def test_many_at_once_are_no_way_around_it(clock):
    throttle = Throttle(clock)
    assert sum(wait == 0.0 for wait in fail(throttle, 100)) == FREE  # all begun before the first of them ended


def test_failures_are_forgotten_after_a_while_and_by_success(clock):
    throttle = Throttle(clock)
    fail(throttle, FREE)
    clock.now += FORGET + 1
    assert fail(throttle, FREE) == [0.0] * FREE
    clock.now += LONGEST
    assert throttle.begin("1.2.3.4", "ann") == 0.0
    throttle.succeeded("1.2.3.4", "ann")
    assert throttle.begin("9.9.9.9", "ann") == 0.0


@pytest.mark.parametrize(
    ("address", "name", "waits"),
    [
        ("1.2.3.4", "bob", True),  # the same address
        ("::ffff:1.2.3.4", "bob", True),  # in another spelling
        ("5.6.7.8", "ann", True),  # the same name: a proxy, or somebody with many addresses
        ("5.6.7.8", "bob", False),
    ],
)
def test_addresses_and_names_are_counted_each(clock, address, name, waits):
    throttle = Throttle(clock)
    fail(throttle, FREE)
    assert (throttle.begin(address, name) > 0) == waits


def test_one_half_of_an_ipv6_address_is_one_visitor(clock):
    throttle = Throttle(clock)
    for number in range(FREE):
        throttle.begin(f"2001:db8::{number}", f"name {number}")
    assert throttle.begin("2001:db8::ffff", "another") > 0
    assert throttle.begin("2001:db8:1::1", "another") == 0.0


def test_whoever_was_inside_before_does_not_wait_for_the_guesses_of_others(clock):
    throttle = Throttle(clock)
    throttle.begin("1.1.1.1", "ann")
    throttle.succeeded("1.1.1.1", "ann")
    fail(throttle, FREE + 1)
    assert throttle.begin("2.2.2.2", "ann") > 0
    assert throttle.begin("1.1.1.1", "ann") == 0.0
    assert throttle.begin("2.2.2.2", "ann", device="a signed cookie") == 0.0


def test_memory_is_bounded(clock):
    throttle = Throttle(clock, most=100)
    for number in range(1000):
        address = f"10.0.{number // 250}.{number % 250}"
        throttle.begin(address, f"name {number}")
        throttle.succeeded(address, f"name {number}")
        throttle.begin(address, "x" * 10_000 + str(number))
    assert len(throttle._addresses) <= 100 and len(throttle._names) <= 100 and len(throttle._places) <= 100
    assert max(map(len, throttle._names._failures)) < 300


def test_equal_questions_at_the_same_time_are_one_attempt(tmp_path):
    book = AccountBook(file=make_file(tmp_path))
    passwords = Passwords(book)

    async def together(password: str) -> list:
        asked = (passwords.person("uma", password, "1.2.3.4") for _ in range(50))
        return await asyncio.gather(*asked, return_exceptions=True)

    async def both() -> tuple[list, list]:
        return await together(PASSWORD), await together("wrong")

    right, wrong = asyncio.run(both())
    assert {person.name for person in right} == {"uma"} and set(wrong) == {None}


def test_a_wait_is_told_with_its_seconds(tmp_path):
    passwords = Passwords(AccountBook(file=make_file(tmp_path)))

    async def guess() -> None:
        for number in range(FREE + 1):
            await passwords.person("uma", f"wrong {number}", "1.2.3.4")

    with pytest.raises(TooManyAttempts, match=r"Try again in 1 s\."):
        asyncio.run(guess())
