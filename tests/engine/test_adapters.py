"""LoRA files in prompts: found, attached, switched and taken off without a trace."""

import dataclasses
import hashlib

import pytest
import torch

from tests.adapters.files import LAYERS, lora_tensors, write_lora
from webui.engine.adapters import Adapters, AdapterUse, adapter_uses, with_present_names
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.errors import IncompatibleModel, InvalidRequest, NotFound, UnknownModel
from webui.text.directives import cut_directives
from webui.weights.save import save_safetensors


@pytest.fixture(scope="module")
def loras(home):
    folder = home.models / "loras"
    write_lora(folder / "film.safetensors", {"ss_output_name": "film-v1"})
    write_lora(folder / "sub" / "ink.safetensors", seed=1)
    unet_only = {name: shape for name, shape in LAYERS.items() if "unet" in name}
    write_lora(folder / "unet.safetensors", seed=2, layers=unet_only)
    extra = {**LAYERS, "lora_unet_elsewhere": (4, 4)}
    write_lora(folder / "odd.safetensors", seed=3, layers=extra)
    wide = {name: (rows, 2 * columns) for name, (rows, columns) in LAYERS.items()}
    write_lora(folder / "wide.safetensors", {"ss_base_model_version": "sdxl_base_v1-0"}, layers=wide)
    save_safetensors(folder / "none.safetensors", {"conv_in.weight": torch.zeros(4, 4)})
    return folder


@pytest.fixture
def adapters(session, loras):
    session.load(session.catalogue.find(None))
    found = Adapters(session.model)
    yield found
    found.detach()


@pytest.fixture
def use(session, loras):
    def use(name, text=1.0, network=1.0, rank=None):
        return AdapterUse("lora", name, session.catalogue.find_file("loras", name, "LoRA"), text, network, rank)

    return use


