"""The autoencoders: equal to diffusers' on random weights, whole and in tiles."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, AutoencoderTiny
from oracle import autoencoder_to_diffusers, randomise, relative_error
from torch import nn

from webui.errors import IncompatibleModel, OutOfMemory
from webui.nn.tiling import _Bands, _decoded, decode_tiled, encode_tiled
from webui.nn.tiny import TinyConfig, TinyDecoder, TinyEncoder
from webui.nn.vae import Autoencoder, AutoencoderConfig, latent_size

CONFIGS = {
    "kl-f8": AutoencoderConfig(32, (1, 2, 4, 4), 2),
    "Flux": AutoencoderConfig(32, (1, 2), 1, latent_channels=16, quantisation_convolutions=False),
    "small": AutoencoderConfig(32, (1, 1, 2), 1),
}


def pair(kind: str) -> tuple[Autoencoder, AutoencoderKL]:
    config = CONFIGS[kind]
    ours = Autoencoder(config).eval()
    randomise(ours)
    levels = len(config.multipliers)
    theirs = AutoencoderKL(
        block_out_channels=[config.channels * m for m in config.multipliers],
        down_block_types=["DownEncoderBlock2D"] * levels,
        up_block_types=["UpDecoderBlock2D"] * levels,
        layers_per_block=config.blocks,
        latent_channels=config.latent_channels,
        use_quant_conv=config.quantisation_convolutions,
        use_post_quant_conv=config.quantisation_convolutions,
    ).eval()
    theirs.load_state_dict(autoencoder_to_diffusers(ours.state_dict(), levels))
    return ours, theirs


def landscape(height: int, width: int, channels: int) -> torch.Tensor:
    """Something with large and small features, as latents and pictures have."""
    generator = torch.Generator().manual_seed(3)
    total = 0.2 * torch.randn(1, channels, height, width, generator=generator)
    for cell in (4, 16):
        coarse = torch.randn(1, channels, height // cell, width // cell, generator=generator)
        total = total + F.interpolate(coarse, size=(height, width), mode="bicubic")
    return total


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_pictures_and_moments_equal_those_of_diffusers(kind: str) -> None:
    ours, theirs = pair(kind)
    latents = landscape(16, 24, ours.config.latent_channels)
    torch.testing.assert_close(ours.decode(latents), theirs.decode(latents).sample, rtol=1e-4, atol=1e-4)
    picture = landscape(64, 48, 3)
    mean, log_variance = ours.moments(picture)
    expected = theirs.encode(picture).latent_dist
    torch.testing.assert_close(mean, expected.mean, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(log_variance, expected.logvar, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_encoding_with_noise_samples_the_posterior() -> None:
    ours, theirs = pair("Flux")
    picture, noise = landscape(16, 16, 3), torch.randn(1, 16, 8, 8)
    posterior = theirs.encode(picture).latent_dist
    expected = posterior.mean + posterior.std * noise
    torch.testing.assert_close(ours.encode(picture, noise), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_config_is_read_back_off_the_shapes(kind: str) -> None:
    with torch.device("meta"):
        network = Autoencoder(CONFIGS[kind])
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert AutoencoderConfig.from_shapes(shapes) == CONFIGS[kind]


def test_a_decoder_unlike_its_encoder_is_read_off_the_shapes() -> None:
    config = AutoencoderConfig(32, (1, 2), 1, decoder_channels=64, decoder_multipliers=(1, 3), decoder_blocks=2)
    with torch.device("meta"):
        network = Autoencoder(config)
    shapes = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    assert AutoencoderConfig.from_shapes(shapes) == config
    assert shapes["decoder.up.1.block.2.conv1.weight"] == (192, 192, 3, 3)


def test_names_of_another_layout_are_refused() -> None:
    with pytest.raises(IncompatibleModel, match="conv_in"):
        AutoencoderConfig.from_shapes({"1.weight": (64, 4, 3, 3)})


def test_the_size_of_latents_is_rounded_down_to_cells() -> None:
    assert latent_size(CONFIGS["kl-f8"], 515, 768) == (64, 96)


@torch.no_grad()
@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("tile", [6, 16])
@pytest.mark.parametrize("kept", [0, 1 << 30])
def test_tiles_give_what_the_whole_gives(
    kind: str, tile: int, kept: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """In memory as well as through files, of which none is left."""
    monkeypatch.setattr("webui.nn.tiling.KEPT", kept)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    ours, _ = pair(kind)
    channels, factor = ours.config.latent_channels, ours.config.factor
    latents = landscape(32, 48, channels)
    latents[:, :, :, 0] *= 50  # extreme values at a border, on which trained networks may hang
    torch.testing.assert_close(decode_tiled(ours, latents, tile), ours.decode(latents), rtol=1e-3, atol=1e-3)
    picture = landscape(32 * factor, 48 * factor, 3)
    torch.testing.assert_close(encode_tiled(ours, picture, tile=tile), ours.encode(picture), rtol=1e-3, atol=1e-3)
    assert not list(tmp_path.iterdir())


@torch.no_grad()
def test_tiles_stay_closer_to_the_whole_than_diffusers_tiles_do() -> None:
    ours, theirs = pair("small")
    latents = landscape(48, 40, 4)
    theirs.enable_tiling()
    theirs.tile_latent_min_size, theirs.tile_sample_min_size = 24, 96
    whole = ours.decode(latents)
    assert relative_error(decode_tiled(ours, latents, tile=24), whole) < 1e-4
    assert relative_error(theirs.decode(latents).sample, whole) > 1e-2


@torch.no_grad()
def test_a_batch_of_tiled_pictures_is_each_of_them_alone() -> None:
    ours, _ = pair("small")
    latents = torch.cat([landscape(24, 24, 4), landscape(24, 24, 4).flip(2)])
    both = decode_tiled(ours, latents, tile=12)
    assert torch.equal(both[1:], decode_tiled(ours, latents[1:], tile=12))


@torch.no_grad()
def test_a_full_temporary_folder_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("webui.nn.tiling.KEPT", 0)
    monkeypatch.setattr("os.posix_fallocate", full)
    ours, _ = pair("small")
    with pytest.raises(OutOfMemory, match="smaller picture"):
        decode_tiled(ours, landscape(24, 24, 4), tile=12)


@torch.no_grad()
def test_what_fits_one_tile_is_exactly_the_whole() -> None:
    ours, _ = pair("Flux")
    latents, picture = landscape(16, 16, 16), landscape(32, 32, 3)
    assert torch.equal(decode_tiled(ours, latents, tile=16), ours.decode(latents))
    assert torch.equal(encode_tiled(ours, picture, tile=16), ours.encode(picture))


@torch.no_grad()
def test_tiling_leaves_the_network_as_it_was() -> None:
    ours, _ = pair("Flux")
    latents = landscape(32, 16, 16)
    before = ours.decode(latents)
    decode_tiled(ours, latents, tile=16)
    assert torch.equal(ours.decode(latents), before)


def tiny_pair(channels: int) -> tuple[TinyEncoder, TinyDecoder, AutoencoderTiny]:
    encoder, decoder = TinyEncoder(TinyConfig(channels, stages=(1, 3, 3, 3))), TinyDecoder(TinyConfig(channels))
    randomise(encoder)
    randomise(decoder)
    widths = (channels,) * 4
    theirs = AutoencoderTiny(encoder_block_out_channels=widths, decoder_block_out_channels=widths)
    # diffusers keeps the soft clamp outside the numbered layers, so its decoder's numbers are one lower.
    tensors = {f"encoder.layers.{name}": t for name, t in encoder.state_dict().items()}
    for name, tensor in decoder.state_dict().items():
        number, rest = name.split(".", 1)
        tensors[f"decoder.layers.{int(number) - 1}.{rest}"] = tensor
    theirs.load_state_dict(tensors)
    return encoder.eval(), decoder.eval(), theirs.eval()


@pytest.mark.parametrize("channels", [64, 32])
@torch.no_grad()
def test_the_tiny_autoencoder_equals_that_of_diffusers(channels: int) -> None:
    encoder, decoder, theirs = tiny_pair(channels)
    latents, picture = landscape(16, 16, 4), landscape(32, 32, 3).sigmoid()
    expected = theirs.decode(latents).sample  # in [-1, 1]
    torch.testing.assert_close(decoder(latents) * 2 - 1, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(encoder(picture), theirs.encode(picture * 2 - 1).latents, rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_the_tiny_decoders_picture_is_between_zero_and_one() -> None:
    _, decoder, _ = tiny_pair(32)
    picture = decoder.picture(10 * landscape(16, 16, 4))
    assert picture.shape == (1, 3, 128, 128)
    assert picture.min() >= 0
    assert picture.max() <= 1


def test_tiny_configs_are_read_back_off_the_shapes() -> None:
    for stages in ((3, 3, 3, 1), (2, 1, 1)):
        config = TinyConfig(32, 16, 3, stages)
        for network, read in (
            (TinyDecoder(config), TinyConfig.of_decoder),
            (TinyEncoder(config), TinyConfig.of_encoder),
        ):
            assert read({name: tuple(t.shape) for name, t in network.state_dict().items()}) == config


@torch.no_grad()
def test_no_layer_sees_more_than_a_tile_and_its_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, _ = pair("kl-f8")
    sizes: list[int] = []
    for module in ours.decoder.up.modules():
        if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3):
            module.register_forward_pre_hook(lambda _, inputs: sizes.append(inputs[0].numel()))
    latents = landscape(64, 80, 4)
    coarse = ours.decoder.coarse(ours.unquantised(latents))
    sizes.clear()
    tile = (24 * 8) ** 2 * ours.config.channels
    _decoded(ours.decoder, coarse, _Bands(ours, 24))
    neighbours = 4 * 80 * 8 * ours.config.channels * 4  # two rows to each side, with the most channels
    assert len(sizes) > 50
    assert max(sizes) <= tile + neighbours
