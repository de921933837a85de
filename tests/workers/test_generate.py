"""The real engine inside a real worker process, with a narrow random checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.engine.conftest import write_checkpoint
from webui.engine.catalogue import open_catalogue
from webui.errors import EmulsionError
from webui.paths import Paths
from webui.request import GenerationRequest, Pass
from webui.settings import Settings, job_options
from webui.workers.plain import WorkerSettings, to_plain
from webui.workers.service import JobService


@pytest.fixture(scope="module")
def paths(tmp_path_factory) -> Paths:
    home = tmp_path_factory.mktemp("home")
    for seed, name in enumerate(("narrow", "other")):
        write_checkpoint(home / "models" / "checkpoints" / f"{name}.safetensors", seed)
    return Paths(home / "data", home / "models", home / "outputs", {}, home / "program")


@pytest.fixture(scope="module")
def service(paths):
    settings = Settings(paths).changed({"checkpoint": "narrow", "preview_every_steps": 1})
    plain = to_plain(WorkerSettings(settings, "cpu", "float32"))
    service = JobService(plain, paths.data, catalogue=open_catalogue(settings))
    service.start()
    yield service
    service.stop(2)


def request(**fields) -> GenerationRequest:
    steps = fields.pop("steps", 4)
    step = Pass(width=64, height=64, steps=steps, sampler="Euler")
    return GenerationRequest(**{"prompt": "a red apple", "seed": 5, "passes": (step,), "save": False, **fields})


def test_names_are_those_of_the_registries(service):
    assert {"Euler", "Euler a", "DPM++ 2M", "LCM"} <= set(service.samplers())
    assert {"Automatic", "Karras", "Align Your Steps"} <= set(service.schedulers())


def test_a_request_becomes_a_picture_with_its_infotext(service):
    job = service.wait(service.submit(request()), 300)
    assert (job.state, job.error) == ("done", None)
    (result,) = job.results
    picture = Image.open(result.path)
    assert picture.size == (result.width, result.height) == (64, 64) and result.seed == 5
    assert picture.info["parameters"] == result.infotext and "a red apple\nSteps: 4, Sampler: Euler" in result.infotext
    assert result.facts["checkpoint"] == "narrow" and not result.saved
    assert f"Model hash: {result.facts['checkpoint_hash']}, Model: narrow" in result.infotext


def test_the_library_knows_what_was_used_and_its_hash(service):
    service.wait(service.submit(request()), 300)
    (row,) = service.catalogue.library.database.read("SELECT uses, used, sha256 FROM files WHERE stem = 'narrow'")
    assert row["uses"] > 0 and row["used"] > 0 and row["sha256"]
    (file,) = [file for file in service.checkpoints() if file.stem == "narrow"]
    assert file.sha256 == row["sha256"]


def test_the_same_request_gives_the_same_bytes(service):
    first, second = (service.wait(service.submit(request()), 300).results[0].path for _ in range(2))
    assert first != second and Path(first).read_bytes() == Path(second).read_bytes()


def test_a_saved_picture_lies_in_the_outputs(service, paths):
    (result,) = service.wait(service.submit(request(save=True)), 300).results
    assert result.saved and Path(result.path).is_relative_to(paths.outputs) and Path(result.path).is_file()


def test_options_of_one_job_do_not_outlive_it(service):
    job = service.submit(request(), options={"settings": {"picture_format": "webp"}})
    assert service.wait(job, 300).results[0].path.endswith(".webp")
    assert service.wait(service.submit(request()), 300).results[0].path.endswith(".png")


def test_previews_come_while_it_runs(service):
    seen = []
    unsubscribe = service.subscribe(lambda job_id: seen.append(service.job(job_id).preview) if job_id else None)
    view = service.wait(service.submit(request(steps=10)), 300)
    unsubscribe()
    shown = [preview for preview in seen if preview]
    assert view.state == "done" and shown and all(one[:2] in (b"\xff\xd8", b"\x89P", b"RI") for one in shown)


def test_an_interrupt_leaves_the_next_picture_as_it_would_have_been(service):
    before = Path(service.wait(service.submit(request()), 300).results[0].path).read_bytes()
    unsubscribe = service.subscribe(lambda job: service.interrupt(job) if job and service.job(job).step > 1 else None)
    assert service.wait(service.submit(request(steps=1000, count=100)), 300).state == "cancelled"
    unsubscribe()
    assert Path(service.wait(service.submit(request()), 300).results[0].path).read_bytes() == before


def test_another_checkpoint_is_loaded_when_asked_for(service):
    service.load("other")
    assert service.status().checkpoint == "other.safetensors"
    assert service.status().device == "cpu" and service.status().memory > 0
    with pytest.raises(EmulsionError, match="nobody"):
        service.load("nobody")


def test_a_wrong_name_fails_the_job_with_a_sentence(service):
    job = service.wait(service.submit(request(checkpoint="nobody")), 300)
    assert job.state == "failed" and job.error_type == "NotFound" and "nobody" in job.error


def test_a_grid_of_a_saved_jobs_pictures_is_kept_when_the_settings_say_so(service, paths):
    grids = paths.outputs / "grids"
    many = request(save=True, count=3, steps=1)
    service.wait(service.submit(many), 300)
    service.wait(service.submit(request(save=True, steps=1), options={"settings": {"save_grids": True}}), 300)
    assert not grids.exists()
    job = service.wait(service.submit(many, options={"settings": {"save_grids": True}}), 300)
    (grid,) = grids.rglob("*.png")
    picture = Image.open(grid)
    assert (grid.name, picture.size) == ("grid-5.png", (128, 128)) and len(job.results) == 3
    assert picture.info["parameters"] == job.results[0].infotext
    long = {"save_grids": True, "grid_extended_filename": True, "name_pattern": "[steps]/[seed]-[prompt_words]"}
    service.wait(service.submit(many, options={"settings": job_options(long)}), 300)
    (named,) = set(grids.rglob("*.png")) - {grid}
    assert named.parent.name == "1" and named.name.startswith("grid-5-") and len(named.stem) > len("grid-5-")


def test_a_picture_that_cannot_be_saved_is_kept_and_the_reason_told(service, paths):
    paths.outputs.mkdir(parents=True, exist_ok=True)
    (paths.outputs / "blocked").write_bytes(b"")  # a file where a folder is wanted: as hopeless as a full disk
    settings = {"folder_txt2img": "blocked", "folder_grids": "blocked", "save_grids": True}
    job = service.wait(service.submit(request(save=True, count=2, steps=1), options={"settings": settings}), 300)
    assert job.state == "done" and len(job.results) == 2
    assert all(not one.saved and Image.open(one.path).info["parameters"] == one.infotext for one in job.results)
    told = [note for note in job.notes if "cannot be written" in note and "not saved" in note]
    assert len(told) == 3, job.notes
