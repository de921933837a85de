"""What cells scripts plan, in which order they are made, and what they cost."""

from __future__ import annotations

import dataclasses
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from webui import scripts
from webui.errors import EmulsionError, FileError, InvalidRequest
from webui.extend import Cell, Made
from webui.imaging.metadata import save_picture
from webui.request import GenerationRequest, Inpaint, Pass, replace
from webui.scripts import arguments_of, from_positions, planned
from webui.scripts.loopback import strength_at
from webui.scripts.work import cost, names, work_order
from webui.scripts.xyz import infotext_fields
from webui.workers.blobs import Blobs

PICTURE = (Pass(source="image", image="aGk=", steps=10, denoising_strength=0.8),)


def cells_of(name: str, request: GenerationRequest, **given: Any) -> list[Cell]:
    """The cells of a script; drawn seeds count up from 100."""
    seeds = itertools.count(100)
    return list(scripts.SCRIPTS[name].plan(request, arguments_of(name, given), lambda: next(seeds)))


def xyz(request: GenerationRequest | None = None, **given: Any) -> list[Cell]:
    """The cells of an X/Y/Z plot."""
    return cells_of("X/Y/Z plot", request or GenerationRequest(seed=5), **given)


# X/Y/Z plot ------------------------------------------------------------------------------------------------------


def test_every_combination_is_a_cell_with_its_place_and_labels() -> None:
    given = {"x_type": "Steps", "x_values": "4,8", "y_type": "Sampler", "y_values": "Euler, DDIM, UniPC"}
    cells = xyz(**given)
    assert [(cell.place, cell.labels[:2]) for cell in cells[:3]] == [
        ((0, 0, 0), ("Steps: 4", "Euler")),
        ((1, 0, 0), ("Steps: 8", "Euler")),
        ((0, 1, 0), ("Steps: 4", "DDIM")),
    ]
    assert [(c.request.passes[0].steps, c.request.passes[0].sampler) for c in cells] == [
        (steps, sampler) for sampler in ("Euler", "DDIM", "UniPC") for steps in (4, 8)
    ]


def test_all_cells_have_one_seed_unless_random_ones_are_wanted() -> None:
    given = {"x_type": "Steps", "x_values": "1-3"}
    assert {(cell.request.seed, cell.request.variation_seed) for cell in xyz(GenerationRequest(), **given)} == {
        (100, 101)
    }
    assert {cell.request.seed for cell in xyz(GenerationRequest(), no_fixed_seeds=True, **given)} == {-1}


def test_random_seeds_of_an_axis_are_drawn_once_and_told_in_the_infotext() -> None:
    from webui.extend import Made
    from webui.scripts.xyz import infotext_fields

    given = {"x_type": "Seed", "x_values": "-1, 7, -1", "y_type": "Steps", "y_values": "2,3"}
    cells = xyz(**given)
    assert [cell.request.seed for cell in cells] == [101, 7, 102] * 2
    assert infotext_fields([Made(cell) for cell in cells], arguments_of("xyz", given)) == {
        "Script": "X/Y/Z plot",
        "X Type": "Seed",
        "X Values": "-1, 7, -1",
        "Fixed X Values": "101, 7, 102",
        "Y Type": "Steps",
        "Y Values": "2,3",
    }


def test_seeds_can_rise_along_axes() -> None:
    given = {"x_type": "Steps", "x_values": "1-3", "y_type": "CFG Scale", "y_values": "4,5"}
    assert [c.request.seed for c in xyz(vary_seeds_x=True, **given)] == [5, 6, 7, 5, 6, 7]
    assert [c.request.seed for c in xyz(vary_seeds_y=True, **given)] == [5, 5, 5, 6, 6, 6]
    assert [c.request.seed for c in xyz(vary_seeds_x=True, vary_seeds_y=True, **given)] == [5, 6, 7, 8, 9, 10]


def test_a_setting_belongs_to_the_cell_and_not_to_its_request() -> None:
    cells = xyz(x_type="Setting", x_values="eta_ddim=0, eta_ddim=1")
    assert [cell.settings for cell in cells] == [{"eta_ddim": "0"}, {"eta_ddim": "1"}]
    assert cells[0].request == cells[1].request


