"""LoRAs block by block and in some of the steps: the same exactness as whole ones."""

import pytest
import torch

from tests.adapters.files import LAYERS, lora_tensors, write_lora
from tests.engine.test_adapters import digest, pixels, uses_of
from webui.engine.adapters import Adapters
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.step_range import ALWAYS, StepRange
from webui.errors import InvalidRequest
from webui.extend import JobHooks
from webui.request import Pass

OUT = "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
MIDDLE = "middle_block.1.transformer_blocks.0.attn2.to_k.weight"
INPUT = "input_blocks.1.1.transformer_blocks.0.attn2.to_v.weight"
TEXT = "encoder.layers.0.self_attn.q_proj.weight"
FILE_NAMES = {
    name: next(n for n in LAYERS if n.endswith(end))
    for name, end in ((MIDDLE, "0_attn2_to_k"), (INPUT, "0_attn2_to_v"), (TEXT, "q_proj"))
}


@pytest.fixture(scope="module")
def loras(home):
    folder = home.models / "loras"
    write_lora(folder / "film.safetensors")
    write_lora(folder / "ink.safetensors", seed=1)
    write_lora(folder / "unet.safetensors", seed=2, layers={n: s for n, s in LAYERS.items() if "unet" in n})
    write_lora(folder / "wide.safetensors", seed=3, layers={**LAYERS, OUT: (32, 64)})
    home.data.mkdir(exist_ok=True)
    (home.data / "lbwpresets.txt").write_text("MINE:" + ",".join(["0.5"] + ["0.25"] * 16) + "\n", "utf-8")
    return folder


@pytest.fixture
def adapters(session, loras):
    session.load(session.catalogue.find(None))
    found = Adapters(session.model)
    yield found
    found.detach()


@pytest.fixture
def attach(session, adapters):
    def attach(*texts, step=0, steps=20):
        return adapters.switch([use for text in texts for use in uses_of(text, session.catalogue)[0]], step, steps)

    return attach


def weight(model, name):
    part = model.text_encoders[0] if name == TEXT else model.unet
    return part.get_parameter(name).detach()


def shares(adapters, attach, text, seed=0):
    """How much of its whole update a text leaves in a middle, an input and a text layer."""
    model, found = adapters._model, []
    attach()
    bases = {name: weight(model, name).clone() for name in FILE_NAMES}
    attach(text)
    for name, spelling in FILE_NAMES.items():
        tensors = lora_tensors(seed=seed)
        whole = tensors[f"{spelling}.lora_up.weight"] @ tensors[f"{spelling}.lora_down.weight"]
        change = weight(model, name) - bases[name]
        found.append(round(float((change * whole).sum() / (whole * whole).sum()), 5))
        torch.testing.assert_close(change, found[-1] * whole, atol=1e-5, rtol=1e-4)
    return found


def listed(**given):
    """Seventeen weights, the given ones and zeros."""
    from webui.adapters.block_weights import FORMS

    return ",".join(str(given.get(block, 0)) for block in FORMS[17])


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("<lora:film:1:lbw=ALL>", [1, 1, 1]),
        ("<lora:film:1:lbw=INS>", [0, 1, 1]),
        ("<lora:film:1:lbw=MIDD>", [1, 0, 1]),
        ("<lora:film:1:lbw=NONE>", [0, 0, 0]),
        ("<lora:film:1:lbw=MID>", [1, 0, 0]),
        ("<lora:film:1:lbw=MINE>", [0.25, 0.25, 0.5]),
        (f"<lora:film:1:lbw={listed(M00=0.5, IN01=-1, BASE=0.1)}>", [0.5, -1, 0.1]),
        (f"<lora:film:0.5:lbw={listed(M00=0.5, IN01=2)}>", [0.25, 1, 0]),
        ("<lora:film:te=0.8:unet=0.2:lbw=MINE>", [0.05, 0.05, 0.4]),
        ("<lyco:film:0.8:0.2:lbw=INALL>", [0, 0.2, 0.8]),
        ("<lora:film:0.8:0.2:lbw=OUTALL>", [0, 0, 0.8]),
    ],
)
def test_each_block_has_its_share_of_the_strength(adapters, attach, text, wanted):
    assert shares(adapters, attach, text) == pytest.approx(wanted, abs=1e-4)


