"""Fields that scripts set: what is checked before it stands in the page."""

from __future__ import annotations

import json

import pytest

from webui.ui.choosing import CHECKS, choose
from webui.ui.fields import NAMES


def test_names_are_corrected_and_numbers_kept(service):
    wanted = {"checkpoint": "portrait", "vae": "soft", "sampler": "lcm", "steps": 4, "guidance_scale": 1.5, "eta": None}
    found = choose(service, json.dumps(wanted))
    names = {"checkpoint": "portrait.safetensors", "vae": "soft.safetensors", "sampler": "LCM"}
    assert found.values == names | {"steps": 4, "guidance_scale": 1.5, "eta": None}
    assert json.loads(found.report) == {"values": found.values}


@pytest.mark.parametrize(
    "wanted",
    [
        {"steps": 0},
        {"steps": True},
        {"guidance_scale": "7"},
        {"sampler": "nothing of that"},
        {"checkpoint": "gone"},
        {"vae": "gone"},
        {"prompt": "not by this door"},
    ],
)
def test_one_wrong_value_sets_nothing_at_all(service, wanted):
    found = choose(service, json.dumps({"eta": 0.5, **wanted}))
    assert found.values == {} and json.loads(found.report)["error"]["found"]


def test_everything_that_can_be_set_is_a_field_of_the_page():
    assert set(CHECKS) <= set(NAMES)


def test_the_vaes_that_are_no_files_can_be_chosen(service):
    assert choose(service, '{"vae": "Automatic"}').values == {"vae": "Automatic"}
    assert choose(service, '{"vae": "None"}').values == {"vae": "None"}
