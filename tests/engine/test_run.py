"""From a request to pictures: right, the same every time, and described by their infotexts."""

import base64
import io

import pytest
import torch
from PIL import Image

from tests.engine.conftest import write_checkpoint
from webui.engine.extensions import load_extensions
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.extend import JobHooks, Registries
from webui.imaging.convert import to_pictures, to_tensor
from webui.imaging.metadata import read_metadata
from webui.infotext import written_part
from webui.paths import Paths
from webui.registry import Registry
from webui.request import Guidance, Pass, replace
from webui.settings import Settings
from webui.weights.reader import open_weights
from webui.weights.save import save_safetensors


def test_a_picture_of_the_asked_size_is_made_and_saved_with_its_infotext(make, wanted, home):
    result = make(wanted(width=64, height=72))[0]
    assert result.image.size == (64, 72)
    assert result.path.is_relative_to(home.outputs / "txt2img")
    metadata = read_metadata(result.path)
    assert metadata.infotext == result.infotext
    assert "a red apple" in result.infotext
    assert "Seed: 5" in result.infotext
    assert "Model: narrow" in result.infotext
    assert len(Image.open(result.path).convert("L").getcolors(4096)) > 20  # a picture, not one colour


def test_the_same_request_gives_the_same_bytes(make, wanted):
    first, second = (make(wanted(sampler="Euler a"))[0] for _ in range(2))
    assert first.path != second.path
    assert first.path.read_bytes() == second.path.read_bytes()


def test_another_seed_prompt_or_guidance_gives_another_picture(make, wanted):
    requests = [wanted(), wanted(seed=6), wanted("a blue car"), wanted(guidance=Guidance(scale=3.0))]
    assert len({make(request)[0].image.tobytes() for request in requests}) == 4


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M", "DPM++ SDE", "Heun", "UniPC", "LCM", "Restart"])
def test_a_batch_of_three_equals_three_single_pictures_byte_for_byte(make, wanted, sampler):
    batch = make(wanted("a [cat|dog]", sampler=sampler, batch_size=3))
    singles = [make(wanted("a [cat|dog]", sampler=sampler, seed=5 + index))[0] for index in range(3)]
    assert [r.path.read_bytes() for r in batch] == [r.path.read_bytes() for r in singles]


def test_count_and_batch_size_give_the_same_pictures(make, wanted):
    together = make(wanted(batch_size=2, count=2))
    apart = make(wanted(count=4))
    assert [r.path.read_bytes() for r in together] == [r.path.read_bytes() for r in apart]


REQUESTS = [
    {},
    {"sampler": "DPM++ 2M Karras", "steps": 5, "seed": 2**32 - 1},
    {"negative_prompt": "blur, Steps: 3", "clip_skip": 2, "emphasis": "No norm", "noise_source": "CUDA"},
    {"variation_seed": 9, "variation_strength": 0.3, "resize_seed_from": (96, 64)},
    {"guidance": Guidance(scale=4.5, rescale=0.5, start=0.1, end=0.9)},
    {"prompt": "a (red:1.3) [cat:dog:0.5]\nAND a hat :0.7", "sampler": "Euler a"},
]


@pytest.mark.parametrize("fields", REQUESTS)
def test_an_infotext_reads_back_to_the_request_and_makes_the_same_bytes_again(make, wanted, session, fields):
    first = make(wanted(**fields))[0]
    request, rest = read_request(first.infotext, session.extensions)
    assert set(rest) <= {"VAE hash", "Version"}
    assert make(request)[0].path.read_bytes() == first.path.read_bytes()
    again, _ = read_request(make(request)[0].infotext, session.extensions)
    assert written_part(again) == written_part(request)


def test_every_picture_of_a_job_can_be_made_again_from_its_own_infotext(make, wanted, session):
    for result in make(wanted(batch_size=2, count=2, variation_strength=0.4, variation_seed=3)):
        request, _ = read_request(result.infotext, session.extensions)
        assert make(request)[0].path.read_bytes() == result.path.read_bytes()


class Told(JobHooks):
    """Keeps what the network is told at each call."""

    def __init__(self):
        self.calls = []

    def wrap_predictor(self, inner):
        def predictor(x, sigma, conditioning):
            self.calls.append((sigma, x.shape[0], conditioning.context))
            return inner(x, sigma, conditioning)

        return predictor


def contexts(told):
    """A letter for each call, the same for the same conditioning."""
    names = {}
    return "".join(names.setdefault(c.double().sum().item(), chr(97 + len(names))) for _, _, c in told.calls)


