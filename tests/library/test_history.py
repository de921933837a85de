"""The index of finished pictures."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from webui.errors import NotFound, UnsafeFile
from webui.imaging.files import load_picture
from webui.imaging.metadata import save_picture
from webui.library.history import Filter, History
from webui.library.thumbnails import thumbnail

FIELDS = "Steps: 20, Sampler: {sampler}, CFG scale: 7, Seed: {seed}, Size: 64x64, Model: {model}"


def infotext(prompt: str, sampler: str = "Euler a", seed: int = 1, model: str = "starter") -> str:
    return f"{prompt}\nNegative prompt: blurry\n{FIELDS.format(sampler=sampler, seed=seed, model=model)}"


def save(folder: Path, name: str, text: str, moment: float, size: tuple[int, int] = (64, 64)) -> Path:
    path = save_picture(Image.new("RGB", size, "teal"), folder / name, text)
    os.utime(path, (moment, moment))
    return path


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    folder = tmp_path / "outputs"
    save(folder / "txt2img", "1.png", infotext("a red apple, <lora:soft:0.8>"), 1000)
    save(folder / "txt2img", "2.jpg", infotext("一只微笑的猫", "DDIM", 5), 2000)
    save(folder / "img2img", "3.webp", infotext("a Red house", model="portrait"), 3000, (512, 640))
    save(folder, "4.png", "", 4000)
    return folder


@pytest.fixture
def history(outputs: Path, tmp_path: Path) -> History:
    history = History(tmp_path / "history.sqlite", [outputs])
    assert history.rebuild() == 4
    return history


def names(history: History, **wanted: object) -> list[str]:
    found = history.page(Filter(**wanted)).pictures  # type: ignore[arg-type]
    assert history.count(Filter(**wanted)) == len(found)  # type: ignore[arg-type]
    return [picture["name"] for picture in found]


def test_pictures_come_newest_first_with_what_they_were_made_by(history: History) -> None:
    assert names(history) == ["4.png", "3.webp", "2.jpg", "1.png"]
    first = history.page().pictures[-1]
    assert (first["folder"], first["checkpoint"], first["sampler"], first["seed"]) == (
        "txt2img",
        "starter",
        "Euler a",
        "1",
    )
    assert (first["width"], first["height"], first["loras"]) == (64, 64, ["soft"])


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"text": "red"}, ["3.webp", "1.png"]),
        ({"text": "RED house"}, ["3.webp"]),
        ({"text": "微笑的"}, ["2.jpg"]),
        ({"text": "猫"}, ["2.jpg"]),
        ({"text": 'red" OR "猫'}, []),
        ({"text": '"red apple"'}, ["1.png"]),
        ({"text": '"apple red"'}, []),
        ({"text": "apple red"}, ["1.png"]),
        ({"text": "“Red h"}, ["3.webp"]),
        ({"text": "red -apple"}, ["3.webp"]),
        ({"text": "-apple -微笑的"}, ["4.png", "3.webp"]),
        ({"text": "-猫 -ho"}, ["4.png", "1.png"]),
        ({"text": '-"a Red"'}, ["4.png", "2.jpg"]),
        ({"text": '- "" "'}, ["4.png", "3.webp", "2.jpg", "1.png"]),
        ({"text": "3.webp"}, ["3.webp"]),
        ({"text": "JP"}, ["2.jpg"]),
        ({"text": "-.webp -.jpg"}, ["4.png", "1.png"]),
        ({"checkpoint": "portrait"}, ["3.webp"]),
        ({"lora": "soft"}, ["1.png"]),
        ({"lora": "sof"}, []),
        ({"sampler": "DDIM"}, ["2.jpg"]),
        ({"folder": "txt2img"}, ["2.jpg", "1.png"]),
        ({"smallest": 512}, ["3.webp"]),
        ({"after": 2000, "before": 4000}, ["3.webp", "2.jpg"]),
    ],
)
def test_filters(history: History, wanted: dict[str, object], expected: list[str]) -> None:
    assert names(history, **wanted) == expected


def test_pages_follow_each_other_without_gap_or_double(history: History) -> None:
    found, start = [], None
    while True:
        page = history.page(start=start, limit=1)
        found += [picture["name"] for picture in page.pictures]
        start = page.next
        if start is None:
            break
    assert found == ["4.png", "3.webp", "2.jpg", "1.png"]
    assert history.page(start="nonsense").pictures == ()


def test_marks_survive_an_index_made_anew(history: History, outputs: Path, tmp_path: Path) -> None:
    picture = history.page().pictures[1]
    marked = history.mark(picture["id"], favourite=True, rating=9)
    assert (marked["favourite"], marked["rating"]) == (True, 5)
    assert names(history, favourites=True) == names(history, rating=5) == ["3.webp"]
    history.database.close()
    (tmp_path / "history.sqlite").write_bytes(b"no database at all" * 99)
    again = History(tmp_path / "history.sqlite", [outputs])
    assert again.rebuild() == 4
    assert names(again, favourites=True) == ["3.webp"]
    again.mark(picture["id"], favourite=False, rating=0)
    assert names(again, favourites=True) == []


def test_the_index_follows_the_folders(history: History, outputs: Path) -> None:
    (outputs / "4.png").unlink()
    save(outputs / "new", "5.png", infotext("a boat"), 5000)
    save(outputs, "other.png", infotext("a kite"), 6000).replace(outputs / "txt2img" / "1.png")
    history.rebuild()
    assert names(history) == ["1.png", "5.png", "3.webp", "2.jpg"]
    assert names(history, text="kite") == ["1.png"] and names(history, text="apple") == []


def test_one_new_picture_is_there_at_once(history: History, outputs: Path) -> None:
    picture_id = history.add(save(outputs, "now.png", infotext("a comet"), 9000))
    assert picture_id is not None and history.path(picture_id).name == "now.png"
    assert history.page().pictures[0]["id"] == picture_id
    assert history.add(outputs / "never.png") is None


def test_a_damaged_picture_is_listed_with_its_problem(history: History, outputs: Path) -> None:
    (outputs / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\nrubbish")
    history.rebuild()
    torn = next(picture for picture in history.page().pictures if picture["name"] == "torn.png")
    assert "begins as PNG, and is cut off or damaged" in torn["problem"] and torn["width"] == 0


def test_a_picture_that_went_away_is_said_and_forgotten(history: History, outputs: Path) -> None:
    picture = history.page().pictures[0]
    Path(picture["path"]).unlink()
    with pytest.raises(NotFound, match=r"4\.png is not there"):
        history.path(picture["id"])
    with pytest.raises(NotFound, match="no such picture"):
        history.path(picture["id"])


def test_choices_are_what_occurs(history: History) -> None:
    assert history.choices() == {
        "checkpoint": ["portrait", "starter"],
        "sampler": ["DDIM", "Euler a"],
        "folder": ["img2img", "txt2img"],
        "lora": ["soft"],
    }


def test_choices_follow_new_pictures(history: History, outputs: Path) -> None:
    assert "DPM++ 2M" not in history.choices()["sampler"]
    history.add(save(outputs, "5.png", infotext("a pear", "DPM++ 2M"), 5000))
    assert "DPM++ 2M" in history.choices()["sampler"]


def test_pages_begin_at_any_place(history: History) -> None:
    whole = [picture["name"] for picture in history.page().pictures]
    for offset in range(5):
        assert [picture["name"] for picture in history.page(limit=2, offset=offset).pictures] == whole[offset:][:2]


def test_a_picture_larger_than_what_is_taken_in_is_known_and_has_a_thumbnail(tmp_path: Path) -> None:
    image = Image.new("1", (8200, 8200), 1)  # 67 megapixels: Extras makes up to 268
    path = save_picture(image, tmp_path / "outputs" / "large.png", infotext("a red apple"))
    with pytest.raises(UnsafeFile):
        load_picture(path)
    history = History(tmp_path / "history.sqlite", [tmp_path / "outputs"])
    assert history.rebuild() == 1
    (picture,) = history.page().pictures
    assert (picture["width"], picture["height"], picture["problem"]) == (8200, 8200, "")
    assert Image.open(io.BytesIO(thumbnail(history, picture["id"]))).size == (384, 384)
