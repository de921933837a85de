"""Second passes: from latents or through pixels, with words, samplers and checkpoints of their own."""

import pytest
import torch.nn.functional as F
from PIL import Image

from tests.engine.pictures import as_base64, difference, noise_picture
from webui.diffusion.noise import NoiseSource
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.errors import NotFound
from webui.extend import JobHooks
from webui.imaging.convert import to_pictures, to_tensor
from webui.request import LATENT_UPSCALERS, Guidance, Inpaint, Pass, replace


class Watching(JobHooks):
    """Keeps what each pass starts from and ends with."""

    def __init__(self):
        self.starts, self.ends = {}, {}

    def edit_start(self, start):
        self.starts[start.pass_index] = start
        return start

    def on_step(self, step):
        self.ends[step.pass_index] = step.denoised


def second(**fields):
    return Pass(**{"source": "previous", "width": 96, "height": 96, "sampler": "Euler", "steps": 3} | fields)


def hires(wanted, *later, **fields):
    first = wanted(**fields)
    return replace(first, passes=(*first.passes, *later))


def clean_start(start, seed=5):
    """What noise was added to."""
    noise = NoiseSource([seed], start.latents.shape[1:]).initial()
    return start.latents - noise * start.sigmas[0]


@pytest.mark.parametrize("name", LATENT_UPSCALERS)
def test_a_latent_upscaler_is_torchs_interpolation(make, wanted, name):
    watching = Watching()
    make(hires(wanted, second(denoising_strength=0.5, upscaler=name)), hooks=[watching])
    mode, antialias = LATENT_UPSCALERS[name]
    expected = F.interpolate(watching.ends[0], (12, 12), mode=mode, antialias=antialias)
    assert (clean_start(watching.starts[1]) - expected).abs().max() < 1e-4


def test_other_proportions_are_covered_and_cut_evenly_as_in_a1111(make, wanted):
    watching = Watching()
    make(hires(wanted, second(width=128, height=80, denoising_strength=0.5)), hooks=[watching])
    expected = F.interpolate(watching.ends[0], (16, 16), mode="bilinear")[:, :, 3:13]
    assert (clean_start(watching.starts[1]) - expected).abs().max() < 1e-4


def test_a_pixel_upscaler_decodes_enlarges_and_encodes(make, wanted, session):
    watching = Watching()
    make(hires(wanted, second(denoising_strength=0.5, upscaler="Nearest")), hooks=[watching])
    decoded = to_pictures(session.decode(watching.ends[0]))[0].resize((96, 96), Image.Resampling.NEAREST)
    expected = session.encode_picture(to_tensor(decoded))
    assert (clean_start(watching.starts[1]) - expected).abs().max() < 1e-4


def test_enlarging_a_saved_picture_equals_having_made_both_passes_at_once(make, wanted):
    later = second(denoising_strength=0.6, upscaler="Nearest", sampler="Euler a")
    whole = make(hires(wanted, later, count=2))
    firsts = make(wanted(count=2))
    for both, first in zip(whole, firsts, strict=True):
        kept = Pass("image", 64, 64, denoising_strength=0.0, image=as_base64(Image.open(first.path)))
        again = make(replace(wanted(seed=first.seed), passes=(kept, later)))[0]
        assert again.image.tobytes() == both.image.tobytes()


def test_a_second_pass_has_words_sampler_and_guidance_of_its_own(make, wanted):
    calls = []

    class Telling(JobHooks):
        def wrap_predictor(self, inner):
            def predictor(x, sigma, conditioning):
                calls.append((tuple(x.shape[2:]), len(x), float(conditioning.context[0].double().sum())))
                return inner(x, sigma, conditioning)

            return predictor

    later = second(sampler="Heun", prompt="a blue boat", negative_prompt="rust", guidance=Guidance(3.0))
    make(hires(wanted, later, guidance=Guidance(1.0)), hooks=[Telling()])
    first = [call for call in calls if call[0] == (8, 8)]
    last = [call for call in calls if call[0] == (12, 12)]
    assert [rows for _, rows, _ in first] == [1] * 4
    assert [rows for _, rows, _ in last] == [2] * 5  # Heun: twice a step, once in the last
    told = []
    make(wanted("a blue boat", negative_prompt="rust", guidance=Guidance(3.0), steps=1), hooks=[Telling()])
    told = calls[-1]
    assert last[0][2] == pytest.approx(told[2])
    assert first[0][2] != pytest.approx(told[2])