@pytest.mark.parametrize(
    ("prompt", "sampler", "letters"),
    [
        ("[cat:dog:3]", "Euler", "aaaabbbb"),
        ("[cat:dog:0.25]", "Euler", "aaabbbbb"),
        ("[cat|dog]", "Euler", "aababaab"),
        ("[cat:dog:0.5]", "Heun", "aaaaaaaaabbbbbb"),
    ],
)
def test_prompt_editing_switches_at_the_step_that_a1111_switches_at(make, wanted, prompt, sampler, letters):
    told = Told()
    make(wanted(prompt, sampler=sampler, steps=8, guidance=Guidance(scale=1.0)), hooks=[told])
    if prompt == "[cat|dog]":
        letters = "aabababa"  # A1111 shows the first option at steps 0 and 1: its spans end at step 1, 2, 3 …
    assert contexts(told) == letters


def test_and_asks_the_network_for_each_part_and_the_negative_prompt(make, wanted):
    told = Told()
    make(wanted("a cat AND a hat :0.5", steps=1, negative_prompt="mud"), hooks=[told])
    assert sum(rows for _, rows, _ in told.calls) == 3


def test_and_with_weights_is_the_sum_of_the_parts(make, wanted):
    whole = make(wanted("a cat AND a cat", guidance=Guidance(scale=2.0)))[0].image
    doubled = make(wanted("a cat", guidance=Guidance(scale=4.0)))[0].image
    single = make(wanted("a cat", guidance=Guidance(scale=2.0)))[0].image
    assert difference(whole, doubled) <= 1  # rounding of sums in another order
    assert difference(single, doubled) > 1


def difference(first, second):
    pair = (torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).int() for image in (first, second))
    return int(next(pair).sub(next(pair)).abs().max())


def test_a_guidance_scale_of_one_asks_for_the_positive_prompt_alone(make, wanted):
    told = Told()
    make(wanted(steps=2, guidance=Guidance(scale=1.0)), hooks=[told])
    assert [rows for _, rows, _ in told.calls] == [1, 1]


@pytest.mark.parametrize("guidance", [Guidance(scale=12.5), Guidance(scale=7.0, start=0.5), Guidance(skip_early=0.9)])
def test_a_cfgpp_sampler_is_always_told_the_negative_prompt(make, wanted, guidance):
    told = Told()
    # CFG++ counts the scale in units of 12.5, so that 12.5 is its scale of 1
    make(wanted(sampler="Euler CFG++", steps=2, negative_prompt="mud", guidance=guidance), hooks=[told])
    assert [rows for _, rows, _ in told.calls] == [2, 2]


def test_a_cfgpp_sampler_divides_the_guidance_scale(make, wanted):
    fields = {"steps": 3, "negative_prompt": "mud", "sampler": "Euler CFG++"}
    forgetting = make(wanted("a red apple", guidance=Guidance(scale=0.0), **fields))[0].image
    alone = make(wanted("mud", guidance=Guidance(scale=1.0), steps=3, sampler="Euler"))[0].image
    assert difference(forgetting, alone) <= 1
    whole = make(wanted("a red apple", guidance=Guidance(scale=12.5), steps=1, sampler="Euler CFG++"))[0].image
    plain = make(wanted("a red apple", guidance=Guidance(scale=1.0), steps=1, sampler="Euler"))[0].image
    assert difference(whole, plain) <= 1  # a single step down to 0 ends at the guided estimate


def as_base64(image):
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_an_image_pass_starts_from_the_picture(make, wanted, session):
    first = make(wanted())[0].image
    told = Told()
    result = make(wanted(source="image", image=as_base64(first), steps=8, denoising_strength=0.5), hooks=[told])[0]
    assert len(told.calls) in (5, 10)  # int(0.5 · 8) + 1 steps, one call or two each
    assert "Denoising strength: 0.5" in result.infotext
    through_the_vae = to_pictures(session.decode(session.encode_picture(to_tensor(first))))[0]
    weak, strong = (
        make(wanted(source="image", image=as_base64(first), denoising_strength=s))[0].image for s in (0.05, 0.9)
    )
    assert difference(through_the_vae, weak) <= difference(through_the_vae, strong)


def test_a_broken_source_picture_is_told(make, wanted):
    with pytest.raises(Exception, match="picture"):
        make(wanted(source="image", image="bm90IGEgcGljdHVyZQ=="))


def test_a_second_pass_continues_from_the_first_at_another_size(make, wanted, session):
    second = Pass("previous", 96, 96, "Euler", steps=3, denoising_strength=0.6)
    first = wanted()
    result = make(replace(first, passes=(*first.passes, second)))[0]
    assert result.image.size == (96, 96)
    request, _ = read_request(result.infotext, session.extensions)
    assert make(request)[0].path.read_bytes() == result.path.read_bytes()


