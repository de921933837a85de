"""Block weights as sd-webui-lora-block-weight writes them."""

import pytest

from webui.adapters.block_weights import BLOCKS, FORMS, PRESETS, block_of, block_weights, read_presets
from webui.errors import FileError, InvalidRequest

EXTENSION = {  # the extension's own tables, as its documentation prints them
    12: "BASE IN04 IN05 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05",
    17: "BASE IN01 IN02 IN04 IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
    20: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 M00 OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08",
    26: "BASE IN00 IN01 IN02 IN03 IN04 IN05 IN06 IN07 IN08 IN09 IN10 IN11 M00 "
    "OUT00 OUT01 OUT02 OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11",
}


@pytest.mark.parametrize("count", EXTENSION)
def test_a_list_means_the_blocks_of_its_length(count):
    found = block_weights(",".join(str(n / 10) for n in range(count)))
    assert list(found) == EXTENSION[count].split()
    assert list(found.values()) == [n / 10 for n in range(count)]


@pytest.mark.parametrize(
    ("name", "on"),
    [
        ("NONE", ""),
        ("ALL", EXTENSION[17]),
        ("INS", "BASE IN01 IN02 IN04"),
        ("IND", "BASE IN05 IN07 IN08"),
        ("INALL", "BASE IN01 IN02 IN04 IN05 IN07 IN08"),
        ("MIDD", "BASE IN05 IN07 IN08 M00 OUT03 OUT04 OUT05 OUT06"),
        ("OUTD", "BASE OUT03 OUT04 OUT05 OUT06"),
        ("OUTS", "OUT07 OUT08 OUT09 OUT10 OUT11 BASE"),
        ("OUTALL", "BASE OUT03 OUT04 OUT05 OUT06 OUT07 OUT08 OUT09 OUT10 OUT11"),
    ],
)
def test_presets_switch_on_the_blocks_that_their_names_say(name, on):
    found = block_weights(name)
    assert list(found) == EXTENSION[17].split()
    assert {block for block, weight in found.items() if weight == 1} == set(on.split())
    assert {weight for block, weight in found.items() if block not in on.split()} <= {0.0}


def test_half_of_everything_has_a_preset():
    assert set(block_weights("ALL0.5").values()) == {0.5}


@pytest.mark.parametrize(("name", "block"), [("IN02", "IN02"), ("OUT11", "OUT11"), ("MID", "M00"), ("BASE", "BASE")])
def test_the_name_of_a_block_means_that_block_alone(name, block):
    found = block_weights(name)
    assert set(found) == set(BLOCKS) and [one for one, weight in found.items() if weight] == [block]


def test_spaces_and_signs_are_read():
    assert block_weights(" 1, -0.5," + ",".join(["0"] * 10))["IN04"] == -0.5


@pytest.mark.parametrize("count", [2, 11, 13, 61])
def test_lists_of_other_lengths_are_refused_with_what_is_possible(count):
    with pytest.raises(InvalidRequest, match=rf"{count} block weights.*12 or 20.*17 or 26"):
        block_weights(",".join(["1"] * count))


@pytest.mark.parametrize("wrong", ["R", "U", "X", "X+0.5", "much", "", "nan", "inf", "1e9"])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(InvalidRequest, match="among the block weights"):
        block_weights(",".join(["1"] * 11 + [wrong]))


def test_an_unknown_name_is_refused_with_close_ones():
    with pytest.raises(InvalidRequest, match="OUTALL"):
        block_weights("OUTAL")
    with pytest.raises(InvalidRequest, match="INS"):
        block_weights("")


def test_a_users_presets_win_and_other_lines_are_comments(tmp_path):
    file = tmp_path / "lbwpresets.txt"
    ones, face = ",".join(["1"] * 12), ",".join(["0.25"] * 17)
    file.write_text(f"My own\n#OFF:{ones}\nFACE : {face}\nINS:{ones}\nshort:1,2\nXYZ:note: {ones}\n", "utf-8-sig")
    found = read_presets(file)
    assert block_weights("FACE", found) == dict.fromkeys(FORMS[17], 0.25)
    assert set(block_weights("INS", found)) == set(FORMS[12])
    assert set(found) - set(PRESETS) == {"FACE", "XYZ"} and found["ALL"] == PRESETS["ALL"]
    with pytest.raises(InvalidRequest):
        block_weights("XYZ", found)


def test_without_a_file_there_are_the_presets_of_everybody(tmp_path):
    assert read_presets(tmp_path / "lbwpresets.txt") == PRESETS


def test_a_file_that_is_no_text_is_told_of(tmp_path):
    (tmp_path / "lbwpresets.txt").write_bytes(b"\xff\xfe\x00INS")
    with pytest.raises(FileError, match=r"lbwpresets\.txt"):
        read_presets(tmp_path / "lbwpresets.txt")


@pytest.mark.parametrize(
    ("part", "parameter", "block"),
    [
        (0, "input_blocks.0.0.weight", "IN00"),
        (0, "input_blocks.11.0.in_layers.2.weight", "IN11"),
        (0, "middle_block.1.proj_in.weight", "M00"),
        (0, "output_blocks.3.1.transformer_blocks.0.attn2.to_k.weight", "OUT03"),
        (0, "time_embed.0.weight", None),
        (0, "out.2.weight", None),
        (1, "encoder.layers.0.mlp.fc1.weight", "BASE"),
        (2, "transformer.resblocks.3.attn.in_proj_weight", "BASE"),
    ],
)
def test_a_parameters_block_is_that_of_the_network(part, parameter, block):
    assert block_of(part, parameter) == block
