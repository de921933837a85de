"""Plans resolve everything, fast, and refuse what cannot work."""

import base64
import dataclasses
import io
import subprocess
import sys
import time

import pytest
from PIL import Image

from webui.engine.catalogue import Catalogue
from webui.engine.plan import make_plan, picture_request
from webui.errors import InvalidRequest, NotFound, UnknownModel
from webui.library.index import Library
from webui.request import GenerationRequest, Pass
from webui.weights.save import save_safetensors


@pytest.fixture
def catalogue(home):
    return Catalogue(Library(home), default="narrow")


def request(step=None, **fields):
    return GenerationRequest(passes=(step or Pass(width=64, height=64, steps=4),), **fields)


def picture():
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


def test_seeds_count_up_picture_by_picture(catalogue):
    plan = make_plan(request(seed=7, batch_size=2, count=2), catalogue)
    assert [[p.seed for p in batch] for batch in plan.batches] == [[7, 8], [9, 10]]


def test_with_a_variation_the_seed_stays_and_the_variation_seed_counts_up(catalogue):
    plan = make_plan(request(seed=7, variation_seed=100, variation_strength=0.2, batch_size=3), catalogue)
    assert [(p.seed, p.variation_seed) for p in plan.pictures] == [(7, 100), (7, 101), (7, 102)]


def test_a_random_seed_is_drawn_once_and_written_down(catalogue):
    plan = make_plan(request(batch_size=2), catalogue, draw_seed=lambda: 41)
    assert plan.request.seed == 41
    assert [p.seed for p in plan.pictures] == [41, 42]


def test_the_request_of_one_picture_makes_that_picture_alone(catalogue):
    plan = make_plan(request(seed=7, batch_size=2, count=2, prompt="a cat"), catalogue)
    single = picture_request(plan, plan.pictures[2])
    again = make_plan(single, catalogue)
    assert len(again.pictures) == 1
    assert again.pictures[0].positive == plan.pictures[2].positive
    assert again.pictures[0].seed == 9


@pytest.mark.parametrize(
    ("changes", "error", "told"),
    [
        ({"checkpoint": "nrrow"}, NotFound, "'narrow'"),
        ({"vae": "no such vae"}, NotFound, "no VAE"),
        ({"step": Pass(sampler="Eular")}, InvalidRequest, "Eular"),
        ({"step": Pass(schedule="Karas")}, InvalidRequest, "Karas"),
        ({"step": Pass(source="previous")}, InvalidRequest, "first pass"),
        ({"step": Pass(source="image")}, InvalidRequest, "there is none"),
        ({"step": Pass(mask="abc")}, InvalidRequest, "mask"),
        ({"extensions": {"nobody": {}}}, InvalidRequest, "nobody"),
        ({"styles": ("nothing",)}, InvalidRequest, "nothing"),
        ({"step": Pass(steps=0)}, InvalidRequest, "steps"),
    ],
)
def test_what_cannot_work_fails_here_by_name(catalogue, changes, error, told):
    with pytest.raises(error, match=told):
        make_plan(request(**changes), catalogue)


def test_a_file_that_is_no_checkpoint_fails_here(tmp_path):
    import torch

    from webui.paths import Paths

    (tmp_path / "models" / "checkpoints").mkdir(parents=True)
    save_safetensors(tmp_path / "models" / "checkpoints" / "odd.safetensors", {"a.weight": torch.zeros(2)})
    with pytest.raises(UnknownModel):
        make_plan(request(), Catalogue(Library(Paths(models=tmp_path / "models", program=tmp_path))))


@pytest.mark.parametrize(
    ("asked", "sampler", "schedule"),
    [
        (("DPM++ 2M Karras", "Automatic"), "DPM++ 2M", "Automatic"),
        (("k_euler_a", "Automatic"), "Euler a", "Automatic"),
        (("Euler", "karras"), "Euler", "Karras"),
    ],
)
def test_old_and_other_spellings_are_resolved(catalogue, asked, sampler, schedule):
    plan = make_plan(request(Pass(width=64, height=64, sampler=asked[0], schedule=asked[1])), catalogue)
    assert (plan.request.passes[0].sampler, plan.request.passes[0].schedule) == (sampler, schedule)


def test_sigmas_are_floats_one_longer_than_the_steps_and_end_in_zero(catalogue):
    sigmas = make_plan(request(Pass(width=64, height=64, steps=7)), catalogue).passes[0].sigmas
    assert len(sigmas) == 8
    assert sigmas[-1] == 0.0
    assert all(type(sigma) is float for sigma in sigmas)


@pytest.mark.parametrize(
    ("strength", "steps", "expected"), [(0.5, 20, 11), (0.75, 20, 16), (1.0, 20, 20), (0.0, 20, 0), (0.01, 20, 1)]
)
def test_an_image_pass_runs_as_many_steps_as_in_a1111(catalogue, strength, steps, expected):
    step = Pass(source="image", image=picture(), width=64, height=64, steps=steps, denoising_strength=strength)
    plan = make_plan(request(step), catalogue)
    assert plan.passes[0].steps == expected


