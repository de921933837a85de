"""In which steps an adapter is on, held against the counter of A1111 that its extension reads."""

import itertools

import pytest

from webui.engine.step_range import ALWAYS, StepRange, step_at, step_range
from webui.errors import InvalidRequest

STEPS = 8


def in_a1111(start, stop, step):
    """The extension's conditions. A1111 writes its counter after a step's first network call, so it lags by one."""
    counter = max(0, step - 1)
    begun = start is None or start == 0 or counter > start - 2
    ended = stop is not None and counter > stop - 2
    return begun and not ended


@pytest.mark.parametrize("start", [None, 0, 1, 2, 5, 8, 9])
@pytest.mark.parametrize("stop", [None, 0, 1, 2, 5, 8, 9])
def test_whole_numbers_count_as_the_extension_does(start, stop):
    found = StepRange(float(start or 0), None if stop is None else float(stop))
    assert [(n, STEPS) in found for n in range(STEPS)] == [in_a1111(start, stop, n) for n in range(STEPS)]


@pytest.mark.parametrize(
    ("text", "steps", "on"),
    [
        ("stop=0.4", 20, range(8)),
        ("stop=0.4", 10, range(4)),
        ("start=0.25", 8, range(2, 8)),
        ("start=0.25:stop=0.75", 8, range(2, 6)),
        ("start=0.001", 8, range(8)),
        ("step=2-5", 8, range(2, 5)),
        ("step=0.5-6", 8, range(4, 6)),
        ("start=3", 8, range(3, 8)),
        ("step=-3", 8, range(3)),
        ("", 8, range(8)),
    ],
)
def test_shares_and_ranges_are_read(text, steps, on):
    named = dict(part.split("=") for part in text.split(":") if part)
    assert [n for n in range(steps) if (n, steps) in step_range(named)] == list(on)


def test_nothing_named_is_always():
    assert step_range({"te": "1"}) == ALWAYS


@pytest.mark.parametrize(
    "named",
    [
        {"start": "soon"},
        {"stop": "-1"},
        {"stop": "nan"},
        {"step": "5"},
        {"step": "a-b"},
        {"step": "2-"},
        {"step": "2-5", "stop": "9"},
        {"start": "9", "stop": "5"},
        {"start": "0.6", "stop": "0.5"},
        {"stop": ""},
    ],
)
def test_what_means_nothing_is_refused(named):
    with pytest.raises(InvalidRequest):
        step_range(named)


SIGMAS = (14.6, 5.0, 2.0, 0.7, 0.0)


def test_every_level_of_the_schedule_is_its_own_step():
    assert [step_at(SIGMAS, sigma) for sigma in SIGMAS] == [0, 1, 2, 3, 3]


def test_levels_that_went_through_a_logarithm_stay_in_their_step():
    for (step, sigma), sign in itertools.product(enumerate(SIGMAS[:-1]), (-1, 1)):
        assert step_at(SIGMAS, sigma * (1 + sign * 1e-12)) == step


@pytest.mark.parametrize(("sigma", "step"), [(80.0, 0), (9.0, 1), (5.5, 1), (3.0, 2), (1.0, 3), (0.1, 3)])
def test_a_level_between_two_steps_counts_as_the_later(sigma, step):
    assert step_at(SIGMAS, sigma) == step


def test_a_pass_without_steps_has_a_step_all_the_same():
    assert step_at((0.0,), 0.0) == 0
