"""Passes that start from a picture: sizes, strengths, batches, and what is refused."""

import base64
import io
import threading

import numpy as np
import pytest
from PIL import Image, ImageCms

from tests.engine.pictures import as_base64, difference, noise_picture, pixels
from tests.imaging.pictures import DISPLAY_P3, encoded, rgb_profile
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.session import Session
from webui.errors import Cancelled, DamagedFile, InvalidRequest, NotFound
from webui.extend import JobHooks
from webui.infotext import written_part
from webui.request import Pass, replace


class Counting(JobHooks):
    """Counts network calls and keeps the first latents."""

    def __init__(self):
        self.calls, self.starts = 0, []

    def edit_start(self, start):
        self.starts.append(start)
        return start

    def wrap_predictor(self, inner):
        def predictor(x, sigma, conditioning):
            self.calls += 1
            return inner(x, sigma, conditioning)

        return predictor


def image_request(wanted, picture=None, **fields):
    step = {"source": "image", "image": as_base64(picture or noise_picture()), "denoising_strength": 0.5}
    return wanted(**(step | fields))


def test_a_telephones_colours_do_not_shift(make, wanted):
    own = ImageCms.ImageCmsProfile(io.BytesIO(rgb_profile(DISPLAY_P3)))
    picture = Image.new("RGB", (64, 64), (150, 110, 90))
    stored = ImageCms.profileToProfile(picture, ImageCms.createProfile("sRGB"), own)
    data = encoded(stored, "PNG", icc_profile=own.tobytes())
    image = base64.b64encode(data).decode()
    result = make(image_request(wanted, image=image, denoising_strength=0.0))[0]
    assert difference(result.image, stored) > 5
    assert difference(result.image, picture) <= 2


@pytest.mark.parametrize("mode", ["stretch", "crop", "fill", "latent"])
@pytest.mark.parametrize("size", [(64, 64), (96, 40)])
def test_every_resize_mode_gives_the_size_of_the_pass(make, wanted, mode, size):
    result = make(image_request(wanted, noise_picture(96, 72), resize_mode=mode, width=size[0], height=size[1]))[0]
    assert result.image.size == size


@pytest.mark.parametrize("mode", ["stretch", "crop", "fill", "latent"])
def test_at_strength_0_the_picture_stays_byte_by_byte(make, wanted, mode):
    picture = noise_picture()
    counting = Counting()
    result = make(image_request(wanted, picture, denoising_strength=0.0, resize_mode=mode), hooks=[counting])[0]
    assert difference(result.image, picture) == 0
    assert counting.calls == 0
    assert "Denoising strength: 0" in result.infotext


@pytest.mark.parametrize(
    ("steps", "strength", "exact", "run"),
    [(10, 0.5, False, 6), (10, 1.0, False, 10), (10, 0.05, False, 1), (10, 0.5, True, 10), (7, 0.31, True, 7)],
)
def test_strength_decides_how_many_steps_are_run_as_in_a1111(make, wanted, steps, strength, exact, run, session):
    request = image_request(wanted, steps=steps, denoising_strength=strength, exact_steps=exact)
    plan = make_plan(request, session.catalogue)
    assert plan.passes[0].steps == run
    # A1111 runs the end of a schedule of this many steps
    total = int(steps / min(strength, 0.999)) if exact else steps
    full = make_plan(wanted(steps=total), session.catalogue).passes[0].sigmas
    assert plan.passes[0].sigmas == full[-run - 1 :]


def test_the_start_is_the_encoded_picture_under_the_noise_of_txt2img(make, wanted, session):
    first, second, third = Counting(), Counting(), Counting()
    make(image_request(wanted), hooks=[first])
    make(image_request(wanted, noise_multiplier=0.5), hooks=[second])
    make(image_request(wanted, extra_noise=0.25), hooks=[third])
    plain, half, more = (counting.starts[0] for counting in (first, second, third))
    sigma = plain.sigmas[0]
    txt2img = Counting()
    make(wanted(), hooks=[txt2img])
    noise = txt2img.starts[0].latents / txt2img.starts[0].sigmas[0]
    clean = plain.latents - sigma * noise
    assert (half.latents - (clean + 0.5 * sigma * noise)).abs().max() < 1e-4
    assert (more.latents - (clean + (sigma + 0.25) * noise)).abs().max() < 1e-4


def test_a_picture_with_exif_alpha_palette_or_16_bits_is_read(make, wanted):
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    noise_picture(40, 64).save(turned, "JPEG", exif=exif)
    upright = Image.open(io.BytesIO(turned.getvalue())).transpose(Image.Transpose.ROTATE_270)
    request = wanted(
        source="image", image=base64.b64encode(turned.getvalue()).decode(), denoising_strength=0.0, width=64, height=40
    )
    assert difference(make(request)[0].image, upright) == 0
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    for colour, wanted_pixel in (("#ffffff", (255, 255, 255)), ("#204060", (0x20, 0x40, 0x60))):
        result = make(image_request(wanted, clear, denoising_strength=0.0, background=colour))[0]
        assert result.image.getpixel((5, 5)) == wanted_pixel
    grey = Image.fromarray(np.full((64, 64), 0x8080, np.uint16))
    assert make(image_request(wanted, grey, denoising_strength=0.0))[0].image.getpixel((1, 1)) == (128, 128, 128)