def test_what_a_list_does_not_name_is_off_and_told(adapters, attach):
    model = adapters._model
    name = "output_blocks.2.1.transformer_blocks.0.attn2.to_k.weight"
    base = weight(model, name).clone()
    (note,) = attach("<lora:wide:1:lbw=ALL>")
    assert "17 block weights" in note and "OUT02" in note and "M00" not in note
    assert torch.equal(weight(model, name), base)
    assert attach(f"<lora:wide:1:lbw={','.join(['1'] * 26)}>") == []
    assert not torch.equal(weight(model, name), base)


def test_block_weights_of_ones_are_the_whole_bit_for_bit(adapters, attach):
    attach("<lora:film:0.7>")
    whole = digest(adapters._model)
    attach("<lora:film:0.7:lbw=ALL>")
    assert digest(adapters._model) == whole


def test_blocks_and_steps_detach_without_a_trace(adapters, attach):
    before = digest(adapters._model)
    attach("<lora:film:1:lbw=INS:start=3>", "<lora:ink:0.5:lbw=OUTD:stop=9>", step=5)
    assert digest(adapters._model) != before
    attach()
    assert digest(adapters._model) == before


def test_blocks_and_steps_at_strength_zero_are_identity(adapters, attach):
    before = digest(adapters._model)
    attach("<lora:film:0:lbw=MINE:stop=9>", "<lora:ink:1:lbw=NONE>")
    assert digest(adapters._model) == before


def test_blocks_and_steps_attach_in_any_order(adapters, attach):
    some = ["<lora:film:1:lbw=MINE:stop=9>", "<lora:ink:0.5:lbw=INS>", "<lora:unet:0.3:0.9:start=2>"]
    found = set()
    for order in (some, some[::-1], [some[1], some[0], some[2]]):
        attach()
        attach(*order, step=4)
        found.add(digest(adapters._model))
    assert len(found) == 1


@pytest.mark.parametrize(
    ("text", "steps"),
    [
        ("<lora:film:1:start=3>", StepRange(3)),
        ("<lora:film:1:lbw=ALL:stop=0.5>", StepRange(0, 0.5)),
        ("<lyco:film:1:step=5-10>", StepRange(5, 10)),
        ("<lora:film:1>", ALWAYS),
    ],
)
def test_steps_are_read_from_the_prompt(session, loras, text, steps):
    assert uses_of(text, session.catalogue)[0][0].steps == steps


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("<lora:film:1:lbwe=ATTNDEEPON>", "lbwe"),
        ("<lora:film:1:lbw=1,2,3>", "3 block weights"),
        ("<lora:film:1:lbw=NOWHERE>", "NOWHERE"),
        ("<lora:film:1:step=4>", "step=5-10"),
        ("<lora:film:1:begin=4>", "begin|4"),
        ("<lora:film:1:1,0,0>", "lbw="),
        ("<hypernet:film:1:stop=4>", "mean nothing"),
    ],
)
def test_arguments_that_mean_nothing_are_refused_by_the_directives_name(session, loras, text, told):
    with pytest.raises(InvalidRequest, match=told) as caught:
        uses_of(text, session.catalogue)
    assert text in str(caught.value)


class Watch(JobHooks):
    """Notes, after every network call, whether a weight is the base's own."""

    def __init__(self, model, name=MIDDLE):
        self.model, self.name, self.base = model, name, model.unet.get_parameter(name)
        self.on = []

    def wrap_predictor(self, inner):
        def predict(x, sigma, conditioning):
            made = inner(x, sigma, conditioning)
            self.on.append(self.model.unet.get_parameter(self.name) is not self.base)
            return made

        return predict