@pytest.mark.parametrize("layout", list(itertools.permutations(("Checkpoint name", "VAE", "Steps"))))
def test_files_are_loaded_as_rarely_as_possible_whatever_the_layout(layout: tuple[str, ...]) -> None:
    values = {"Checkpoint name": "one, two, three", "VAE": "None, soft", "Steps": "1-4"}
    given = {f"{d}_type": name for d, name in zip("xyz", layout, strict=True)}
    cells = xyz(**given, **{f"{d}_values": values[name] for d, name in zip("xyz", layout, strict=True)})
    order = work_order(cells)
    assert sorted(order) == list(range(24))
    made = [cells[index].request for index in order]
    pairs = [(request.checkpoint, request.vae) for request in made]
    assert sum(before != after for before, after in itertools.pairwise(pairs)) == 5  # 6 pairs of files
    assert sum(a.checkpoint != b.checkpoint for a, b in itertools.pairwise(made)) == 2
    assert cost(cells).loads == 6


def test_cells_with_the_same_loras_come_together() -> None:
    request = GenerationRequest(prompt="a <lora:ink:1>", seed=1)
    given = {"x_type": "Prompt S/R", "x_values": "<lora:ink:1>, <lora:chalk:1>", "y_type": "Steps", "y_values": "1-3"}
    cells = xyz(request, **given)
    assert [cells[index].request.prompt[8:-3] for index in work_order(cells)] == ["ink"] * 3 + ["chalk"] * 3


def test_the_cost_counts_steps_of_all_passes() -> None:
    passes = (Pass(steps=10, width=512, height=512), Pass(source="previous", width=1024, height=1024, steps=5))
    found = cost(xyz(GenerationRequest(seed=1, passes=passes), x_type="CFG Scale", x_values="1-4"))
    assert (found.pictures, found.steps, found.loads) == (4, 60, 1)
    assert found.work == pytest.approx(4 * (10 * 0.262144 + 5 * 1.048576))
    assert cost(cells_of("Loopback", GenerationRequest(seed=1, passes=PICTURE), loops=2)).steps == 8 + 1 + 5 + 1


def test_a_plot_without_end_is_refused_at_once() -> None:
    ranges = {"x_type": "Seed", "y_type": "Steps", "z_type": "Clip skip"}
    with pytest.raises(InvalidRequest, match="1000000000 cells"):
        xyz(**ranges, x_values="1-1000", y_values="1-1000", z_values="1-1000")


def test_names_of_all_cells_are_known_before_the_start() -> None:
    cells = xyz(x_type="Sampler", x_values="Euler, Nowhere", y_type="VAE", y_values="soft")
    assert {("sampler", "Nowhere"), ("sampler", "Euler"), ("vae", "soft"), ("checkpoint", "")} <= names(cells)


# Arguments -------------------------------------------------------------------------------------------------------


def test_a1111s_positional_arguments_are_read() -> None:
    positional = [4, "20,30", [], 11, "", ["one", "two, three"], 0, "", [], True, False, False, False, False, False]
    arguments = from_positions("x/y/z plot", [*positional, False, 4, False], "txt2img")
    assert (arguments["x_type"], arguments["x_values"]) == ("Steps", "20,30")
    assert (arguments["y_type"], arguments["y_values_dropdown"]) == ("Checkpoint name", 'one, "two, three"')
    assert (arguments["include_lone_images"], arguments["margin_size"]) == (False, 4)
    assert from_positions("x/y/z plot", [*positional[:9], 0, 1, False], "txt2img")["include_lone_images"] is True
    cells = scripts.SCRIPTS["xyz"].plan(GenerationRequest(), arguments, lambda: 1)
    assert [cell.request.checkpoint for cell in cells] == ["one", "one", "two, three", "two, three"]


def test_arguments_are_checked_by_their_declaration() -> None:
    assert arguments_of("xyz", {"x_type": "steps", "margin_size": "4"})["x_type"] == "Steps"
    for wrong in ({"x_type": "Speed"}, {"margin_size": 9000}, {"colour": 1}, {"draw_legend": "maybe"}):
        with pytest.raises(InvalidRequest):
            arguments_of("xyz", wrong)
    with pytest.raises(InvalidRequest, match="no script named"):
        arguments_of("Nothing such", {})


