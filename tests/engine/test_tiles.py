"""Networks that see tiles: everything is covered, nothing larger is seen, and tiles agree where they meet."""

import itertools

import pytest
import torch

from tests.engine.pictures import as_base64, difference, noise_picture
from webui.diffusion.conditioning import Conditioning
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.tiles import starts, tiled
from webui.extend import JobHooks
from webui.request import Tiles

NOBODY = Conditioning(torch.zeros(1, 1, 4))


@pytest.mark.parametrize(("length", "tile", "overlap"), [(8, 8, 2), (9, 8, 2), (64, 16, 4), (100, 16, 8), (17, 16, 0)])
def test_tiles_cover_everything_and_overlap_as_wanted(length, tile, overlap):
    found = starts(length, tile, overlap)
    assert found[0] == 0
    assert found[-1] + tile == max(length, tile)
    assert all(after - before <= tile - overlap for before, after in itertools.pairwise(found))


def test_a_network_that_looks_at_single_cells_gives_the_same_in_tiles():
    x = torch.randn(2, 4, 37, 50)
    made = tiled(lambda x, sigma, conditioning: x * 2 + sigma, 16, 4)(x, 0.5, NOBODY)
    assert (made - (x * 2 + 0.5)).abs().max() < 1e-5


def test_extras_are_cut_with_the_tiles():
    x = torch.randn(1, 4, 24, 40)
    extras = {"concat": x[:, :1].clone(), "hint": torch.nn.functional.interpolate(x[:, :3], scale_factor=8)}
    seen = []

    def predictor(x, sigma, conditioning):
        seen.append(x.shape[2:])
        assert torch.equal(conditioning.extras["concat"], x[:, :1])
        assert torch.equal(conditioning.extras["hint"][:, :, ::8, ::8], x[:, :3])
        assert conditioning.extras["other"].shape == (1, 7)
        return x

    told = Conditioning(torch.zeros(1, 1, 4), None, extras | {"other": torch.zeros(1, 7)})
    assert (tiled(predictor, 16, 4)(x, 1.0, told) - x).abs().max() < 1e-5
    assert set(seen) == {(16, 16)}


def test_tiles_fade_into_each_other():
    """Tiles that disagree by 1 meet in a ramp and never in a step."""
    count = [0]

    def predictor(x, sigma, conditioning):
        count[0] += 1
        return torch.full_like(x, float(count[0] % 2))

    made = tiled(predictor, 32, 16)(torch.zeros(1, 1, 32, 80), 1.0, NOBODY)
    assert float(made.diff(dim=3).abs().max()) < 0.1


class Sizes(JobHooks):
    """Keeps the sizes that the network itself is given."""

    def __init__(self, session):
        self.seen = set()
        self.hook = session.model.unet.register_forward_pre_hook(
            lambda _, args: self.seen.add(tuple(args[0].shape[2:]))
        )


def test_the_network_never_sees_more_than_a_tile(make, wanted, session):
    make(wanted())
    sizes = Sizes(session)
    request = wanted(width=160, height=112, steps=2, tiles=Tiles(64, 16))
    result = make(request, hooks=[sizes])[0]
    sizes.hook.remove()
    assert result.image.size == (160, 112)
    assert sizes.seen == {(8, 8)}
    assert "Tile size: 64, Tile overlap: 16" in result.infotext
    again, _ = read_request(result.infotext, session.extensions)
    assert make(again)[0].path.read_bytes() == result.path.read_bytes()


def test_a_tile_larger_than_the_picture_changes_nothing(make, wanted):
    plain = make(wanted())[0]
    assert make(wanted(tiles=Tiles(512, 64)))[0].image.tobytes() == plain.image.tobytes()


def test_size_0_means_what_the_checkpoint_was_made_for(wanted, session):
    plan = make_plan(wanted(width=1024, height=640, tiles=Tiles()), session.catalogue)
    assert plan.passes[0].tile == plan.facts.native_size == 512
    assert plan.passes[0].seen_size == (512, 512)
    assert plan.memory.sampling == make_plan(wanted(width=512, height=512), session.catalogue).memory.sampling


def test_a_picture_is_enlarged_in_tiles_and_stays_itself(make, wanted):
    request = wanted(
        source="image",
        image=as_base64(noise_picture(64, 64)),
        width=128,
        height=128,
        upscaler="Nearest",
        denoising_strength=0.0,
        tiles=Tiles(64, 16),
    )
    made = make(request)[0].image
    assert difference(made, noise_picture(64, 64).resize((128, 128), 0)) == 0
