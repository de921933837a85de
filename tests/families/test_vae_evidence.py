"""VAEs of Stable Diffusion 1 and XL look alike; what else tells them apart is used, and guesses are called guesses."""

import dataclasses

import pytest

from tests.keys import header_of
from webui import families
from webui.errors import IncompatibleModel
from webui.families.vae import PUBLISHED, check_belongs, doubt, evidence, said_family
from webui.weights.tensors import Header

SD1, SD2, SDXL = (families.facts(header_of(name)) for name in ("sd15", "sd21-v", "sdxl-base"))
PLAYGROUND = dataclasses.replace(SDXL, label="Playground 2.5", latents=dataclasses.replace(SDXL.latents, scale=0.5))


def vae(name="mine.safetensors", **metadata):
    """A header of the usual VAE under a file name."""
    header = header_of("vae-kl-f8", **metadata)
    return dataclasses.replace(header, path=header.path.with_name(name))


def folder(scale):
    """A diffusers folder whose settings say the scale."""
    tensors = {f"vae/{name}": info for name, info in header_of("vae-kl-f8-diffusers").tensors.items()}
    return Header(vae().path.with_suffix(""), "diffusers", tensors, {"vae/config": f'{{"scaling_factor": {scale}}}'})


SURE = {
    "metadata of SD 1": (vae(**{"modelspec.architecture": "stable-diffusion-v1/vae"}), None, SD1),
    "metadata of XL": (vae(**{"modelspec.architecture": "Stable-Diffusion-XL-v1-base/vae"}), None, SDXL),
    "settings of SD 1": (folder(0.18215), None, SD1),
    "settings of XL": (folder(0.13025), None, SDXL),
    "settings of Playground": (folder(0.5), None, PLAYGROUND),
    "a whole checkpoint of SD 1": (header_of("sd15"), None, SD1),
    "a whole checkpoint of XL": (header_of("sdxl-base"), None, SDXL),
    "the hash of an SD 1 file": (vae("xl.safetensors"), "735e4c3a447a" + "0" * 52, SD1),
    "the hash of an XL file": (vae("840000.pt"), "63aeecb90ff7" + "0" * 52, SDXL),
}


@pytest.mark.parametrize("kind", SURE)
def test_sure_evidence_refuses_the_other_families_and_nobody_else(kind):
    header, digest, right = SURE[kind]
    found = evidence(header, digest)
    assert found is not None and found.sure and found.scale == right.scale
    for facts in (SD1, SD2, SDXL, PLAYGROUND):
        if facts.scale == right.scale:
            check_belongs(header, facts, digest)
            assert doubt(header, facts, digest) is None
            continue
        with pytest.raises(IncompatibleModel) as caught:
            check_belongs(header, facts, digest)
        assert found.source in str(caught.value) and header.path.name in str(caught.value)
        assert facts.label in str(caught.value)


@pytest.mark.parametrize(
    ("name", "right"),
    [
        ("sdxl_vae.safetensors", SDXL),
        ("vae-ft-mse-840000-ema-pruned.safetensors", SD1),
        ("kl-f8-anime2.ckpt", SD1),
        ("orangemix.vae.pt", SD1),
    ],
)
def test_a_name_is_a_guess_that_warns_and_never_refuses(name, right):
    header = vae(name)
    found = evidence(header, "00" * 32)
    assert found is not None and not found.sure and found.scale == right.scale
    for facts in (SD1, SD2, SDXL):
        check_belongs(header, facts)
        said = doubt(header, facts)
        assert (said is None) == (facts.scale == right.scale)
        assert said is None or ("may be made for" in said and "its name suggests that" in said and name in said)


def test_nothing_is_said_where_nothing_tells():
    header = vae()
    assert evidence(header, "00" * 32) is None and said_family(header) is None
    for facts in (SD1, SD2, SDXL):
        check_belongs(header, facts, "00" * 32)
        assert doubt(header, facts, "00" * 32) is None


@pytest.mark.parametrize("config", ["[]", '{"scaling_factor": "1"}', '{"scaling_factor": -1.0}', "{}"])
def test_settings_that_make_no_sense_tell_nothing(config):
    header = dataclasses.replace(folder(1.0), metadata={"vae/config": config})
    assert evidence(header) is None


def test_no_published_hash_stands_for_two_families():
    hashes = [digits for some in PUBLISHED.values() for digits in some]
    assert len(set(hashes)) == len(hashes) and {len(digits) for digits in hashes} == {12}