def test_a_job_that_is_not_to_be_saved_writes_no_file(make, wanted, home):
    before = sorted(home.outputs.rglob("*"))
    result = make(wanted(save=False))[0]
    assert result.path is None
    assert sorted(home.outputs.rglob("*")) == before


def test_the_checkpoint_of_the_request_is_the_one_that_draws(make, wanted):
    first, other = make(wanted())[0], make(wanted(checkpoint="other"))[0]
    assert "Model: other" in other.infotext
    assert first.image.tobytes() != other.image.tobytes()


def test_unchanged_prompts_are_encoded_once_across_jobs(make, wanted, session):
    make(wanted("warm up"))
    calls = []
    handle = session.model.text_encoders[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        make(wanted("a new prompt"))
        first = len(calls)
        make(wanted("a new prompt", seed=77, steps=3))
        assert first > 0
        assert len(calls) == first
        make(wanted("a new prompt", clip_skip=2))
        assert len(calls) > first
    finally:
        handle.remove()


def test_loading_another_checkpoint_frees_the_former(make, wanted, session):
    import gc
    import weakref

    make(wanted())
    former = weakref.ref(session.model.unet)
    make(wanted(checkpoint="other", steps=1))
    gc.collect()
    assert former() is None


class Numbers(JobHooks):
    """Gives every picture its own words, some of them longer than one chunk."""

    def edit_prompt(self, prompt):
        return type(prompt)(f"picture {'very ' * 90 * (prompt.index % 2)}{prompt.index}", "", prompt.seed, prompt.index)


@pytest.mark.parametrize("hooks", [[], [Numbers()]])
def test_a_batch_that_goes_through_the_network_together_gives_the_same_pictures(make, wanted, monkeypatch, hooks):
    apart = make(wanted(sampler="Euler a", batch_size=3), hooks=hooks)
    monkeypatch.setattr(Session, "batched", True)  # what a graphics card does
    told = Told()
    together = make(wanted(sampler="Euler a", batch_size=3), hooks=[*hooks, told])
    assert {rows for _, rows, _ in told.calls} == {6}
    for one, other in zip(apart, together, strict=True):
        assert difference(one.image, other.image) <= 1  # sums in another order, rounded to 8 bits


@pytest.mark.parametrize("channels", [8, 9])
def test_inpainting_and_editing_checkpoints_draw_from_words_alone_too(tmp_path, wanted, channels):
    write_checkpoint(tmp_path / "models" / "checkpoints" / "odd.safetensors", 3, channels)
    paths = Paths(tmp_path / "data", tmp_path / "models", tmp_path / "outputs", {}, tmp_path)
    session = Session(Settings(paths), device="cpu", precision="float32")
    result = run(make_plan(wanted(), session.catalogue), session)[0]
    assert len(result.image.convert("L").getcolors(4096)) > 20


def test_a_separate_vae_is_used_and_named(make, wanted, home, session):
    tensors = {}
    with open_weights(home.models / "checkpoints" / "other.safetensors") as weights:
        for name in weights.header.tensors:
            if name.startswith("first_stage_model."):
                tensors[name.removeprefix("first_stage_model.")] = weights.tensor(name).clone()
    (home.models / "VAE").mkdir(exist_ok=True)
    save_safetensors(home.models / "VAE" / "soft.safetensors", tensors)
    session.catalogue.refresh()
    own, separate = make(wanted())[0], make(wanted(vae="soft"))[0]
    assert own.image.tobytes() != separate.image.tobytes()
    assert "VAE: soft" in separate.infotext
    assert "VAE hash: " in separate.infotext
    request, _ = read_request(separate.infotext, session.extensions)
    assert make(request)[0].path.read_bytes() == separate.path.read_bytes()


def test_options_of_extensions_reach_the_job_the_infotext_and_the_next_job(settings, wanted, pytestconfig):
    targets = Registries(*(Registry(kind) for kind in ("sampler", "schedule", "family", "directive", "tab", "route")))
    found = load_extensions([pytestconfig.rootpath / "tests" / "data" / "extensions"], targets)
    session = Session(settings, extensions=found, device="cpu", precision="float32")

    def make_one(request):
        return run(make_plan(request, session.catalogue, found), session)[0]

    plain = make_one(wanted())
    tinted = make_one(wanted(extensions={"tint": {"amount": 1.0, "colour": "blue"}}))
    assert tinted.image.getcolors() == [(64 * 64, (0, 0, 255))]
    assert "Tint: 1.0, Tint colour: blue" in tinted.infotext
    request, rest = read_request(tinted.infotext, found)
    assert request.extensions == {"tint": {"amount": 1.0, "colour": "blue"}}
    assert "Tint" not in rest
    assert make_one(request).path.read_bytes() == tinted.path.read_bytes()
    assert make_one(wanted()).path.read_bytes() == plain.path.read_bytes()
