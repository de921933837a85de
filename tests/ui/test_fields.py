"""The table between the page's fields and the request."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webui.errors import InvalidRequest
from webui.request import GenerationRequest, Guidance, Pass, SamplerOptions
from webui.ui.fields import NAMES, PLACES, WITHOUT_FIELD, default_values, request_from_values, values_from_request

PARTS = {"request": GenerationRequest, "pass": Pass, "guidance": Guidance, "options": SamplerOptions}


def filled(**changes: Any) -> list[Any]:
    """Values of untouched fields with some changed, in the page's order."""
    return [(default_values() | changes)[name] for name in NAMES]


@pytest.mark.parametrize("part", PARTS)
def test_everything_a_request_holds_has_a_field_or_a_reason(part: str) -> None:
    offered = {attribute for where, attribute in PLACES.values() if where == part}
    assert offered.isdisjoint(WITHOUT_FIELD[part])
    assert offered | set(WITHOUT_FIELD[part]) == {field.name for field in dataclasses.fields(PARTS[part])}


def test_untouched_fields_make_the_default_request() -> None:
    assert request_from_values(filled()) == GenerationRequest()


requests = st.builds(
    GenerationRequest,
    prompt=st.text(max_size=20),
    negative_prompt=st.text(max_size=20),
    checkpoint=st.sampled_from([None, "starter.safetensors"]),
    clip_skip=st.integers(1, 12),
    seed=st.integers(-1, 2**64 - 1),
    variation_seed=st.integers(-1, 2**64 - 1),
    variation_strength=st.floats(0, 1),
    resize_seed_from=st.none() | st.tuples(st.integers(16, 4096), st.integers(16, 4096)),
    batch_size=st.integers(1, 16),
    tiling=st.booleans(),
    save=st.booleans(),
    passes=st.tuples(
        st.builds(
            Pass,
            width=st.integers(16, 4096),
            steps=st.integers(1, 150),
            guidance=st.builds(Guidance, scale=st.floats(1, 30), rescale=st.floats(0, 1), start=st.floats(0, 1)),
            options=st.builds(
                SamplerOptions,
                eta=st.none() | st.floats(0, 1),
                s_tmax=st.none() | st.floats(0, 99),
                rho=st.none() | st.floats(1, 9),
                discard_penultimate=st.sampled_from([None, True, False]),
                noise_seed_delta=st.integers(0, 99999),
            ),
        )
    ),
)


@given(requests)
def test_a_request_shown_in_the_fields_comes_back_unchanged(request_: GenerationRequest) -> None:
    assert request_from_values(list(values_from_request(request_).values())) == request_


def test_seeds_above_a_browsers_exact_numbers_survive() -> None:
    values = values_from_request(dataclasses.replace(GenerationRequest(), seed=2**63 + 1))
    assert values["seed"] == "9223372036854775809"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"steps": None}, "Steps is empty"),
        ({"width": 512.5}, "Width is 512.5"),
        ({"seed": "apple"}, "Seed is 'apple'"),
        ({"resize_from_width": 512}, "512 × 0"),
    ],
)
def test_a_field_that_cannot_be_used_is_named(changes: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidRequest, match=words):
        request_from_values(filled(**changes))


def test_an_empty_seed_is_a_random_one() -> None:
    assert request_from_values(filled(seed="")).seed == -1


def test_whole_numbers_that_arrive_with_a_point_are_taken() -> None:
    assert request_from_values(filled(steps=12.0)).passes[0].steps == 12