def digest(model):
    found = hashlib.sha256()
    for module in (model.unet, *model.text_encoders, model.vae):
        for name, tensor in module.state_dict().items():
            found.update(name.encode() + tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def uses_of(text, catalogue):
    return adapter_uses(cut_directives(text)[1], catalogue)


@pytest.mark.parametrize(
    ("text", "strengths"),
    [
        ("<lora:film>", (1.0, 1.0, None)),
        ("<lora:film:0.7>", (0.7, 0.7, None)),
        ("<lora:film:0.7:0.2>", (0.7, 0.2, None)),
        ("<lora:film:0.7:0.2:3>", (0.7, 0.2, 3)),
        ("<lora:film:te=0.5>", (0.5, 0.5, None)),
        ("<lora:film:1:unet=0.3:dyn=2>", (1.0, 0.3, 2)),
        ("<lyco:film:-1>", (-1.0, -1.0, None)),
    ],
)
def test_every_way_to_write_strengths_is_understood(session, loras, text, strengths):
    ((found,), rest) = uses_of(text, session.catalogue)
    assert (found.text, found.network, found.rank) == strengths
    assert found.file.path.name == "film.safetensors" and not rest


@pytest.mark.parametrize("name", ["film", "FILM", "film.safetensors", "film-v1"])
def test_a_file_is_found_by_its_name_or_by_what_its_trainer_called_it(session, loras, name):
    assert uses_of(f"<lora:{name}:1>", session.catalogue)[0][0].file.stem == "film"


def test_a_file_is_found_by_its_hashes_once_they_are_known(session, loras):
    file = session.catalogue.find_file("loras", "ink", "LoRA")
    for digits in (session.catalogue.sha256(file)[:10], session.catalogue.sha256(file, data=True)[:12]):
        assert uses_of(f"<lora:{digits}:1>", session.catalogue)[0][0].file.path == file.path


def test_a_file_that_was_added_later_is_found(session, loras):
    session.catalogue.files("loras")
    write_lora(loras / "late.safetensors")
    assert uses_of("<lora:late:1>", session.catalogue)[0][0].file.stem == "late"


def test_an_unknown_name_is_an_error_with_close_ones(session, loras):
    with pytest.raises(NotFound, match="'film'"):
        uses_of("<lora:flim:1>", session.catalogue)


@pytest.mark.parametrize("text", ["<lora:film:strong>", "<lora:film:nan>", "<lora:film:lbw=1>", "<lora:film:dyn=0>"])
def test_arguments_that_mean_nothing_are_refused(session, loras, text):
    with pytest.raises(InvalidRequest, match="film"):
        uses_of(text, session.catalogue)


def test_detaching_leaves_every_byte_as_it_was(adapters, use):
    before = digest(adapters._model)
    adapters.switch([use("film", 0.8, 0.6), use("ink")])
    assert digest(adapters._model) != before
    adapters.switch([])
    assert digest(adapters._model) == before


def test_the_weights_in_use_are_the_base_and_the_updates(adapters, use, loras):
    model = adapters._model
    name, ours = next(iter(LAYERS)), "middle_block.1.transformer_blocks.0.attn2.to_k"
    base = model.unet.get_parameter(ours + ".weight").detach().clone()
    adapters.switch([use("film", 1.0, 0.5), use("ink", 1.0, -0.25)])
    wanted = base
    for seed, strength in ((0, 0.5), (1, -0.25)):
        tensors = lora_tensors(seed=seed)
        wanted = wanted + strength * (tensors[f"{name}.lora_up.weight"] @ tensors[f"{name}.lora_down.weight"])
    torch.testing.assert_close(model.unet.get_parameter(ours + ".weight").detach(), wanted)


def test_strength_zero_is_identity(adapters, use):
    before = digest(adapters._model)
    adapters.switch([use("film", 0.0, 0.0)])
    assert digest(adapters._model) == before


@pytest.mark.parametrize(("text", "network"), [(1.0, 0.0), (0.0, 1.0)])
def test_text_encoders_and_network_have_strengths_of_their_own(adapters, use, text, network):
    model = adapters._model
    parts = model.unet, model.text_encoders[0]
    before = [{name: p.detach().clone() for name, p in part.named_parameters()} for part in parts]
    adapters.switch([use("film", text, network)])
    changed = [
        any(not torch.equal(p, old[name]) for name, p in part.named_parameters())
        for part, old in zip(parts, before, strict=True)
    ]
    assert changed == [network != 0, text != 0]


def test_any_order_gives_the_same_bytes(adapters, use):
    some = [use("film", 0.3, 0.7), use("ink"), use("unet", 0.1, 0.9)]
    found = set()
    for order in (some, some[::-1], [some[1], some[0], some[2]]):
        adapters.switch([])
        adapters.switch(order)
        found.add(digest(adapters._model))
    assert len(found) == 1


def test_a_hundred_switches_leave_no_tensor_behind(adapters, use):
    import gc

    def count():
        gc.collect()
        return sum(type(one) in (torch.Tensor, torch.nn.Parameter) for one in gc.get_objects())

    sets = [[use("film")], [use("ink"), use("unet")]]
    for number in range(4):
        adapters.switch(sets[number % 2])
    before = count()
    for number in range(100):
        adapters.switch(sets[number % 2])
    assert count() <= before


def test_the_same_set_again_touches_nothing(adapters, use):
    adapters.switch([use("film")])
    weight = adapters._model.unet.get_parameter("middle_block.1.transformer_blocks.0.attn2.to_k.weight")
    adapters.switch([use("film")])
    assert adapters._model.unet.get_parameter("middle_block.1.transformer_blocks.0.attn2.to_k.weight") is weight


def test_layers_that_fit_nothing_are_named(adapters, use):
    (note,) = adapters.switch([use("odd")])
    assert "lora_unet_elsewhere" in note and "odd" in note
    assert adapters.switch([use("film")]) == []


def test_a_file_for_another_base_is_refused_and_says_for_which(adapters, use):
    before = digest(adapters._model)
    with pytest.raises(IncompatibleModel, match="made for Stable Diffusion XL"):
        adapters.switch([use("film"), use("wide")])
    assert digest(adapters._model) == before


def test_a_file_without_updates_is_refused(adapters, use):
    with pytest.raises(UnknownModel, match="no weight updates"):
        adapters.switch([use("none")])


def pixels(result):
    return result.image.tobytes()


def test_a_picture_changes_under_a_lora_and_comes_back_without_it(make, wanted, loras):
    plain = make(wanted(save=False))[0]
    changed = make(wanted("a red apple<lora:film:1>", save=False))[0]
    assert pixels(changed) != pixels(plain)
    assert pixels(make(wanted("a red apple<lora:film:0>", save=False))[0]) == pixels(plain)
    assert pixels(make(wanted(save=False))[0]) == pixels(plain)


def test_a_text_encoder_that_changed_encodes_again(make, wanted, loras):
    plain = pixels(make(wanted(save=False))[0])
    assert pixels(make(wanted("a red apple<lora:film:1:0>", save=False))[0]) != plain


def test_the_infotext_tells_the_loras_and_their_hashes(make, wanted, loras, session):
    result = make(wanted("a red apple <lora:film:1>", save=False))[0]
    file = session.catalogue.find_file("loras", "film", "LoRA")
    digits = session.catalogue.sha256(file, data=True)[:12]
    assert f"Lora hashes: film: {digits}" in result.infotext.replace('"', "")
    assert "<lora:film:1>" in result.infotext


def test_the_hash_is_that_of_the_bytes_after_the_header(session, loras):
    file = session.catalogue.find_file("loras", "film", "LoRA")
    data = file.path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    assert session.catalogue.sha256(file, data=True) == hashlib.sha256(data[start:]).hexdigest()


def test_a_plan_with_an_unknown_lora_fails_before_any_work(session, wanted, loras):
    with pytest.raises(NotFound, match="no LoRA named"):
        make_plan(wanted("an apple <lora:nowhere:1>"), session.catalogue)


def test_a_lora_in_the_negative_prompt_is_told_of(session, wanted, loras):
    plan = make_plan(dataclasses.replace(wanted(), negative_prompt="<lora:film:1>"), session.catalogue)
    assert any("positive prompt only" in warning for warning in plan.warnings)


def test_a_picture_finds_its_lora_after_it_was_renamed(make, wanted, loras, session):
    write_lora(loras / "before.safetensors", {"sshs_model_hash": "0123456789abcdef"}, seed=9)
    result = make(wanted("a red apple <lora:before:0.5>", save=False))[0]
    digits = session.catalogue.sha256(session.catalogue.find_file("loras", "before", "LoRA"), data=True)[:12]
    fields = {"Lora hashes": f"before: {digits}"}
    assert with_present_names("<lora:before:0.5>", fields, session.catalogue) == "<lora:before:0.5>"
    (loras / "before.safetensors").rename(loras / "after.safetensors")
    session.catalogue.refresh()
    session.catalogue.sha256(session.catalogue.find_file("loras", "after", "LoRA"), data=True)
    request, _ = read_request(result.infotext, session.extensions, session.catalogue)
    assert request.prompt == "a red apple <lora:after:0.5>"
    noted = {"Lora hashes": "other: 0123456789ab"}
    found = with_present_names("<lora:other:1> <lora:others:1> <lyco:Other>", noted, session.catalogue)
    assert found == "<lora:after:1> <lora:others:1> <lyco:after>"


def test_a_lora_that_is_nowhere_keeps_its_name(session, loras):
    assert (
        with_present_names("<lora:gone:1>", {"Lora hashes": "gone: abcdefabcdef"}, session.catalogue) == "<lora:gone:1>"
    )