def test_pictures_of_a_batch_start_from_their_own_images_round_and_round(make, wanted):
    images = [noise_picture(seed=seed) for seed in range(2)]
    texts = [as_base64(image) for image in images]
    step = {"source": "image", "image": texts[0], "images": tuple(texts[1:]), "denoising_strength": 0.4}
    batch = make(wanted(batch_size=3, **step))
    single = [make(wanted(source="image", image=texts[i % 2], denoising_strength=0.4, seed=5 + i))[0] for i in range(3)]
    assert [r.image.tobytes() for r in batch] == [r.image.tobytes() for r in single]


def test_a_batch_that_goes_through_the_network_together_gives_the_same_pictures(make, wanted, monkeypatch):
    texts = [as_base64(noise_picture(seed=seed)) for seed in range(3)]
    request = wanted(batch_size=3, source="image", images=tuple(texts), denoising_strength=0.6, sampler="Euler a")
    apart = make(request)
    monkeypatch.setattr(Session, "batched", True)
    together = make(request)
    assert max(difference(a.image, b.image) for a, b in zip(apart, together, strict=True)) <= 1


def test_colours_are_matched_to_the_picture_when_that_is_wanted(make, wanted):
    red = Image.fromarray(np.dstack([pixels(noise_picture())[..., 0], *[np.full((64, 64), 20, np.uint8)] * 2]))
    plain = pixels(make(image_request(wanted, red, denoising_strength=0.9))[0].image).astype(int)
    matched = pixels(make(image_request(wanted, red, denoising_strength=0.9, match_colours=True))[0].image).astype(int)
    redness = [picture[..., 0].mean() - picture[..., 1:].mean() for picture in (plain, matched)]
    assert redness[1] > redness[0] + 20
    wanted_red = image_request(wanted, denoising_strength=0.9, match_colours=True, colours_of=as_base64(red))
    of_another = pixels(make(wanted_red)[0].image).astype(int)
    assert of_another[..., 0].mean() - of_another[..., 1:].mean() > redness[0] + 20


def test_the_infotext_tells_which_picture_it_was(make, wanted, session):
    first = make(image_request(wanted))[0]
    other = make(image_request(wanted, noise_picture(seed=1)))[0]
    request, rest = read_request(first.infotext, session.extensions)
    assert len(rest["Init image hash"]) == 32
    assert rest["Init image hash"] != read_request(other.infotext, session.extensions)[1]["Init image hash"]
    again = replace(request, passes=(replace(request.passes[0], image=as_base64(noise_picture())),))
    assert make(again)[0].path.read_bytes() == first.path.read_bytes()
    assert written_part(again) == written_part(request)


def test_interrupting_ends_an_image_pass_within_one_call(wanted, session, make):
    class Control:
        interrupted, skipped, stopping = threading.Event(), threading.Event(), threading.Event()

    class Stopping(Counting):
        def on_step(self, step):
            Control.interrupted.set()

    stopping = Stopping()
    with pytest.raises(Cancelled):
        make(image_request(wanted, steps=20, sampler="Euler"), control=Control(), hooks=[stopping])
    assert stopping.calls == 1


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"image": None}, InvalidRequest),
        ({"image": "!!!"}, InvalidRequest),
        ({"image": "AAAA"}, DamagedFile),
        ({"mask": "AAAA"}, DamagedFile),
        ({"resize_mode": "bend"}, InvalidRequest),
        ({"upscaler": "ESRGAN of nobody"}, NotFound),
        ({"noise_multiplier": -1.0}, InvalidRequest),
        ({"source": "noise", "mask": "AAAA"}, InvalidRequest),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_loaded(wanted, session, fields, error):
    with pytest.raises(error):
        make_plan(image_request(wanted, **fields), session.catalogue)


def test_an_image_grows_by_the_upscaler_that_is_named(make, wanted):
    small = noise_picture(32, 32)
    lanczos, nearest = (
        make(image_request(wanted, small, denoising_strength=0.0, upscaler=name))[0].image
        for name in ("Latent", "Nearest")
    )
    assert difference(nearest, small.resize((64, 64), Image.Resampling.NEAREST)) == 0
    assert difference(lanczos, small.resize((64, 64), Image.Resampling.LANCZOS)) == 0


def test_a_data_address_is_read_as_well(make, wanted):
    text = "data:image/png;base64," + as_base64(noise_picture())
    result = make(wanted(source="image", image=text, denoising_strength=0.0))[0]
    assert difference(result.image, noise_picture()) == 0


def test_passes_are_plain_data():
    assert Pass().sources == ()
    assert Pass("image", image="a", images=("b",)).sources == ("a", "b")