def test_an_image_pass_starts_in_the_middle_of_the_whole_schedule(catalogue):
    whole = make_plan(request(Pass(width=64, height=64, steps=20, sampler="Euler")), catalogue).passes[0].sigmas
    step = Pass("image", 64, 64, "Euler", steps=20, denoising_strength=0.5, image=picture())
    assert make_plan(request(step), catalogue).passes[0].sigmas == whole[9:]


def test_a_later_pass_runs_all_of_its_steps(catalogue):
    first = Pass(width=64, height=64, steps=4)
    second = Pass(source="previous", width=128, height=128, steps=6, denoising_strength=0.4)
    plan = make_plan(dataclasses.replace(request(), passes=(first, second)), catalogue)
    assert [step.steps for step in plan.passes] == [4, 6]
    assert plan.passes[1].latent_shape == (4, 16, 16)


def test_prompt_editing_counts_the_evaluations_of_the_sampler(catalogue):
    edited = request(prompt="[cat:dog:0.5]")
    ends = {}
    for sampler in ("Euler", "Heun"):
        step = Pass(width=64, height=64, steps=10, sampler=sampler)
        plan = make_plan(dataclasses.replace(edited, passes=(step,)), catalogue)
        ends[sampler] = plan.pictures[0].positive[0][0].until_step
    assert ends == {"Euler": 5, "Heun": 10}


def test_sizes_are_rounded_to_whole_cells_and_that_is_said(catalogue):
    plan = make_plan(request(Pass(width=515, height=509)), catalogue)
    assert (plan.request.passes[0].width, plan.request.passes[0].height) == (512, 512)
    assert any("512×512" in warning for warning in plan.warnings)


@pytest.mark.parametrize(("side", "told"), [(128, "small"), (512, None), (1024, "large")])
def test_a_size_far_from_the_native_one_gives_a_hint(catalogue, side, told):
    warnings = make_plan(request(Pass(width=side, height=side)), catalogue).warnings
    assert any(str(side) in w for w in warnings) == (told is not None)
    assert told is None or any(told in w for w in warnings)


def test_an_unknown_directive_gives_a_hint_once(catalogue):
    plan = make_plan(request(prompt="a cat <film:grain:1>", batch_size=3), catalogue)
    assert sum("<film:grain:1>" in warning for warning in plan.warnings) == 1
    assert plan.pictures[0].positive[0][0].parts[0][0].strip() == "a cat"


def test_what_a_picture_says_of_itself_holds_the_words_of_its_styles(tmp_path, home):
    (tmp_path / "styles.csv").write_text("name,prompt,negative_prompt\nfilm,grainy {prompt},blur\n", "utf-8")
    catalogue = Catalogue(Library(dataclasses.replace(home, data=tmp_path)), default="narrow")
    later = Pass(source="previous", width=64, height=64, prompt="a dog")
    wanted = request(prompt="a cat", styles=("film",))
    plan = make_plan(dataclasses.replace(wanted, passes=(*wanted.passes, later)), catalogue)
    assert plan.pictures[0].positive[0][0].parts == (("grainy a cat", 1.0),)
    assert plan.pictures[0].positive[1][0].parts == (("grainy a dog", 1.0),)
    assert plan.pictures[0].negative[0][0].parts == plan.pictures[0].negative[1][0].parts == (("blur", 1.0),)
    said = picture_request(plan, plan.pictures[0])
    assert (said.prompt, said.negative_prompt, said.styles) == ("grainy a cat", "blur", ())
    assert [(step.prompt, step.negative_prompt) for step in said.passes] == [(None, None), ("grainy a dog", None)]
    (tmp_path / "styles.csv").unlink()  # the picture does not need them any more
    again = make_plan(said, catalogue)
    assert again.pictures[0].positive == plan.pictures[0].positive
    assert (plan.asked.prompt, plan.asked.styles) == ("a cat", ("film",))


def test_a_hash_that_belongs_to_another_file_gives_a_hint(catalogue):
    catalogue.sha256(catalogue.find("narrow"))
    plan = make_plan(request(checkpoint="narrow.safetensors [0123456789]"), catalogue)
    assert any("0123456789" in warning for warning in plan.warnings)


def test_a_plan_takes_milliseconds(catalogue):
    wanted = request(Pass(width=512, height=512, steps=50), prompt="a [cat|dog] AND a hat", batch_size=4, count=4)
    make_plan(wanted, catalogue)  # the first one reads the header
    started = time.process_time()
    make_plan(wanted, catalogue)
    assert time.process_time() - started < 0.25  # it is about 10 ms alone; the machine may be busy


def test_a_plan_imports_no_torch(home):
    code = f"""
import sys
from pathlib import Path
from webui.engine.catalogue import Catalogue
from webui.engine.plan import make_plan, picture_request
from webui.library.index import Library
from webui.paths import Paths
from webui.request import GenerationRequest
library = Library(Paths(models=Path({str(home.models)!r})))
make_plan(GenerationRequest(checkpoint="narrow"), Catalogue(library))
sys.exit("torch" in sys.modules)
"""
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
