"""Masks: what is painted, and that every other byte stays."""

import numpy as np
import pytest
import torch
from PIL import Image

from tests.engine.conftest import write_checkpoint
from tests.engine.pictures import as_base64, box_mask, difference, noise_picture, pixels
from webui.diffusion.laws import DiscreteLaw, FlowLaw
from webui.engine.keep import hard_blend, mixed, soft_blend
from webui.engine.pictures import Paste, changed_mask
from webui.engine.plan import make_plan
from webui.engine.run import run
from webui.engine.session import Session
from webui.errors import InvalidRequest
from webui.extend import JobHooks
from webui.families.channels import inpaint_channels
from webui.imaging.convert import to_tensor
from webui.imaging.masks import blurred
from webui.imaging.soft_mask import difference_mask
from webui.paths import Paths
from webui.request import Inpaint, Outpaint, SoftInpaint
from webui.settings import Settings

MASK = box_mask()


def inpainted(wanted, inpaint=None, picture=None, mask=MASK, **fields):
    step = {
        "source": "image",
        "image": as_base64(picture or noise_picture()),
        "mask": as_base64(mask) if mask else None,
        "inpaint": inpaint or Inpaint(),
        "denoising_strength": 0.8,
    }
    return wanted(**(step | fields))


def changed(result, picture=None):
    """Which pixels differ from the source."""
    return (pixels(result.image) != pixels(picture or noise_picture())).any(2)


@pytest.mark.parametrize("content", ["fill", "original", "latent noise", "latent nothing"])
@pytest.mark.parametrize("area", ["whole", "masked"])
@pytest.mark.parametrize("strength", [0.4, 1.0])
def test_every_unmasked_pixel_is_the_very_same_byte(make, wanted, content, area, strength):
    inpaint = Inpaint(masked_content=content, area=area, padding=4)
    result = make(inpainted(wanted, inpaint, denoising_strength=strength))[0]
    painted = np.asarray(blurred(box_mask(), (4, 4))) > 0
    assert not changed(result)[~painted].any()
    assert changed(result)[np.asarray(box_mask()) > 0].mean() > 0.9


@pytest.mark.parametrize("sampler", ["Euler a", "DPM++ SDE", "Heun", "DDIM CFG++", "Restart", "LCM", "DPM++ 3M SDE"])
def test_what_is_kept_ends_as_it_was_whatever_the_sampler(make, wanted, sampler, session):
    class Last(JobHooks):
        def on_step(self, step):
            self.denoised = step.denoised

    last = Last()
    make(inpainted(wanted, Inpaint((0, 0)), sampler=sampler, denoising_strength=1.0), hooks=[last])
    clean = session.encode_picture(to_tensor(noise_picture()))
    kept = torch.from_numpy(np.asarray(box_mask())[4::8, 4::8] == 0)
    assert (last.denoised[0, :, kept] - clean[0, :, kept]).abs().max() < 1e-5


def test_kept_latents_are_met_at_the_noise_level_of_the_call(make, wanted, session):
    seen = []

    class Watching(JobHooks):
        def wrap_predictor(self, inner):
            def predictor(x, sigma, conditioning):
                seen.append((x[:1], sigma))
                return inner(x, sigma, conditioning)

            return predictor

    make(inpainted(wanted, Inpaint((0, 0)), steps=6), hooks=[Watching()])
    clean = session.encode_picture(to_tensor(noise_picture()))
    kept = torch.from_numpy(np.asarray(box_mask())[4::8, 4::8] == 0)
    noise = [((x - clean) / sigma)[0, :, kept] for x, sigma in seen]
    assert len(noise) == 5
    assert all((one - noise[0]).abs().max() < 1e-3 for one in noise), "the noise of the start, at every level"


def test_inverting_paints_the_rest(make, wanted):
    result = make(inpainted(wanted, Inpaint((0, 0), invert=True)))[0]
    inside = np.asarray(box_mask()) > 0
    assert not changed(result)[inside].any()
    assert changed(result)[~inside].mean() > 0.9


def test_a_transparent_picture_is_its_own_mask(make, wanted):
    picture = noise_picture()
    picture.putalpha(Image.eval(box_mask(), lambda value: 255 - value))
    request = inpainted(wanted, Inpaint((0, 0), from_alpha=True), picture, mask=None)
    result = make(request)[0]
    inside = np.asarray(box_mask()) > 0
    assert not changed(result)[~inside].any()
    assert changed(result)[inside].mean() > 0.9


