"""Files appear whole, and never over another one."""

import errno
import io
import os
import threading
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from webui.errors import DamagedFile, FileError, UnsafeFile
from webui.imaging import files
from webui.imaging.files import check_whole, load_picture, open_picture, place_file


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_gets_its_name_and_leaves_nothing_else(tmp_path):
    path = place_file(b"data", tmp_path / "new" / "a.png")
    assert path.read_bytes() == b"data"
    assert names(path.parent) == ["a.png"]


def test_a_taken_name_is_stepped_aside_from(tmp_path):
    paths = [place_file(bytes([number]), tmp_path / "a.png") for number in range(3)]
    assert [path.name for path in paths] == ["a.png", "a-1.png", "a-2.png"]
    assert [path.read_bytes() for path in paths] == [b"\0", b"\1", b"\2"]


def without_links(monkeypatch):
    def refuse(self, target):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(Path, "hardlink_to", refuse)


def test_file_systems_without_hard_links_are_served_too(tmp_path, monkeypatch):
    without_links(monkeypatch)
    assert [place_file(b"x", tmp_path / "a.png").name for _ in range(2)] == ["a.png", "a-1.png"]
    assert names(tmp_path) == ["a-1.png", "a.png"]
    assert (tmp_path / "a.png").read_bytes() == b"x"


@pytest.mark.parametrize("links", [True, False])
def test_many_writers_of_one_name_lose_no_file(tmp_path, monkeypatch, links):
    if not links:
        without_links(monkeypatch)
    threads = [threading.Thread(target=place_file, args=(b"%d" % n, tmp_path / "a.png")) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {b"%d" % n for n in range(12)}


def test_a_failed_write_leaves_no_trace_and_says_why(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FileError, match="Free some space"):
        place_file(b"data", tmp_path / "a.png")
    assert names(tmp_path) == []


def test_the_name_appears_only_when_the_bytes_are_on_the_disk(tmp_path, monkeypatch):
    seen = []
    real = os.fsync

    def watched(handle):
        seen.append((tmp_path / "a.png").exists())
        real(handle)

    monkeypatch.setattr(os, "fsync", watched)
    place_file(b"data", tmp_path / "a.png")
    assert seen == [False, True]  # the file itself, then the folder with its name


def test_a_folder_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileError, match="file"):
        place_file(b"data", tmp_path / "file" / "a.png")


def picture(size=(8, 4), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, "red").save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_a_picture_is_loaded_and_turned_as_it_says():
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    assert load_picture(picture(exif=exif.tobytes())).size == (4, 8)


def test_a_truncated_picture_is_refused():
    noise = Image.effect_noise((64, 64), 90)
    buffer = io.BytesIO()
    noise.save(buffer, "PNG")
    with pytest.raises(DamagedFile, match="damaged"):
        load_picture(buffer.getvalue()[:2000])


KINDS = ("PNG", "JPEG", "WEBP", "AVIF", "GIF", "BMP", "TIFF")


def drawn(kind: str) -> bytes:
    """A file whose pixels take far more room than all else in it."""
    buffer = io.BytesIO()
    Image.effect_noise((128, 96), 90).convert("RGB").save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("share", [0.2, 0.5, 0.99])
def test_a_picture_of_any_kind_that_is_cut_off_in_its_pixels_is_noticed(kind, share):
    data = drawn(kind)
    check_whole(data)
    with pytest.raises(DamagedFile, match=r"(ends too soon|cut off).* A complete picture was wanted"):
        check_whole(data[: int(len(data) * share)])


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_no_pixel_of_a_complete_picture_is_decoded_to_know_that_it_is_complete(kind, monkeypatch):
    data = drawn(kind)
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda image: pytest.fail("decoded"))
    check_whole(data)


def test_what_pillow_reads_in_spite_of_its_end_is_let_in():
    trailing = drawn("JPEG") + b"a film of a telephone"
    lost_end = drawn("PNG")[:-12]  # the chunk IEND, which says nothing
    for data in (trailing, lost_end):
        check_whole(data)
        assert load_picture(data).size == (128, 96)


def test_the_pixel_limit_holds_before_anything_is_decoded():
    with pytest.raises(UnsafeFile, match="megapixels"):
        open_picture(picture((100, 100)), max_pixels=9_999)
    assert open_picture(picture((100, 100)), max_pixels=10_000).size == (100, 100)


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MAX_BYTES", 10)
    (tmp_path / "a.png").write_bytes(picture())
    with pytest.raises(UnsafeFile, match=r"a\.png is too large"):
        open_picture(tmp_path / "a.png")