@pytest.fixture
def watched(session, make, wanted, loras):
    """The network calls of a small picture at which the middle block is changed."""

    def watched(prompt, **fields):
        session.load(session.catalogue.find(None))
        session.adapters.detach()
        watch = Watch(session.model)
        make(wanted(prompt, save=False, **fields), hooks=[watch])
        return [n for n, on in enumerate(watch.on) if on]

    return watched


@pytest.mark.parametrize(
    ("steps", "on"),
    [
        ("start=2", [2, 3]),
        ("stop=2", [0, 1]),
        ("step=2-3", [2]),
        ("start=0.5", [2, 3]),
        ("start=9", []),
        ("stop=4", [0, 1, 2, 3]),
    ],
)
def test_the_network_is_changed_in_these_steps_alone(watched, steps, on):
    assert watched(f"a red apple<lora:film:1:{steps}>", steps=4) == on


def test_second_evaluations_of_a_step_count_as_the_next_step(watched):
    assert watched("a red apple<lora:film:1:start=2>", steps=4, sampler="Heun") == [3, 4, 5, 6]


def test_steps_begin_anew_in_every_pass(watched):
    first = Pass(width=64, height=64, steps=3, sampler="Euler")
    second = Pass(source="previous", width=64, height=64, steps=4, sampler="Euler", denoising_strength=0.9)
    assert watched("a red apple<lora:film:1:step=2-3>", passes=(first, second)) == [2, 3 + 2]


def test_every_picture_of_a_batch_begins_anew(watched):
    assert watched("a red apple<lora:film:1:stop=2>", steps=3, batch_size=2) == [0, 1, 3, 4]


def test_switching_within_a_pass_keeps_the_very_same_base_tensors(session, make, wanted, loras):
    session.load(session.catalogue.find(None))
    session.adapters.detach()
    base, before = dict(session.model.unet.named_parameters()), digest(session.model)
    make(wanted("a red apple<lora:film:1:step=2-3><lora:ink:0.5:stop=2>", save=False, steps=5))
    session.adapters.detach()
    assert all(parameter is base[name] for name, parameter in session.model.unet.named_parameters())
    assert digest(session.model) == before


def test_a_lora_that_is_never_on_leaves_the_picture_alone(make, wanted, loras):
    plain = pixels(make(wanted(save=False))[0])
    assert pixels(make(wanted("a red apple<lora:unet:1:start=99>", save=False))[0]) == plain
    assert pixels(make(wanted("a red apple<lora:unet:1:stop=2>", save=False))[0]) != plain


@pytest.mark.parametrize(
    ("steps", "told"), [("start=99", True), ("stop=1", True), ("start=3", False), ("stop=2", False)]
)
def test_a_lora_that_is_never_on_is_told_of(session, wanted, loras, steps, told):
    plan = make_plan(wanted(f"a red apple <lora:film:1:{steps}>", steps=4), session.catalogue)
    assert any("film is on in none of 4 steps" in warning for warning in plan.warnings) == told


def test_texts_are_encoded_with_it_whatever_the_steps(make, wanted, loras):
    """As in A1111: prompts are encoded once, before the first step."""
    texts_alone = pixels(make(wanted("a red apple<lora:film:1:0>", save=False))[0])
    assert pixels(make(wanted("a red apple<lora:film:1:start=99>", save=False))[0]) == texts_alone


def test_the_infotext_of_blocks_and_steps_makes_the_picture_again(session, make, wanted, loras):
    prompt = f"a red apple <lora:film:1:lbw={listed(M00=0.5, BASE=0.1)}:start=2> <lyco:ink:0.5:lbw=MINE:step=1-3>"
    result = make(wanted(prompt, save=False))[0]
    request, rest = read_request(result.infotext, session.extensions, session.catalogue)
    assert request.prompt == prompt and "Lora hashes" in rest
    assert pixels(make(request)[0]) == pixels(result)
