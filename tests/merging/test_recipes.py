"""A recipe is checked before anything is opened."""

import subprocess
import sys

import pytest

from webui.errors import InvalidRequest
from webui.merging.recipe import LoraUse, read_recipe, split_numbers

GOOD = {"method": "weighted_sum", "models": ["a", "b"], "name": "ab"}


def test_a_recipe_has_the_methods_own_name_and_the_defaults():
    recipe = read_recipe(GOOD)
    assert (recipe.method, recipe.alpha, recipe.precision) == ("Weighted sum", 0.5, "fp16")
    assert recipe.copy_metadata and recipe.write_recipe and recipe.blocks == () and recipe.loras == ()


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"method": "magic"}, "no merge method"),
        ({"models": ["a"]}, "takes 2"),
        ({"models": ["a", "b", "c"]}, "takes 2"),
        ({"models": "ab"}, "no list"),
        ({"method": "Add difference"}, "takes 3"),
        ({"name": ""}, "no name"),
        ({"name": "../evil"}, "cannot be called"),
        ({"name": "a/b"}, "cannot be called"),
        ({"name": "CON"}, "cannot be called"),
        ({"alpha": "much"}, "alpha is"),
        ({"alpha": float("nan")}, "alpha is"),
        ({"alpha": True}, "alpha is"),
        ({"blocks": "1, x"}, "Block weight 2"),
        ({"precision": "int4"}, "precision"),
        ({"discard": "("}, "cannot be read"),
        ({"loras": [{"name": ""}]}, "no name"),
        ({"loras": [3]}, "no LoRA"),
        ({"loras": [{"name": "x", "strength": None}]}, "strength of x"),
        ({"write_recipe": "yes"}, "true or false"),
        ({"speed": 1}, "'speed'"),
    ],
)
def test_what_does_not_fit_is_named(changes, found):
    with pytest.raises(InvalidRequest, match=found):
        read_recipe({**GOOD, **changes})


def test_block_weights_and_loras_may_be_written_as_text():
    recipe = read_recipe({**GOOD, "blocks": "0.1, 0.2,1", "loras": ["film:0.8", "grain", "odd:name:1:0.5"]})
    assert recipe.blocks == (0.1, 0.2, 1.0)
    assert recipe.loras == (LoraUse("film", 0.8), LoraUse("grain"), LoraUse("odd:name", 1.0, 0.5))


def test_colons_in_a_name_stay_in_it():
    assert split_numbers("C:/x/film.safetensors:.5") == ["C:/x/film.safetensors", ".5"]
    assert split_numbers("a:b:c:d") == ["a:b:c:d"]


def test_checking_a_recipe_needs_no_torch():
    code = "import webui.merging.recipe, sys; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