@pytest.mark.parametrize(("size", "passed"), [((96, 160), (64, 64)), ((200, 72), (64, 64)), ((33, 47), (64, 64))])
def test_only_masked_keeps_the_size_of_the_picture_and_paints_at_that_of_the_pass(make, wanted, size, passed):
    width, height = size
    picture = noise_picture(width - width % 8, height - height % 8).resize(size)
    mask = box_mask(width, height, (4, 8, 20, 30))
    seen = []

    class Watching(JobHooks):
        def edit_start(self, start):
            seen.append(tuple(start.latents.shape[2:]))
            return start

    request = inpainted(wanted, Inpaint((2, 2), area="masked", padding=8), picture, mask)
    result = make(request, hooks=[Watching()])[0]
    assert result.image.size == size
    assert seen == [(passed[1] // 8, passed[0] // 8)]
    painted = np.asarray(blurred(mask, (2, 2))) > 0
    assert not changed(result, picture)[~painted].any()
    assert changed(result, picture)[painted].mean() > 0.8


@pytest.mark.parametrize("area", ["whole", "masked"])
def test_an_empty_mask_is_refused(make, wanted, area):
    with pytest.raises(InvalidRequest, match="empty"):
        make(inpainted(wanted, Inpaint(area=area), mask=Image.new("L", (64, 64), 0)))


@pytest.mark.parametrize(
    ("inpaint", "mask", "words"),
    [
        (Inpaint(invert=True), Image.new("L", (64, 64), 255), "covers the whole picture, and is inverted"),
        (Inpaint(from_alpha=True), None, "No part of the picture is transparent"),
    ],
)
def test_why_a_mask_is_empty_is_said(make, wanted, inpaint, mask, words):
    with pytest.raises(InvalidRequest, match=words):
        make(inpainted(wanted, inpaint, mask=mask))


@pytest.mark.parametrize(("size", "told"), [((64, 64), False), ((32, 32), False), ((64, 20), True)])
def test_a_mask_of_other_proportions_is_told(make, wanted, size, told):
    make(inpainted(wanted, mask=Image.new("L", size, 255)))
    notes = [str(event) for event in make.events]
    assert any(f"mask of {size[0]}×{size[1]} pixels was stretched" in note for note in notes) == told


def test_a_soft_mask_leaves_no_edge_where_its_blur_ends():
    mask = blurred(box_mask(), (8, 8))
    everything = changed_mask(Paste(noise_picture(), mask), Image.new("L", (64, 64), 255))
    taken = np.asarray(everything).astype(int)
    assert not taken[np.asarray(mask) == 0].any()
    assert (taken[np.asarray(mask) >= 32] == 255).all()
    assert np.abs(np.diff(taken, axis=1)).max() <= 64  # a step of 255 would be seen as a line


def test_outpainting_enlarges_the_picture_and_keeps_it(make, wanted):
    inpaint = Inpaint((2, 2), masked_content="fill")
    made = make(inpainted(wanted, inpaint, outpaint=Outpaint(left=32, down=16), width=96, height=80, mask=None))[
        0
    ].image
    assert made.size == (96, 80)
    inner = made.crop((32, 0, 96, 64))
    assert not (pixels(inner) != pixels(noise_picture())).any(2)[:58, 6:].any()
    assert len(made.crop((0, 0, 24, 80)).getcolors(4096)) > 50


def test_soft_inpainting_leaves_far_pixels_alone_and_differs_from_a_hard_mask(make, wanted):
    soft = make(inpainted(wanted, Inpaint((8, 8), soft=SoftInpaint()), picture=noise_picture(128, 128), **LARGE))[0]
    hard = make(inpainted(wanted, Inpaint((8, 8)), picture=noise_picture(128, 128), **LARGE))[0]
    painted = np.asarray(blurred(box_mask(128, 128, (40, 40, 90, 90)), (8, 8))) > 0
    assert not changed(soft, noise_picture(128, 128))[~painted].any()
    assert changed(soft, noise_picture(128, 128))[55:75, 55:75].mean() > 0.9
    assert difference(soft.image, hard.image) > 8


LARGE = {"width": 128, "height": 128, "mask": box_mask(128, 128, (40, 40, 90, 90))}


@pytest.mark.parametrize("law", [DiscreteLaw(), FlowLaw()])
def test_soft_masks_keep_more_early_than_late_and_all_or_nothing_at_their_ends(law):
    clean, denoised = torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3)
    mask = torch.tensor([0.0, 0.5, 1.0]).view(1, 1, 3, 1).expand(1, 1, 3, 3)
    blend = soft_blend(clean, mask, SoftInpaint(), law)
    made = [blend(denoised, law.at(level)) for level in (950, 500, 20)]
    for one in made:
        assert torch.equal(one[:, :, 0], clean[:, :, 0])
        assert torch.equal(one[:, :, 2], denoised[:, :, 2])
    distances = [float((one - clean)[:, :, 1].norm()) for one in made]
    assert distances == sorted(distances)
    assert distances[0] < 0.05 * float((denoised - clean)[:, :, 1].norm()) < distances[2]
    hard = hard_blend(clean, mask.round())(denoised, 1.0)
    assert torch.equal(hard[:, :, 2], denoised[:, :, 2])


def test_a_soft_mask_takes_over_what_has_changed_and_sooner_where_it_is_strong():
    distance = np.zeros((16, 16))
    distance[:, 8:] = 0.6
    plain = np.asarray(difference_mask(distance, np.ones((16, 16)), SoftInpaint(), (128, 128)))
    assert plain[:, :40].max() < 10 and plain[:, 100:].min() > 128
    mask = np.zeros((16, 16))
    mask[8:] = 1.0
    by_mask = SoftInpaint(mask_influence=1.0)
    led = np.asarray(difference_mask(np.full((16, 16), 0.3), mask, by_mask, (128, 128)))
    assert led[:40].max() < 10 and led[-40:].min() > 245


def test_mixing_keeps_the_length_of_unlike_vectors():
    first, second = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8)
    half = torch.full((2, 1, 8, 8), 0.5)
    lengths = [vectors.norm(dim=1) for vectors in (first, second, mixed(first, second, half, 4.0))]
    assert (lengths[2] >= torch.minimum(lengths[0], lengths[1]) - 1e-3).all()
    assert (lengths[2] <= torch.maximum(lengths[0], lengths[1]) + 1e-3).all()
    same = mixed(first, first, half, 4.0)
    assert (same - first).abs().max() < 1e-4


