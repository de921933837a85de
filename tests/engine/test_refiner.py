"""A second checkpoint that takes over within a pass."""

import dataclasses
import gc
import weakref

import pytest

from tests.engine.conftest import write_checkpoint
from webui.engine.output import read_request
from webui.engine.plan import make_plan
from webui.engine.session import Session
from webui.errors import IncompatibleModel, NotFound
from webui.extend import JobHooks
from webui.request import Refiner, replace


def calls_of(make, session, request):
    """Which checkpoint's network was asked, call by call, and the results."""
    names = []

    class Watching(JobHooks):
        def wrap_predictor(self, inner):
            def predictor(x, sigma, conditioning):
                names.append(session.checkpoint.stem)
                return inner(x, sigma, conditioning)

            return predictor

    return make(request, hooks=[Watching()]), names


@pytest.mark.parametrize(
    ("refiner", "own"),
    [
        (Refiner("other", 0.5, by_steps=True), 5),
        (Refiner("other", 0.8, by_steps=True), 8),
        (Refiner("other", 0.8), 8),  # levels 999, 888, … 0: the first of at most 199 is the ninth
        (Refiner("other", 0.5), 5),  # 499.5: the sixth is level 444
        (Refiner("other", 0.0), 0),
        (Refiner("other", 1.0), 10),
    ],
)
def test_the_refiner_takes_over_where_a1111_switches(make, wanted, session, refiner, own):
    request = wanted(steps=10, schedule="Uniform", refiner=refiner)
    _, names = calls_of(make, session, request)
    assert names == ["narrow"] * own + ["other"] * (10 - own)


@pytest.mark.parametrize("sampler", ["Euler", "Euler a", "DPM++ 2M", "DPM++ 2M SDE", "Heun", "Euler CFG++"])
def test_a_refiner_that_is_the_same_checkpoint_changes_nothing(make, wanted, sampler):
    plain = make(wanted("a [cat|dog] [big:small:0.6]", sampler=sampler, steps=6))[0]
    refined = make(wanted("a [cat|dog] [big:small:0.6]", sampler=sampler, steps=6, refiner=Refiner("narrow", 0.5)))[0]
    assert refined.image.tobytes() == plain.image.tobytes()


def test_a_refiner_changes_the_picture_and_is_written_so_that_it_can_be_made_again(make, wanted, session):
    plain = make(wanted())[0]
    refined = make(wanted(refiner=Refiner("other", 0.5)))[0]
    assert refined.image.tobytes() != plain.image.tobytes()
    assert "Refiner: other [" in refined.infotext
    assert "Refiner switch at: 0.5" in refined.infotext
    request, _ = read_request(refined.infotext, session.extensions)
    assert make(request)[0].path.read_bytes() == refined.path.read_bytes()


def test_without_room_for_both_they_are_exchanged_and_the_picture_is_the_same(make, wanted, monkeypatch, session):
    request = wanted(refiner=Refiner("other", 0.5), count=2)
    both = make(request)
    monkeypatch.setattr(Session, "_has_room", lambda self, checkpoint: False)
    session.unload()
    exchanged = make(request)
    assert [r.image.tobytes() for r in exchanged] == [r.image.tobytes() for r in both]
    assert session.checkpoint.stem == "narrow", "the first checkpoint's VAE has decoded"


def test_an_exchanged_checkpoint_is_really_gone(wanted, monkeypatch, session, make):
    monkeypatch.setattr(Session, "_has_room", lambda self, checkpoint: False)
    session.unload()  # tests before may have kept both
    alive = []

    class Watching(JobHooks):
        def on_step(self, step):
            if session.checkpoint.stem == "narrow":
                alive[:] = [weakref.ref(session.model.unet)]
            else:
                gc.collect()
                alive.append(alive[0]())

    make(wanted(refiner=Refiner("other", 0.5)), hooks=[Watching()])
    assert len(alive) > 1
    assert alive[1:] == [None] * (len(alive) - 1)


def test_a_kept_refiner_goes_with_the_next_other_checkpoint(make, wanted, session):
    make(wanted(refiner=Refiner("other", 0.5)))
    make(wanted())
    base = weakref.ref(session.model.unet)
    make(wanted(checkpoint="other"))
    gc.collect()
    assert base() is None


def test_a_refiner_in_the_second_pass_only(make, wanted, session):
    first = wanted(steps=3)
    later = dataclasses.replace(
        first.passes[0],
        source="previous",
        denoising_strength=0.6,
        steps=4,
        refiner=Refiner("other", 0.5, by_steps=True),
    )
    results, names = calls_of(make, session, replace(first, passes=(*first.passes, later)))
    assert names == ["narrow"] * 5 + ["other"] * 2
    assert "Hires refiner: second pass" in results[0].infotext


def test_refiners_that_cannot_work_are_refused_in_the_plan(wanted, session, monkeypatch):
    with pytest.raises(NotFound):
        make_plan(wanted(refiner=Refiner("nobody")), session.catalogue)
    real = session.catalogue.facts

    def facts(file):
        made = real(file)
        latents = dataclasses.replace(made.latents, scale=0.13025)
        return dataclasses.replace(made, latents=latents) if file.stem == "other" else made

    monkeypatch.setattr(session.catalogue, "facts", facts)
    with pytest.raises(IncompatibleModel, match="refiner"):
        make_plan(wanted(refiner=Refiner("other")), session.catalogue)


def test_as_many_checkpoints_stay_loaded_as_the_settings_say(make, wanted, session, settings):
    files = [session.catalogue.find(name) for name in ("narrow", "other")]
    session.unload()
    session.settings = settings.changed({"checkpoints_kept": 2})
    try:
        narrow, other = (session.load(file) for file in files)
        assert session.load(files[0]) is narrow and session.load(files[1]) is other
        session.settings = settings
        assert session.load(files[0]) is narrow  # it was there still; from now on it is alone
        assert session.load(files[1]) is not other
    finally:
        session.settings = settings
        session.unload()


def test_the_same_job_twice_reads_no_checkpoint_again(make, wanted, session, monkeypatch):
    request = wanted(refiner=Refiner("other", 0.5))
    make(request)
    monkeypatch.setattr("webui.engine.session.open_weights", lambda path: pytest.fail("read again"))
    make(request)


@pytest.fixture
def seeing(home, session, request):
    """The name of one more checkpoint, whose network is shown more than the latents."""
    path = write_checkpoint(home.models / "checkpoints" / f"seeing{request.param}.safetensors", 2, request.param)
    session.catalogue.refresh()
    yield path.stem
    session.unload()
    path.unlink()
    session.catalogue.refresh()


@pytest.mark.parametrize("seeing", [8, 9], indirect=True)
def test_a_checkpoint_that_sees_more_and_one_that_does_not_refine_each_other(make, wanted, session, seeing):
    for own, other in ((seeing, "narrow"), ("narrow", seeing)):
        request = replace(wanted(steps=4, refiner=Refiner(other, 0.5, by_steps=True)), checkpoint=own)
        assert calls_of(make, session, request)[1] == [own, own, other, other]
    plain = make(replace(wanted(steps=4), checkpoint=seeing))[0]
    same = make(replace(wanted(steps=4, refiner=Refiner(seeing, 0.5)), checkpoint=seeing))[0]
    assert same.image.tobytes() == plain.image.tobytes()
