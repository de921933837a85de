"""Every layer name of published adapter files is found in the networks that they were made for, and nowhere else."""

import pytest

from tests.keys import header_of, shapes_of
from webui.adapters.names import Part, name_table, text_names
from webui.adapters.origin import made_for
from webui.adapters.roles import group_by_layer
from webui.weights.canonical import CLIP, EMBEDDERS, OPEN_CLIP, UNET, canonical
from webui.weights.names import unet_to_diffusers

TEXTS = {
    "sd15": [(CLIP, "hf")],
    "sd21-v": [(OPEN_CLIP, "openclip")],
    "sdxl-base": [(EMBEDDERS + "0.transformer.text_model.", "hf"), (EMBEDDERS + "1.model.", "openclip")],
    "sdxl-refiner": [(EMBEDDERS + "0.model.", "openclip")],
}


def parts_of(checkpoint):
    header = canonical(header_of(checkpoint))
    texts = TEXTS[checkpoint]
    parts = [Part(0, "unet", header.shapes(UNET))]
    for index, (prefix, layout) in enumerate(texts):
        names = text_names(index, len(texts), layout)
        parts.append(Part(index + 1, layout, header.shapes(prefix), *names))
    return parts


@pytest.fixture(scope="module")
def tables():
    return {checkpoint: name_table(parts_of(checkpoint)) for checkpoint in TEXTS}


@pytest.mark.parametrize(
    ("file", "checkpoint", "modules"),
    [
        ("lora-kohya-sd15", "sd15", 264),
        ("lora-kohya-locon-sd15", "sd15", 350),
        ("lora-kohya-sdxl", "sdxl-base", 986),
    ],
)
def test_every_layer_of_a_published_file_is_found_once_and_with_its_shape(tables, file, checkpoint, modules):
    shapes = shapes_of(file)
    layers, bundled, others = group_by_layer(shapes)
    assert len(layers) == modules and not bundled and not others
    targets = [tables[checkpoint][layer] for layer in layers]
    assert len({(t.part, t.weight, t.rows) for t in targets}) == modules
    for target, roles in zip(targets, layers.values(), strict=True):
        assert shapes[roles["up"]][0] == target.shape[0]
        assert shapes[roles["down"]][1] == target.shape[1]


def test_flux_files_find_no_layer_of_the_denoising_network(tables):
    for name in ("lora-flux-kohya-real", "lora-flux-diffusers", "lora-flux-aitoolkit", "lora-kohya-flux"):
        layers, _, _ = group_by_layer(shapes_of(name))
        for table in tables.values():
            assert not any(layer in table and table[layer].part == 0 for layer in layers)


LAYER = "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_out.0"
OURS = "input_blocks.4.1.transformer_blocks.0.attn2.to_out.0"


@pytest.mark.parametrize(
    "name",
    [
        "lora_unet_" + LAYER.replace(".", "_") + ".lora_down.weight",
        "lora_unet_" + OURS.replace(".", "_") + ".hada_w1_a",
        "oft_unet_" + LAYER.replace(".", "_") + ".oft_blocks",
        "lycoris_" + LAYER.replace(".", "_") + ".lokr_w1",
        f"unet.{LAYER.removesuffix('.to_out.0')}.processor.to_out_lora.up.weight",
        f"{LAYER.removesuffix('.to_out.0')}.processor.to_out_lora.up.weight",
        f"unet.{LAYER}.lora.down.weight",
        f"unet.{LAYER}.lora_A.weight",
        f"base_model.model.{LAYER}.lora_A.default.weight",
        f"unet.base_model.model.{LAYER}.lora_B.weight",
        f"unet.{LAYER}.lora_magnitude_vector",
        f"diffusion_model.{OURS}.lora_A.weight",
    ],
)
@pytest.mark.parametrize("checkpoint", ["sd15", "sd21-v", "sdxl-base"])
def test_every_way_to_write_a_layer_of_the_unet_means_the_same(tables, checkpoint, name):
    ((layer, _),) = group_by_layer([name])[0].items()
    assert tables[checkpoint][layer].weight == OURS + ".weight"


TEXT = "text_model.encoder.layers.0.self_attn.k_proj"


@pytest.mark.parametrize(
    ("checkpoint", "part", "prefixes"),
    [
        ("sd15", 1, ["lora_te_", "text_encoder."]),
        ("sd21-v", 1, ["lora_te_", "text_encoder."]),
        ("sdxl-base", 1, ["lora_te1_", "text_encoder.", "text_encoders.clip_l.transformer."]),
        ("sdxl-base", 2, ["lora_te2_", "text_encoder_2.", "text_encoders.clip_g.transformer."]),
        ("sdxl-refiner", 1, ["lora_te2_", "text_encoder_2."]),
    ],
)
def test_every_way_to_write_a_layer_of_a_text_encoder_means_the_same(tables, checkpoint, part, prefixes):
    found = {
        tables[checkpoint][prefix + (TEXT.replace(".", "_") if prefix.startswith("lora") else TEXT)]
        for prefix in prefixes
    }
    ((target),) = found
    assert target.part == part
    if target.rows is None:
        assert target.weight == "encoder.layers.0.self_attn.k_proj.weight"
    else:  # key is the second third of the fused projection
        assert target.weight == "transformer.resblocks.0.attn.in_proj_weight"
        assert target.rows == (target.shape[1], 2 * target.shape[1])
        assert target.bias == "transformer.resblocks.0.attn.in_proj_bias"


@pytest.mark.parametrize("checkpoint", TEXTS)
def test_every_weight_of_the_networks_can_be_reached_under_a_trainers_name(tables, checkpoint):
    reached = {(target.part, target.weight) for target in tables[checkpoint].values()}
    for part in parts_of(checkpoint):
        wanted = {name for name in part.shapes if name.endswith("weight")}
        missing = {name for name in wanted if (part.number, name) not in reached}
        assert missing <= {"positional_embedding.weight"}


def test_a_layer_in_diffusers_spelling_exists_for_every_one_in_the_authors(tables):
    unet = parts_of("sdxl-base")[0]
    for ours, theirs in unet_to_diffusers(list(unet.shapes)).items():
        if ours.endswith(".weight"):
            assert tables["sdxl-base"]["unet." + theirs.removesuffix(".weight")].weight == ours


@pytest.mark.parametrize(
    ("file", "label"),
    [
        ("lora-kohya-sd15", "Stable Diffusion 1"),
        ("lora-kohya-sdxl", "Stable Diffusion XL"),
        ("lora-flux-kohya-real", "Flux"),
        ("lora-flux-diffusers", "Flux"),
    ],
)
def test_files_tell_what_they_were_made_for(file, label):
    assert made_for(header_of(file)) == label


def test_metadata_counts_before_names():
    assert made_for(header_of("lora-kohya-sd15", ss_base_model_version="sd_v2_768")) == "Stable Diffusion 2"


def test_bundled_embeddings_and_foreign_tensors_are_told_apart():
    names = ["bundle_emb.style.string_to_param.*", "bundle_emb.b.clip_l", "lora_unet_x.alpha", "position_ids"]
    layers, bundled, others = group_by_layer(names)
    assert list(layers) == ["lora_unet_x"]
    assert list(bundled) == ["style.string_to_param.*", "b.clip_l"]
    assert others == ["position_ids"]
