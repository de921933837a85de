"""With "Tiling", a picture continues across its edges: moving the latents around moves the picture around."""

import pytest
import torch

from webui.engine.seamless import seamless
from webui.nn.unet import UNet, UNetConfig
from webui.nn.vae import Autoencoder, AutoencoderConfig


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    return Autoencoder(AutoencoderConfig(channels=32, multipliers=(1, 1), blocks=1)).eval()


@torch.no_grad()
@pytest.mark.parametrize("cells", [8, 40])  # large ones take another way through the upsampling convolutions
def test_moving_latents_around_the_edge_moves_the_decoded_picture(vae, cells):
    latents = torch.randn(1, 4, cells, cells)

    def gap():
        moved = vae.decode(latents.roll((3, 2), (2, 3)))
        return (moved - vae.decode(latents).roll((6, 4), (2, 3))).abs().max()

    with seamless(vae):
        assert gap() < 1e-4
    assert gap() > 1e-2


@torch.no_grad()
def test_moving_noise_around_the_edge_moves_the_prediction():
    torch.manual_seed(0)
    unet = UNet(UNetConfig.regular(32, (1, 2), (1, 0), 1, 1, context_width=16)).eval()
    x, timestep, context = torch.randn(1, 4, 8, 8), torch.tensor([500.0]), torch.randn(1, 7, 16)
    with seamless(unet):
        whole, moved = unet(x, timestep, context), unet(x.roll(2, 3), timestep, context)
    assert (moved - whole.roll(2, 3)).abs().max() < 1e-4


def test_afterwards_every_convolution_is_as_before(vae):
    with pytest.raises(ZeroDivisionError), seamless(vae):
        _ = 1 / 0
    assert {m.padding_mode for m in vae.modules() if isinstance(m, torch.nn.Conv2d)} == {"zeros"}


def test_a_tiled_request_gives_another_picture_and_leaves_the_next_one_alone(make, wanted):
    plain = make(wanted())[0]
    tiled = make(wanted(tiling=True))[0]
    assert tiled.image.tobytes() != plain.image.tobytes()
    assert "Tiling: True" in tiled.infotext
    assert make(wanted())[0].path.read_bytes() == plain.path.read_bytes()