@pytest.fixture(scope="module")
def odd_session(tmp_path_factory):
    """A session with an inpainting network of nine channels."""
    home = tmp_path_factory.mktemp("nine")
    write_checkpoint(home / "models" / "checkpoints" / "nine.safetensors", 3, 9)
    paths = Paths(home / "data", home / "models", home / "outputs", {}, home)
    return Session(Settings(paths), device="cpu", precision="float32")


@pytest.mark.parametrize("inpaint", [Inpaint(), Inpaint(condition_weight=0.3), Inpaint(area="masked", padding=0)])
def test_an_inpainting_network_is_shown_mask_and_picture(odd_session, wanted, inpaint):
    seen = []
    request = inpainted(wanted, inpaint, steps=3)
    odd_session.load(odd_session.catalogue.find(None))
    hook = odd_session.model.unet.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    result = run(make_plan(request, odd_session.catalogue), odd_session)[0]
    hook.remove()
    painted = np.asarray(blurred(box_mask(), (4, 4))) > 0
    assert not changed(result)[~painted].any()
    mask, masked = seen[0][0, 4], seen[0][0, 5:]
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    if inpaint.area == "whole":
        assert 0 < float(mask.mean()) < 1
    assert float(masked.abs().max()) > 0


def test_a_weight_of_0_shows_an_inpainting_network_the_whole_picture(odd_session, wanted):
    odd_session.load(odd_session.catalogue.find(None))
    picture, mask = to_tensor(noise_picture()), to_tensor(box_mask())[:, :1]
    whole = odd_session.encode_picture(picture)
    shown = inpaint_channels(odd_session.model, picture, mask, 0.0)
    assert (shown[:, 1:] - whole).abs().max() < 1e-5
    assert (inpaint_channels(odd_session.model, picture, mask, 1.0)[:, 1:] - whole).abs().max() > 1e-3


def test_a_batch_with_masks_is_independent_of_its_neighbours(make, wanted, monkeypatch):
    request = inpainted(wanted, Inpaint(masked_content="latent noise"), batch_size=2, sampler="Euler a")
    apart = make(request)
    alone = make(inpainted(wanted, Inpaint(masked_content="latent noise"), seed=6, sampler="Euler a"))[0]
    assert apart[1].image.tobytes() == alone.image.tobytes()
    monkeypatch.setattr(Session, "batched", True)
    together = make(request)
    assert max(difference(a.image, b.image) for a, b in zip(apart, together, strict=True)) <= 1
