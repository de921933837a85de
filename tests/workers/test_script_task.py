"""The script job: cells through an engine, sheets, notes, and going on where a job was."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from webui.engine.catalogue import open_catalogue
from webui.errors import Cancelled, EmulsionError, InvalidRequest, NotFound
from webui.imaging.metadata import read_metadata, save_picture
from webui.infotext import read_infotext
from webui.paths import Paths
from webui.request import GenerationRequest, Pass, replace
from webui.settings import Settings
from webui.workers.tasks import TASKS, TaskJob
from webui.workers.tasks import script as task
from webui.workers.worker import Control

STEPS = {"x_type": "Steps", "x_values": "1,2", "y_type": "CFG Scale", "y_values": "3,4"}
WIDTH, HEIGHT = 40, 30
PAINT = replace(GenerationRequest(seed=1), passes=(Pass(width=WIDTH, height=HEIGHT),))


class House:
    """A session without a network: pictures have a colour by their steps and their guidance scale."""

    def __init__(self, folder: Path, **settings: Any):
        paths = Paths(data=folder / "data", outputs=folder / "outputs")
        self.settings = Settings(paths).changed({"folder_per_pattern": False, **settings})
        (paths.models / "checkpoints").mkdir(parents=True, exist_ok=True)
        self.session = SimpleNamespace(settings=self.settings, catalogue=open_catalogue(self.settings))
        self.folder, self.control = folder, Control()
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.made: list[GenerationRequest] = []
        self.before: Callable[[GenerationRequest], None] = lambda request: None

    def job(self) -> TaskJob:
        def report(kind: str, blob: bytes = b"", **values: Any) -> None:
            self.events.append((kind, values))

        return TaskJob(self.session, report, self.control, self.folder / "scratch")  # type: ignore[arg-type]

    def run(self, script: str = "X/Y/Z plot", request: GenerationRequest = PAINT, **arguments: Any) -> None:
        """One job, from nothing but its values. What the last one said is forgotten."""
        self.events, self.made, self.control = [], [], Control()
        values = task.check({"script": script, "arguments": arguments, "request": dataclasses.asdict(request)})
        task.run(values, self.job(), self._make)

    def _make(
        self, request: GenerationRequest, session: Any, report: Callable[..., None], control: Any, scratch: Path
    ) -> None:
        self.before(request)
        self.made.append(request)
        step = request.passes[0]
        report("note", text="the same for every cell")
        for number in range(request.count):
            told = {"steps": step.steps, "batch": number, "batches": request.count}
            report("progress", stage="sample", step=0, **told)
            report("progress", stage="sample", step=step.steps, **told)
            report("preview", b"picture", format="jpeg")
            path = (self.folder / "outputs" if request.save else scratch) / f"{len(self.made)}-{number}.png"
            text = (
                f"a cat\nSteps: {step.steps}, Sampler: Euler, CFG scale: {step.guidance.scale:g}, Seed: {request.seed}"
            )
            colour = (step.steps * 50, int(step.guidance.scale * 50), 9)
            path = save_picture(Image.new("RGB", (step.width, step.height), colour), path, text)
            size = {"width": step.width, "height": step.height}
            report("picture", path=str(path), infotext=text, seed=request.seed, **size, saved=request.save, facts={})

    def told(self, kind: str) -> list[dict[str, Any]]:
        """All events of a kind."""
        return [values for name, values in self.events if name == kind]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> House:
    """Names are not looked up, as there is no model."""
    found = House(tmp_path)
    monkeypatch.setattr(found.session.catalogue, "find", lambda name: SimpleNamespace(key=f"file {name}"))
    return found


def test_a_plot_brings_its_cells_and_a_grid_that_tells_its_axes(house: House) -> None:
    house.run(**STEPS)
    *cells, grid = house.told("picture")
    assert [request.passes[0].steps for request in house.made] == [1, 2, 1, 2]
    assert len(cells) == 4 and grid["saved"] and Path(grid["path"]).parent.name == "grids"
    with Image.open(grid["path"]) as picture:
        left, top = picture.width - 2 * WIDTH, picture.height - 2 * HEIGHT
        colours = [picture.getpixel((left + x * WIDTH + 5, top + y * HEIGHT + 5)) for y in range(2) for x in range(2)]
    assert colours == [(50, 150, 9), (100, 150, 9), (50, 200, 9), (100, 200, 9)]
    said = read_infotext(read_metadata(Path(grid["path"])).infotext or "")
    fields = {"Script": "X/Y/Z plot", "X Type": "Steps", "X Values": "1,2", "Y Type": "CFG Scale", "Y Values": "3,4"}
    assert {name: said.fields[name] for name in fields} == fields
    assert (said.prompt, said.fields["Steps"]) == ("a cat", "1")
    assert "Script" not in cells[0]["infotext"]
    assert house.told("outcome")[0]["values"]["made"] == 4


def test_progress_counts_over_all_cells_and_notes_come_once(house: House) -> None:
    house.run(**STEPS)
    seen = [(values["batch"], values["batches"]) for values in house.told("progress")]
    assert seen == sorted(seen) and seen[0] == (0, 4) and seen[-1] == (3, 4)
    assert len(house.told("preview")) == 4
    assert [values["text"] for values in house.told("note")] == ["the same for every cell"]
    assert house.told("progress")[2]["eta"] is not None


def test_a_cell_that_fails_is_told_and_the_others_are_made(house: House) -> None:
    def fail(request: GenerationRequest) -> None:
        if (request.passes[0].steps, request.passes[0].guidance.scale) == (2, 3.0):
            raise EmulsionError("It did not fit.")
        if request.passes[0].guidance.scale == 4.0 and request.passes[0].steps == 1:
            raise ValueError("a bug")

    house.before = fail
    house.run(**STEPS)
    notes = [values["text"] for values in house.told("note")]
    assert "Steps: 2 · CFG Scale: 3: It did not fit." in notes
    assert any("ValueError: a bug" in text for text in notes)
    assert len(house.told("picture")) == 3  # two cells and the grid
    assert house.told("outcome")[0]["values"] | {"work": 0, "seconds": 0} == {
        "cells": 4,
        "made": 2,
        "failed": 2,
        "work": 0,
        "seconds": 0,
    }


def test_a_job_all_of_whose_cells_fail_fails(house: House) -> None:
    def fail(request: GenerationRequest) -> None:
        raise EmulsionError("It did not fit.")

    house.before = fail
    with pytest.raises(InvalidRequest, match="It did not fit"):
        house.run(**STEPS)


@pytest.mark.parametrize("seed", [-1, 7])
def test_an_interrupted_plot_goes_on_where_it_was(house: House, seed: int) -> None:
    request = replace(PAINT, seed=seed)

    def stop(request: GenerationRequest) -> None:
        if len(house.made) == 3:
            raise Cancelled("The job was interrupted.")

    house.before = stop
    with pytest.raises(Cancelled):
        house.run(request=request, **STEPS)
    kept = "3 of 4 cells are kept: the same job goes on from there."
    assert house.told("note")[-1]["text"] == kept
    first = {made.seed for made in house.made}
    house.before = lambda request: None
    house.run(request=request, **STEPS)
    assert [(made.passes[0].steps, made.passes[0].guidance.scale) for made in house.made] == [(2, 4.0)]
    assert {made.seed for made in house.made} == first and len(first) == 1
    assert len(house.told("picture")) == 5
    assert "3 of 4 cells were there from last time." in [values["text"] for values in house.told("note")]
    assert all(Path(picture["path"]).is_file() for picture in house.told("picture"))
    house.run(request=request, **STEPS)  # it was complete: the next one begins anew
    assert len(house.made) == 4
    assert ({made.seed for made in house.made} == first) == (seed == 7)


def test_another_plot_or_other_settings_share_nothing_with_an_unfinished_one(house: House) -> None:
    def stop(request: GenerationRequest) -> None:
        if len(house.made) == 2:
            raise Cancelled("The job was interrupted.")

    house.before = stop
    with pytest.raises(Cancelled):
        house.run(**STEPS)
    house.before = lambda request: None
    house.run(**STEPS, request=replace(PAINT, prompt="a dog"))
    assert len(house.made) == 4
    house.session.settings = house.settings.changed({"eta_ddim": 1.0})
    house.run(**STEPS)
    assert len(house.made) == 4
    house.session.settings = house.settings.changed({"language": "zh-CN"})
    house.run(**STEPS)
    assert len(house.made) == 2


def test_only_failed_cells_are_made_again(house: House) -> None:
    def fail(request: GenerationRequest) -> None:
        if request.passes[0].steps == 2:
            raise EmulsionError("It did not fit.")

    house.before = fail
    house.run(**STEPS)
    house.before = lambda request: None
    house.run(**STEPS)
    assert [made.passes[0].steps for made in house.made] == [2, 2]


def test_stopping_after_a_cell_gives_the_grid_of_what_there_is(house: House) -> None:
    house.before = lambda request: house.control.stopping.set()
    house.run(**STEPS)
    assert len(house.made) == 1
    assert len(house.told("picture")) == 2 and "sheet" in house.told("picture")[1]["facts"]


def test_pictures_that_are_not_to_be_saved_stay_out_of_the_outputs(house: House) -> None:
    house.run(**STEPS, request=replace(PAINT, save=False))
    assert [picture["saved"] for picture in house.told("picture")] == [False] * 5
    assert not (house.folder / "outputs").exists()
    assert not list((house.folder / "data" / "scripts").iterdir())


def test_cells_alone_can_be_left_out_of_what_is_shown(house: House) -> None:
    house.run(**STEPS, include_lone_images=False)
    assert [picture["facts"] for picture in house.told("picture")] == [{"sheet": "xyz_grid"}]


def test_a_huge_grid_is_saved_as_jpeg(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(task, "PNG_PIXELS", 100)
    house.run(**STEPS)
    assert house.told("picture")[-1]["path"].endswith(".jpg")
    assert "JPEG" in house.told("note")[-1]["text"]


def test_the_grid_of_a_matrix_has_the_settings_of_its_first_picture(house: House) -> None:
    house.run("Prompt matrix", replace(PAINT, prompt="a cat|red"))
    first, _, grid = house.told("picture")
    assert grid["infotext"] == f"{first['infotext']}, Script: Prompt matrix"
    assert read_infotext(grid["infotext"]).prompt == "a cat"


def test_grids_of_a_plots_pages_stand_beside_the_grid_of_all(house: House) -> None:
    pages = {"z_type": "Clip skip", "z_values": "1,2", "include_sub_grids": True, "include_lone_images": False}
    house.run(**STEPS, **pages)
    told = [picture["facts"] for picture in house.told("picture")]
    sub_grid = {"sheet": "xyz_sub_grid", "aside": "xyz_sub_grid"}
    assert told == [{"sheet": "xyz_grid"}, sub_grid, sub_grid]


def from_red(**changes: Any) -> GenerationRequest:
    """A request that starts from a red picture."""
    stream = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(stream, "PNG")
    first = base64.b64encode(stream.getvalue()).decode()
    step = Pass(source="image", image=first, width=WIDTH, height=HEIGHT, steps=1)
    return replace(PAINT, passes=(step,), **changes)


def test_loopback_hands_every_picture_on(house: House) -> None:
    request = from_red()
    house.run("Loopback", request, loops=3)
    sources = [made.passes[0].image for made in house.made]
    results = [Path(picture["path"]).read_bytes() for picture in house.told("picture")]
    assert sources == [request.passes[0].image, *(base64.b64encode(data).decode() for data in results[:2])]


def own_models(house: House) -> Path:
    """From now on models other than checkpoints are looked for in a folder of the test."""
    paths = dataclasses.replace(house.settings.paths, models=house.folder / "models")
    house.session.settings = dataclasses.replace(house.settings, paths=paths)
    return paths.models


def test_loopback_appends_what_is_in_the_picture_before_to_the_prompt_as_written(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    def describe(picture: Image.Image) -> str:
        return f"colour {picture.getpixel((0, 0))}"

    tags = {"architecture": "vit_tiny"}
    folder = own_models(house) / "captioners" / "tagger"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(tags))
    (folder / "selected_tags.csv").write_text("")
    monkeypatch.setattr("webui.captioning.loading.load_captioner", lambda captioner, device: describe)
    house.session.device = "cpu"
    house.run("Loopback", replace(from_red(), prompt="a fox"), loops=2, append_interrogation="DeepBooru")
    assert [made.prompt for made in house.made] == ["a fox, colour (255, 0, 0)", "a fox, colour (50, 255, 9)"]
    described = [told for told in house.told("progress") if told["stage"] == "caption"]
    assert [(told["batch"], told["batches"]) for told in described] == [(0, 2), (1, 2)]


def test_loopback_without_a_captioner_says_how_to_get_one_before_any_work(house: House) -> None:
    own_models(house)
    with pytest.raises(NotFound, match=r"No captioner is installed.*hf"):
        house.run("Loopback", from_red(), loops=2, append_interrogation="CLIP")
    assert not house.made


def test_the_grid_of_a_loopback_has_a_row_for_each_picture_and_is_saved_on_wish(house: House) -> None:
    house.run("Loopback", from_red(count=2), loops=3)
    *pictures, grid = house.told("picture")
    assert len(pictures) == 6 and grid["facts"] == {"sheet": "loopback", "usual": True}
    assert (grid["width"], grid["height"]) == (3 * WIDTH, 2 * HEIGHT)
    assert not grid["saved"] and not (house.folder / "outputs" / "grids").exists()
    assert not any("left out" in values["text"] for values in house.told("note"))
    house.session.settings = house.settings.changed({"save_grids": True, "picture_format": "webp"})
    house.run("Loopback", from_red(), loops=2)
    grid = house.told("picture")[-1]
    assert grid["saved"] and Path(grid["path"]).parent == house.folder / "outputs" / "grids"
    assert grid["path"].endswith(".webp") and read_metadata(Path(grid["path"])).infotext == grid["infotext"]
    house.run("Loopback", from_red(), loops=1)
    assert not any("sheet" in picture["facts"] for picture in house.told("picture"))


def test_lines_keep_the_number_of_their_pictures(house: House) -> None:
    house.run("Prompts from file or textbox", lines="--prompt a --n_iter 2 --steps 1\n--prompt b --steps 1")
    assert len(house.told("picture")) == 3
    assert {values["batches"] for values in house.told("progress")} == {3}


def test_more_pictures_than_the_setting_allows_are_refused(house: House) -> None:
    house.session.settings = house.settings.changed({"script_limit": 3})
    with pytest.raises(InvalidRequest, match="would make 4 pictures"):
        house.run(**STEPS)


def test_a_wrong_name_is_found_before_the_first_cell(house: House) -> None:
    with pytest.raises(InvalidRequest, match="Nowhere"):
        house.run(x_type="Sampler", x_values="Euler, Nowhere")
    with pytest.raises(NotFound, match="no VAE named 'soft'"):
        house.run(x_type="VAE", x_values="None, soft")
    assert house.made == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"script": "Nothing such"}, "no script named"),
        ({"script": "X/Y/Z plot", "arguments": {"x_values": "many"}}, "'many' is no number"),
        ({"script": "X/Y/Z plot", "colour": 1}, "no field 'colour'"),
        ({"script": "X/Y/Z plot", "arguments": {"x_values": "1"}, "request": {"seed": "x"}}, "seed"),
        ({}, "names no script"),
    ],
)
def test_wrong_values_are_refused_at_the_door(values: dict[str, Any], words: str) -> None:
    assert "script" in TASKS
    with pytest.raises(InvalidRequest, match=words):
        task.check(values)