def test_a_second_pass_may_use_another_checkpoint_whose_name_is_written(make, wanted, session):
    plain = make(hires(wanted, second(denoising_strength=0.7)))[0]
    other = make(hires(wanted, second(denoising_strength=0.7, checkpoint="other")))[0]
    assert "Hires checkpoint: other [" in other.infotext
    assert difference(plain.image, other.image) > 5
    assert session.checkpoint.stem == "other"
    first = make(wanted())[0]
    assert session.checkpoint.stem == "narrow"
    alone = make(wanted(checkpoint="narrow"))[0]
    assert first.image.tobytes() == alone.image.tobytes()


LATER = [
    second(denoising_strength=0.5),
    second(width=104, height=72, denoising_strength=0.3, upscaler="Latent (bicubic antialiased)"),
    second(denoising_strength=0.5, upscaler="Lanczos", sampler="DPM++ 2M", schedule="Karras", guidance=Guidance(4.0)),
    second(denoising_strength=0.5, prompt="a hat: red, blue", negative_prompt="mud", checkpoint="other"),
]


@pytest.mark.parametrize("later", LATER)
def test_an_infotext_of_two_passes_makes_the_same_bytes_again(make, wanted, session, later):
    first = make(hires(wanted, later))[0]
    request, rest = read_request(first.infotext, session.extensions)
    assert make(request)[0].path.read_bytes() == first.path.read_bytes()
    assert set(rest) <= {"VAE hash", "Version"}
    assert "Passes" not in first.infotext


def test_three_passes_follow_each_other(make, wanted):
    watching = Watching()
    passes = second(denoising_strength=0.5), second(width=128, height=128, denoising_strength=0.3, upscaler="Nearest")
    assert make(hires(wanted, *passes), hooks=[watching])[0].image.size == (128, 128)
    assert sorted(watching.ends) == [0, 1, 2]


def test_a_second_pass_of_strength_0_only_enlarges(make, wanted):
    first = make(wanted())[0].image
    made = make(hires(wanted, second(width=128, height=128, denoising_strength=0.0, upscaler="Nearest")))[0].image
    assert difference(made, first.resize((128, 128), Image.Resampling.NEAREST)) == 0


def test_what_was_pasted_back_is_what_the_next_pass_enlarges(make, wanted):
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 16, 16))
    inpainted = Pass(
        *("image", 64, 64, "Euler"),
        steps=3,
        image=as_base64(noise_picture()),
        mask=as_base64(mask),
        inpaint=Inpaint((0, 0)),
        denoising_strength=0.9,
    )
    later = second(width=128, height=128, denoising_strength=0.0, upscaler="Nearest")
    made = make(replace(wanted(), passes=(inpainted, later)))[0].image
    enlarged = noise_picture().resize((128, 128), Image.Resampling.NEAREST)
    assert difference(made.crop((40, 40, 128, 128)), enlarged.crop((40, 40, 128, 128))) == 0


def test_an_unknown_upscaler_is_refused_with_close_names(wanted, session):
    with pytest.raises(NotFound, match="Lanczos"):
        make_plan(hires(wanted, second(upscaler="Lanzcos")), session.catalogue)


def test_pictures_of_a_batch_do_not_change_each_other_in_second_passes(make, wanted):
    later = second(denoising_strength=0.5, upscaler="Lanczos", sampler="Euler a")
    batch = make(hires(wanted, later, batch_size=2))
    alone = make(hires(wanted, later, seed=6))[0]
    assert batch[1].image.tobytes() == alone.image.tobytes()
