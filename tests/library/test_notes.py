"""Notes, previews and the trash: files beside a model, which other programs read as well."""

from __future__ import annotations

import io
import json

import pytest
from PIL import Image

from tests.adapters.files import write_lora
from tests.library.made import cards, picture, row_of
from webui.errors import DamagedFile, FileError, InvalidRequest, NotFound
from webui.imaging.metadata import encode_picture, read_metadata
from webui.library.files import PREVIEW_ENDINGS
from webui.library.index import Library
from webui.library.notes import read_notes
from webui.library.previews import CARD_SIDE, set_preview, thumbnail
from webui.library.trash import list_trash, restore, to_trash


def id_of(library, name, kind="loras"):
    return cards(library, kind)[name].id


def test_notes_of_three_programs_are_read(library):
    shown = cards(library)
    assert (shown["film"].notes, shown["film"].weight) == ("mine", 0.7)
    assert shown["Brush"].title == "墨 Ink v2" and shown["Brush"].words == ("sumi-e", "brush")
    assert shown["wash"].description == "A wash of ink"


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '{"notes": 5, "preferred weight": "x", "tags": {"a": 1}}'])
def test_notes_that_make_no_sense_say_nothing(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    (tmp_path / "a.civitai.info").write_text(content)
    found = read_notes(tmp_path / "a", ["a.json", "a.civitai.info"])
    assert (found.notes, found.weight, found.tags, found.title) == ("", None, (), "")


def test_an_edit_goes_into_the_file_that_a1111_reads_and_keeps_what_else_it_says(library, models):
    changes = {
        "notes": "mine too",
        "weight": 0.9,
        "activation": "kino",
        "tags": ["Film", "Film", " "],
        "favourite": True,
    }
    library.edit(id_of(library, "film"), changes)
    said = json.loads((models / "loras" / "film.json").read_text("utf-8"))
    assert said["unknown to us"] == {"kept": [1, 2]} and said["description"] == "Old film"
    assert (said["activation text"], said["preferred weight"], said["notes"]) == ("kino", 0.9, "mine too")
    card = cards(library, favourites=True)["film"]
    assert card.tags == ("Film",) and card.insert == "<lora:film:0.9> kino"
    assert list(cards(library, text="film too")) == ["film"]  # found by its new words at once


def test_a_weight_that_is_taken_back_is_a1111s_zero(library, models):
    library.edit(id_of(library, "film"), {"weight": None})
    assert json.loads((models / "loras" / "film.json").read_text("utf-8"))["preferred weight"] == 0
    assert cards(library)["film"].insert.startswith("<lora:film:1>")


@pytest.mark.parametrize(
    "changes",
    [
        {"path": "/etc/passwd"},
        {"notes": 5},
        {"notes": "x" * 100_000},
        {"weight": "1"},
        {"weight": float("nan")},
        {"weight": True},
        {"favourite": 1},
        {"tags": "a"},
        {"tags": ["a"] * 1000},
    ],
)
def test_wrong_edits_change_nothing(library, models, changes):
    before = (models / "loras" / "film.json").read_bytes()
    with pytest.raises(InvalidRequest):
        library.edit(id_of(library, "film"), {"notes": "other", **changes})
    assert (models / "loras" / "film.json").read_bytes() == before


def test_notes_that_cannot_be_read_are_not_written_over(library, models):
    (models / "loras" / "film.json").write_text("[my own list, broken")
    with pytest.raises(FileError, match="Move it away"):
        library.edit(id_of(library, "film"), {"notes": "x"})
    assert (models / "loras" / "film.json").read_text() == "[my own list, broken"


def test_an_unknown_id_is_not_found(library):
    for one in ("nothing", "../film", ""):
        with pytest.raises(NotFound):
            library.edit(one, {"notes": "x"})


@pytest.mark.parametrize("ending", PREVIEW_ENDINGS)
def test_a_preview_of_any_usual_name_becomes_a_small_picture(library, models, ending):
    image = Image.new("RGB", (900, 300), "#3060a0")
    image.save(models / "loras" / f"film{ending}")
    library.refresh()
    library.read_pending()
    card = cards(library)["film"]
    assert card.preview
    small = Image.open(io.BytesIO(thumbnail(library, card.id)))
    assert small.format == "WEBP" and small.size == (CARD_SIDE, CARD_SIDE // 3)


def test_small_previews_are_made_once_and_again_when_the_picture_changes(library, models, paths, monkeypatch):
    file_id = id_of(library, "film")
    set_preview(library, file_id, picture(colour="#ff0000"))
    first = thumbnail(library, file_id)
    with monkeypatch.context() as patch:
        patch.setattr("webui.library.previews.load_picture", lambda *_: pytest.fail("it was made again"))
        assert thumbnail(library, file_id) == first
    before = cards(library)["film"].preview
    set_preview(library, file_id, picture(colour="#0000ff"))
    assert cards(library)["film"].preview != before and thumbnail(library, file_id) != first
    assert len(list((paths.data / "library-previews").glob("*.webp"))) == 1


def test_a_new_preview_lies_where_others_look_keeps_its_infotext_and_is_not_huge(library, models):
    large = encode_picture(Image.new("RGB", (3000, 1500), "#204020"), "an apple\nSteps: 4")
    set_preview(library, id_of(library, "Brush"), large)
    found = read_metadata(models / "loras" / "ink" / "Brush.preview.png")
    assert (found.infotext, found.width, found.height) == ("an apple\nSteps: 4", 1024, 512)


@pytest.mark.parametrize("data", [b"", b"<svg onload=alert(1)>", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"GIF89a"])
def test_what_is_no_picture_does_not_become_a_preview(library, models, data):
    with pytest.raises(DamagedFile):
        set_preview(library, id_of(library, "film"), data)
    assert not list((models / "loras").glob("film.preview*"))


def test_a_file_without_a_picture_says_so_and_a_damaged_one_too(library, models):
    with pytest.raises(NotFound, match="no preview"):
        thumbnail(library, id_of(library, "film"))
    (models / "loras" / "film.png").write_bytes(b"no picture")
    library.refresh()
    library.read_pending()
    with pytest.raises(DamagedFile):
        thumbnail(library, id_of(library, "film"))


def test_the_picture_inside_the_metadata_is_shown_where_no_other_is(paths, models):
    import base64

    inside = {"modelspec.thumbnail": "data:image/png;base64," + base64.b64encode(picture()).decode()}
    write_lora(models / "loras" / "shown.safetensors", inside)
    write_lora(models / "loras" / "spoilt.safetensors", {"modelspec.thumbnail": "data:image/png;base64,!!"})
    library = Library(paths)
    library.read_pending()
    assert Image.open(io.BytesIO(thumbnail(library, id_of(library, "shown")))).size == (CARD_SIDE, CARD_SIDE // 2)
    with pytest.raises(DamagedFile):
        thumbnail(library, id_of(library, "spoilt"))


def test_deleting_moves_the_file_and_what_belongs_to_it_and_can_be_undone(library, models, paths):
    set_preview(library, id_of(library, "film"), picture())
    before = {path.name: path.read_bytes() for path in (models / "loras").glob("film*")}
    assert set(before) == {"film.safetensors", "film.json", "film.preview.png"}
    trashed = to_trash(library, id_of(library, "film"))
    assert "film" not in cards(library) and not list((models / "loras").glob("film*"))
    assert [one.id for one in list_trash(library)] == [trashed.id]
    restore(library, trashed.id)
    library.read_pending()
    assert {path.name: path.read_bytes() for path in (models / "loras").glob("film*")} == before
    assert cards(library)["film"].notes == "mine" and list_trash(library) == []
    assert not list((paths.data / "trash").iterdir())


def test_notes_that_another_file_shares_stay(library, models):
    (models / "loras" / "film.pt").write_bytes(b"another of that name")
    library.refresh()
    trashed = to_trash(library, row_of(library, "loras", "film.safetensors")["id"])
    assert trashed.names == ("film.safetensors",) and (models / "loras" / "film.json").exists()


def test_nothing_is_restored_over_another_file(library, models):
    trashed = to_trash(library, id_of(library, "film"))
    (models / "loras" / "film.safetensors").write_bytes(b"a new one")
    with pytest.raises(FileError, match="old place already"):
        restore(library, trashed.id)
    assert (models / "loras" / "film.safetensors").read_bytes() == b"a new one" and len(list_trash(library)) == 1
    with pytest.raises(NotFound):
        restore(library, "../film")


def test_a_move_that_fails_half_way_leaves_all_in_place(library, models, monkeypatch):
    import shutil

    move, moved = shutil.move, []

    def fails(source, target):
        moved.append(source)
        if len(moved) == 2:
            target.write_bytes(b"half of it")  # as when the other disk is full
            raise PermissionError(13, "in use")
        return move(source, target)

    monkeypatch.setattr("webui.library.trash.shutil.move", fails)
    with pytest.raises(FileError, match="in use"):
        to_trash(library, id_of(library, "film"))
    assert {path.name for path in (models / "loras").glob("film*")} == {"film.safetensors", "film.json"}
    assert list_trash(library) == [] and "film" in cards(library)


def test_the_starter_is_not_deleted(paths):
    write_lora(paths.starter / "starter.safetensors")
    library = Library(paths)
    library.read_pending()
    with pytest.raises(InvalidRequest, match="belongs to the program"):
        to_trash(library, id_of(library, "starter"))
    assert (paths.starter / "starter.safetensors").exists()


def test_a_diffusers_folder_goes_as_a_whole(paths):
    whole = paths.models / "checkpoints" / "whole"
    (whole / "unet").mkdir(parents=True)
    (whole / "model_index.json").write_text("{}")
    (whole / "unet" / "model.safetensors").write_bytes(b"u" * 40)
    library = Library(paths)
    trashed = to_trash(library, id_of(library, "whole", "checkpoints"))
    assert not whole.exists()
    restore(library, trashed.id)
    assert (whole / "unet" / "model.safetensors").read_bytes() == b"u" * 40
