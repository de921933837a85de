"""What a job tells while it runs, and how it is stopped."""

import io

import pytest
from PIL import Image

from webui.engine.control import NobodyAsks
from webui.errors import Cancelled, ExtensionError
from webui.extend import JobHooks


def kinds(events, kind):
    return [event for event in events if event["type"] == kind]


def test_progress_rises_to_one_and_counts_steps_and_batches(make, wanted):
    make(wanted(steps=3, count=2))
    progress = kinds(make.events, "progress")
    fractions = [event["fraction"] for event in progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert {event["batch"] for event in progress} == {0, 1}
    assert all(event["batches"] == 2 and event["steps"] == 3 for event in progress)
    assert progress[0]["stage"] == "load"
    assert {"encode", "sample", "decode", "save"} <= {event["stage"] for event in progress}


def test_the_time_to_go_is_known_after_a_step_and_ends_at_zero(make, wanted):
    make(wanted(steps=4))
    etas = [event["eta"] for event in kinds(make.events, "progress")]
    assert etas[0] is None
    assert etas[-1] == 0.0
    assert any(eta for eta in etas if eta)


def test_every_picture_is_told_with_path_infotext_and_seed(make, wanted):
    results = make(wanted(batch_size=2, count=2))
    pictures = kinds(make.events, "picture")
    assert [p["index"] for p in pictures] == [0, 1, 2, 3]
    assert [p["path"] for p in pictures] == [str(r.path) for r in results]
    assert [p["seed"] for p in pictures] == [5, 6, 7, 8]
    assert pictures[0]["infotext"] == results[0].infotext


def test_previews_are_small_pictures_when_they_are_wanted(make, wanted, session):
    before = session.settings
    session.settings = before.changed({"live_previews": True})
    try:
        make(wanted(steps=3))
    finally:
        session.settings = before
    previews = kinds(make.events, "preview")
    assert previews
    image = Image.open(io.BytesIO(previews[0]["bytes"]))
    assert image.format.lower() == previews[0]["format"]
    assert max(image.size) <= 512


def test_warnings_of_the_plan_are_told_as_notes(make, wanted):
    make(wanted(steps=1))
    assert any("small" in event["text"] for event in kinds(make.events, "note"))


def test_timings_of_every_stage_are_in_the_result(make, wanted):
    timings = make(wanted())[0].timings
    assert {"load", "encode", "sample", "decode"} <= set(timings)
    assert all(seconds >= 0 for seconds in timings.values())


class Acts(JobHooks):
    """Does something at a given network call and counts them."""

    def __init__(self, call, act):
        self.call, self.act, self.calls = call, act, 0

    def wrap_predictor(self, inner):
        def predictor(x, sigma, conditioning):
            self.calls += 1
            if self.calls == self.call:
                self.act()
            return inner(x, sigma, conditioning)

        return predictor


@pytest.mark.parametrize("sampler", ["Euler", "Heun", "DPM adaptive"])
def test_an_interrupt_is_heard_within_one_network_call(make, wanted, sampler):
    control = NobodyAsks()
    acts = Acts(3, control.interrupted.set)
    with pytest.raises(Cancelled):
        make(wanted(steps=20, sampler=sampler), control, [acts])
    assert acts.calls <= 4


def test_a_job_after_an_interrupted_one_gives_the_same_bytes(make, wanted):
    reference = make(wanted(sampler="Euler a"))[0]
    control = NobodyAsks()
    with pytest.raises(Cancelled):
        make(wanted(sampler="Euler a", seed=99), control, [Acts(2, control.interrupted.set)])
    assert make(wanted(sampler="Euler a"))[0].path.read_bytes() == reference.path.read_bytes()


def test_pictures_that_were_finished_before_an_interrupt_are_kept(make, wanted):
    control = NobodyAsks()
    with pytest.raises(Cancelled):
        make(wanted(steps=2, count=3), control, [Acts(5, control.interrupted.set)])
    assert 1 <= len(kinds(make.events, "picture")) <= 2


def test_skipping_leaves_the_batch_and_goes_on_with_the_next(make, wanted):
    control = NobodyAsks()
    results = make(wanted(steps=2, count=3), control, [Acts(1, control.skipped.set)])
    assert [result.seed for result in results] == [6, 7]


def test_stopping_finishes_the_batch_and_starts_no_other(make, wanted):
    control = NobodyAsks()
    results = make(wanted(steps=2, count=3), control, [Acts(1, control.stopping.set)])
    assert [result.seed for result in results] == [5]


def test_a_failing_extension_fails_the_job_by_name_and_saves_nothing(make, wanted, home):
    def fail():
        raise RuntimeError("boom")

    before = sorted(home.outputs.rglob("*"))
    with pytest.raises(ExtensionError, match=r"'ext0' failed in wrap_predictor: RuntimeError: boom"):
        make(wanted(), hooks=[Acts(2, fail)])
    assert sorted(home.outputs.rglob("*")) == before


class Paints(JobHooks):
    """Makes the picture one colour and writes a field."""

    def edit_image(self, image, info):
        return image * 0 + 0.5, type(info)(info.index, info.seed, {**info.fields, "Painted": "grey"})


def test_picture_hooks_change_what_is_saved_and_its_infotext(make, wanted):
    result = make(wanted(), hooks=[Paints()])[0]
    assert result.image.getcolors() == [(64 * 64, (128, 128, 128))]
    assert "Painted: grey" in result.infotext


class Rescales(JobHooks):
    """Changes the start, the conditioning and the denoiser's result."""

    def edit_start(self, start):
        return type(start)(start.latents * 0.5, start.sigmas, start.pass_index)

    def edit_conditioning(self, conditioning, text, negative):
        return conditioning if negative else conditioning.map(lambda t: t * 0.5)

    def wrap_denoiser(self, inner):
        return lambda x, sigma: inner(x, sigma) * 0.9


def test_other_hooks_change_the_picture_and_leave_no_trace_in_the_next_job(make, wanted):
    plain = make(wanted())[0]
    changed = make(wanted(), hooks=[Rescales()])[0]
    again = make(wanted())[0]
    assert changed.image.tobytes() != plain.image.tobytes()
    assert again.path.read_bytes() == plain.path.read_bytes()
