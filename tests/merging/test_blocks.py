"""Block weights follow the order of merge block weighted."""

import pytest

from tests.keys import shapes_of
from tests.merging.conftest import mix, tensors_of
from webui.errors import InvalidRequest
from webui.merging.blocks import BlockWeights

UNET = "model.diffusion_model."


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("time_embed.0.weight", 0),
        ("input_blocks.0.0.weight", 0),
        ("input_blocks.11.0.in_layers.0.weight", 11),
        ("middle_block.1.norm.weight", 12),
        ("output_blocks.0.0.in_layers.0.weight", 13),
        ("output_blocks.11.1.norm.weight", 24),
        ("out.2.bias", 24),
    ],
)
def test_sd1_has_25_numbers_from_in00_to_out11(name, place):
    weights = BlockWeights(range(25), 9.5, shapes_of("sd15"))
    assert weights.of(UNET + name) == place
    assert weights.of("first_stage_model.decoder.conv_in.weight") == 9.5


def test_a_26th_number_in_front_is_for_all_but_the_network():
    weights = BlockWeights([7, *range(25)], 0.5, shapes_of("sd15"))
    text = "cond_stage_model.transformer.text_model.final_layer_norm.weight"
    assert weights.of(text) == 7 and weights.of(UNET + "middle_block.0.in_layers.0.weight") == 12


def test_xl_has_20_numbers_and_takes_those_written_for_sd1():
    names = shapes_of("sdxl-base")
    short = BlockWeights(range(20), 0.5, names)
    assert short.of("conditioner.embedders.0.transformer.text_model.final_layer_norm.weight") == 0
    found = [UNET + part for part in ("label_emb.0.0.weight", "input_blocks.8.0.out_layers.3.weight")]
    found += [UNET + part for part in ("middle_block.1.norm.weight", "output_blocks.8.0.out_layers.3.weight")]
    assert [short.of(name) for name in found] == [1, 9, 10, 19]
    long = BlockWeights(range(26), 0.5, names)  # IN09 to IN11 and OUT09 to OUT11 are not there
    assert [long.of(name) for name in found] == [1, 9, 13, 22]


def test_a_wrong_number_of_numbers_is_told_with_the_right_one():
    with pytest.raises(InvalidRequest, match=r"3 block weights.*25 blocks"):
        BlockWeights((1, 2, 3), 0.5, shapes_of("sd15"))


def test_each_block_is_merged_by_its_own_number(models, tmp_path):
    numbers = [0.1 * place for place in range(10)]  # the rest, 4 input blocks, the middle, 4 output blocks
    mix(tmp_path, [models["a"], models["b"]], "Weighted sum", blocks=numbers)
    first, second = tensors_of(models["a"]), tensors_of(models["b"])
    found = tensors_of(tmp_path / "merged.safetensors")
    for part, number in (
        ("input_blocks.0.0.weight", 0.1),
        ("input_blocks.3.0.out_layers.3.weight", 0.4),
        ("middle_block.0.in_layers.2.weight", 0.5),
        ("output_blocks.0.0.in_layers.2.weight", 0.6),
        ("out.2.weight", 0.9),
    ):
        name = UNET + part
        assert ((1 - number) * first[name] + number * second[name]).allclose(found[name], atol=1e-6), part
    vae = "first_stage_model.decoder.conv_in.weight"
    assert found[vae].equal(first[vae])