def test_planning_needs_no_torch() -> None:
    code = (
        "import sys\nfrom webui import scripts\nfrom webui.request import GenerationRequest\n"
        "a = scripts.arguments_of('xyz', {'x_values': '1-3'})\n"
        "assert len(scripts.SCRIPTS['xyz'].plan(GenerationRequest(), a, lambda: 1)) == 3\n"
        "assert not {'torch', 'numpy', 'gradio'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# Prompt matrix ---------------------------------------------------------------------------------------------------


def test_a_matrix_has_every_choice_of_its_parts() -> None:
    cells = cells_of("Prompt matrix", GenerationRequest(prompt="a cat|red|sitting| by night", seed=3))
    assert [cell.request.prompt for cell in cells] == [
        *("a cat", "a cat, red", "a cat, sitting", "a cat, red, sitting"),
        *("a cat, by night", "a cat, red, by night", "a cat, sitting, by night", "a cat, red, sitting, by night"),
    ]
    assert [cell.place[:2] for cell in cells] == [(x, y) for y in range(2) for x in range(4)]
    assert (cells[3].labels, cells[4].labels) == (("red\nsitting", "-"), ("-", "by night"))
    assert {cell.request.seed for cell in cells} == {3}


def test_a_matrix_of_negative_prompts_with_parts_in_front() -> None:
    request = GenerationRequest(prompt="a cat", negative_prompt="blurry|dark", seed=3)
    given = {"prompt_type": "negative", "put_at_start": True, "variations_delimiter": "space", "different_seeds": True}
    cells = cells_of("prompt matrix", request, **given)
    assert [cell.request.negative_prompt for cell in cells] == ["blurry", "dark blurry"]
    assert [cell.request.seed for cell in cells] == [3, 4]
    with pytest.raises(InvalidRequest, match="has no parts"):
        cells_of("prompt matrix", request)


# Prompts from file or text box -----------------------------------------------------------------------------------


def test_lines_are_prompts_or_options() -> None:
    text = 'a red cat\n\n--prompt "a dog" running --negative_prompt blurry --steps 9 --cfg_scale 4.5 --seed 8 '
    text += "--width 640\n"
    text += '--sampler_name "DPM++ 2M Karras" --batch_size 2 --n_iter 3 --tiling true --prompt x --sd_model two'
    cells = [c.request for c in cells_of("Prompts from file or textbox", GenerationRequest(seed=1), lines=text)]
    assert [request.prompt for request in cells] == ["a red cat", "a dog running", "x"]
    first = cells[1].passes[0]
    assert (first.steps, first.guidance.scale, first.width, cells[1].seed) == (9, 4.5, 640, 8)
    assert (cells[1].negative_prompt, cells[0].negative_prompt) == ("blurry", "")
    third = cells[2]
    assert (third.passes[0].sampler, third.batch_size, third.count) == ("DPM++ 2M", 2, 3)
    assert (third.tiling, third.checkpoint) == (True, "two")


@pytest.mark.parametrize("line", ["a cat -- in oil", "a girl's hat --fast", "sd--xl 'style"])
def test_a_line_with_hyphens_in_it_is_a_prompt_as_it_stands(line: str) -> None:
    (cell,) = cells_of("Prompts from file or textbox", GenerationRequest(seed=1), lines=line)
    assert cell.request.prompt == line


def test_lines_stand_before_or_behind_the_prompt_of_the_page() -> None:
    request = GenerationRequest(prompt="in oil", seed=1)
    for position, wanted in (("start", "a cat in oil"), ("end", "in oil a cat")):
        cells = cells_of("Prompts from file or textbox", request, lines="a cat\n--prompt a cat", position=position)
        assert [cell.request.prompt for cell in cells] == [wanted, wanted]


@pytest.mark.parametrize(
    ("given", "seeds"),
    [({}, [100, 101, 102]), ({"same_seed": True}, [100] * 3), ({"iterate_seed": True}, [100, 101, 103])],
)
def test_seeds_of_lines(given: dict[str, bool], seeds: list[int]) -> None:
    text = "a\n--prompt b --n_iter 2\nc"
    cells = cells_of("Prompts from file or textbox", GenerationRequest(), lines=text, **given)
    assert [cell.request.seed for cell in cells] == seeds


@pytest.mark.parametrize(
    "line", ["--speed 9", "--steps", '--prompt "open', "--steps many", "--outpath_samples /tmp", "--restore_faces true"]
)
def test_a_line_that_cannot_be_read_is_named(line: str) -> None:
    with pytest.raises(InvalidRequest, match="Line 2"):
        cells_of("Prompts from file or textbox", GenerationRequest(), lines=f"a cat\n{line}")


def test_a_grids_infotext_reads_back_as_the_plot_that_made_it() -> None:
    given = {"x_type": "Steps", "x_values": "10, 20", "y_type": "Seed", "y_values": "-1, 7"}
    arguments = arguments_of("X/Y/Z plot", given)
    made = [Made(cell) for cell in cells_of("X/Y/Z plot", GenerationRequest(seed=5), **given)]
    fields = {**infotext_fields(made, arguments), "Model": "one"}
    found, read = scripts.from_infotext(fields)
    assert found is not None and found["script"] == "X/Y/Z plot"
    told = arguments_of("X/Y/Z plot", found["arguments"])
    assert (told["x_type"], told["x_values"], told["z_type"]) == ("Steps", "10, 20", "Nothing")
    assert (told["y_type"], told["y_values"]) == ("Seed", "101, 7")
    assert read == fields.keys() - {"Model"}
    assert scripts.from_infotext({"Script": "Something else", "X Type": "Steps"}) == (None, set())


# Loopback, batch from a folder -----------------------------------------------------------------------------------


def test_loops_start_from_the_picture_before_with_a_changing_strength() -> None:
    request = GenerationRequest(seed=1, count=2, passes=PICTURE)
    cells = cells_of("Loopback", request, loops=3, final_denoising_strength=0.4)
    assert [cell.start for cell in cells] == [None, 0, 1, None, 3, 4]
    assert [cell.request.passes[0].denoising_strength for cell in cells[:3]] == [0.8, 0.6, 0.4]
    assert [cell.request.seed for cell in cells] == [1, 2, 3, 4, 5, 6]
    assert work_order(cells) == list(range(6))


def test_only_the_first_loop_fills_what_is_below_a_mask() -> None:
    step = dataclasses.replace(PICTURE[0], inpaint=Inpaint(masked_content="latent noise", padding=8))
    cells = cells_of("Loopback", GenerationRequest(seed=1, batch_size=2, passes=(step,)), loops=3)
    contents = [cell.request.passes[0].inpaint.masked_content for cell in cells]
    assert contents == ["latent noise", "original", "original"] * 2
    assert {cell.request.passes[0].inpaint.padding for cell in cells} == {8}


def test_loops_take_the_colours_of_the_first_picture_where_colours_are_matched() -> None:
    step = dataclasses.replace(PICTURE[0], match_colours=True)
    cells = cells_of("Loopback", GenerationRequest(seed=1, count=2, passes=(step,)), loops=2)
    assert {cell.request.passes[0].colours_of for cell in cells} == {step.image}
    plain = cells_of("Loopback", GenerationRequest(seed=1, passes=PICTURE), loops=2)
    assert {cell.request.passes[0].colours_of for cell in plain} == {None}


def test_curves_of_loopback_begin_and_end_alike() -> None:
    middle = {curve: strength_at(2, 5, 0.2, 0.8, curve) for curve in ("Aggressive", "Linear", "Lazy")}
    assert middle["Lazy"] < 0.4999 < middle["Linear"] < 0.5001 < middle["Aggressive"]
    for curve in middle:
        assert (strength_at(0, 5, 0.2, 0.8, curve), strength_at(4, 5, 0.2, 0.8, curve)) == pytest.approx((0.2, 0.8))
    assert strength_at(0, 1, 0.2, 0.8, "Lazy") == 0.2


def test_loopback_needs_a_picture() -> None:
    with pytest.raises(InvalidRequest, match="img2img"):
        cells_of("Loopback", GenerationRequest())


def test_loopback_asks_for_a_caption_before_every_loop_on_wish() -> None:
    request = GenerationRequest(seed=1, passes=PICTURE)
    cells = cells_of("Loopback", request, loops=2, append_interrogation="deepbooru")
    assert [cell.caption for cell in cells] == ["DeepBooru", "DeepBooru"] and names(cells) >= {
        ("captioner", "DeepBooru")
    }
    assert {cell.caption for cell in cells_of("Loopback", request, append_interrogation="None")} == {""}
    with pytest.raises(InvalidRequest, match="CLIP"):
        cells_of("Loopback", request, append_interrogation="a poem")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pictures, one of which says how it was made, and a file of another kind."""
    infotext = "a dog\nNegative prompt: dark\nSteps: 7, Sampler: DDIM, CFG scale: 3, Seed: 42, Size: 64x64, Model: two"
    save_picture(Image.new("RGB", (72, 100)), tmp_path / "b.png", infotext)
    save_picture(Image.new("RGB", (64, 64)), tmp_path / "a.jpg")
    (tmp_path / "notes.txt").write_text("no picture")
    return tmp_path


def test_every_picture_of_a_folder_is_a_cell(folder: Path) -> None:
    request = GenerationRequest(prompt="in oil", seed=1, passes=PICTURE)
    cells = cells_of("Batch from a folder", request, folder=str(folder), own_size=True)
    assert [cell.start for cell in cells] == [folder / "a.jpg", folder / "b.png"]
    assert [(c.request.passes[0].width, c.request.passes[0].height) for c in cells] == [(64, 64), (72, 96)]
    assert {cell.request.prompt for cell in cells} == {"in oil"}


def test_a_pictures_own_settings_count_as_far_as_they_are_chosen(folder: Path) -> None:
    request = GenerationRequest(prompt="in oil", seed=1, checkpoint="one", passes=PICTURE)
    given = {"folder": str(folder), "use_infotext": True, "steps": False}
    plain, told = (cell.request for cell in cells_of("Batch from a folder", request, **given))
    assert plain == replace(request)
    step = told.passes[0]
    assert (told.prompt, told.negative_prompt, told.seed, told.checkpoint) == ("in oil a dog", "dark", 42, "one")
    assert (step.sampler, step.guidance.scale, step.steps, step.image) == ("DDIM", 3, 10, "aGk=")


def test_masks_belong_to_pictures_by_name(folder: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    save_picture(Image.new("L", (8, 8)), masks / "b.png")
    given = {"folder": str(folder), "masks": str(masks)}
    request = GenerationRequest(seed=1, passes=PICTURE)
    assert [c.mask for c in cells_of("Batch from a folder", request, **given)] == [masks / "b.png"] * 2
    save_picture(Image.new("L", (8, 8)), masks / "c.png")
    with pytest.raises(FileError, match=r"a\.jpg"):
        cells_of("Batch from a folder", request, **given)


@pytest.mark.parametrize("name", ["", "nowhere"])
def test_a_folder_that_is_not_there_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(FileError):
        cells_of("Batch from a folder", GenerationRequest(passes=PICTURE), folder=name and str(tmp_path / name))


# Batch from files ------------------------------------------------------------------------------------------------


def sent(folder: Path, *names: str) -> str:
    """Pictures of a folder as a page sends them: kept, and named in lines."""
    kept = Blobs(folder / "kept")
    return "\n".join(f"{kept.put((folder / name).read_bytes())} {name}" for name in names)


def cells_of_files(folder: Path, request: GenerationRequest, **given: Any) -> list[Cell]:
    """The cells of pictures that were sent."""
    arguments = arguments_of("Batch from files", given)
    return planned("Batch from files", request, arguments, lambda: 100, Blobs(folder / "kept").path)


def test_pictures_that_were_sent_are_cells_in_their_order_with_their_own_settings(folder: Path) -> None:
    request = GenerationRequest(prompt="in oil", seed=1, passes=PICTURE)
    files = sent(folder, "b.png", "a.jpg")
    told, plain = cells_of_files(folder, request, files=files, use_infotext=True, own_size=True)
    assert (told.labels, plain.labels) == (("b.png",), ("a.jpg",))
    assert isinstance(told.start, Path) and told.start.read_bytes() == (folder / "b.png").read_bytes()
    assert (told.request.prompt, told.request.seed, told.request.passes[0].width) == ("in oil a dog", 42, 72)
    assert (plain.request.prompt, plain.request.seed, plain.request.passes[0].width) == ("in oil", 1, 64)


def test_masks_that_were_sent_belong_to_pictures_by_name(folder: Path) -> None:
    save_picture(Image.new("L", (8, 8)), folder / "a.png")
    files, request = sent(folder, "a.jpg", "b.png"), GenerationRequest(seed=1, passes=PICTURE)
    one_for_all = cells_of_files(folder, request, files=files, mask_files=sent(folder, "a.png"))
    assert one_for_all[0].mask == one_for_all[1].mask is not None
    masks = sent(folder, "a.png", "b.png")
    assert len({cell.mask for cell in cells_of_files(folder, request, files=files, mask_files=masks)}) == 2
    save_picture(Image.new("L", (8, 8)), folder / "c.png")
    with pytest.raises(FileError, match=r"no mask for b\.png"):
        cells_of_files(folder, request, files=files, mask_files=sent(folder, "a.png", "c.png"))


@pytest.mark.parametrize("files", ["", "blob:" + "0" * 64 + " gone.png", "/etc/passwd x", "blob:../../secret x"])
def test_pictures_that_were_not_sent_are_refused(folder: Path, files: str) -> None:
    with pytest.raises(EmulsionError):
        cells_of_files(folder, GenerationRequest(seed=1, passes=PICTURE), files=files)
