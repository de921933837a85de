"""The list of files: kept between starts, shared by processes, made again after damage."""

from __future__ import annotations

import contextlib
import hashlib
import json
import multiprocessing
import os
import sqlite3
import threading
import time

import pytest

from tests.adapters.files import write_lora
from tests.library.filling import fill
from tests.library.made import KOHYA, SDXL_LAYER, cards
from webui.errors import NotFound
from webui.library.background import Background
from webui.library.hashes import hash_file
from webui.library.index import Library, open_library
from webui.paths import Paths


def stems(library, kind="loras"):
    return [file.stem for file in library.files(kind)]


def test_names_are_listed_before_any_header_is_read(paths, models, monkeypatch):
    monkeypatch.setattr("webui.library.recognise.recognise", lambda *_: pytest.fail("a header was read"))
    library = Library(paths)
    assert stems(library) == ["film", "Brush", "wash"]
    assert stems(library, "vae") == ["soft-840000"]
    assert not cards(library)["film"].read


def test_what_was_read_is_kept_and_read_again_only_after_a_change(paths, library, models):
    again = Library(paths, paths.data / "library.sqlite")
    assert again.read_pending() == 0 and cards(again)["film"].title == "Film look"
    write_lora(models / "loras" / "film.safetensors", layers=SDXL_LAYER, rank=32)
    again.refresh()
    assert not cards(again)["film"].read
    assert again.read_pending() == 1 and cards(again)["film"].rank == 32


def test_a_new_version_of_the_recogniser_reads_all_headers_again(library, monkeypatch):
    assert library.read_pending() == 0
    monkeypatch.setattr("webui.library.recognise.READER", 99)
    assert library.read_pending() == 5


def test_changed_notes_are_read_again_without_the_header(library, models, monkeypatch):
    (models / "loras" / "ink" / "wash.txt").write_text("Another wash", "utf-8")
    os.utime(models / "loras" / "ink" / "wash.txt", ns=(1, 1))
    monkeypatch.setattr("webui.library.recognise.recognise", lambda *_: pytest.fail("a header was read"))
    library.refresh()
    assert library.read_pending() == 1
    assert cards(library)["wash"].description == "Another wash"


@pytest.mark.parametrize("content", [b"no database at all" * 999, b"", b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_damaged_file_is_made_again_from_the_folders(paths, library, content):
    library.close()
    file = paths.data / "library.sqlite"
    for leftover in paths.data.glob("library.sqlite-*"):
        leftover.unlink()
    file.write_bytes(content)
    again = Library(paths, file)
    assert again.read_pending() == 5
    assert cards(again)["film"].notes == "mine"
    assert Library(paths, file).read_pending() == 0  # and that one is whole


def test_damage_while_it_is_open_costs_nothing_but_time(paths, library):
    def damaged(*_):
        raise sqlite3.DatabaseError("database disk image is malformed")

    library.database._connection.set_authorizer(damaged)  # what reading a bad page does
    assert stems(library) == ["film", "Brush", "wash"]


def test_a_folder_that_cannot_be_written_is_no_reason_to_fail(paths, models):
    (paths.data).write_text("a file where the folder should be")
    library = open_library(paths)
    library.read_pending()
    assert cards(library)["film"].title == "Film look"


def test_a_renamed_file_keeps_its_hashes_and_is_found_by_them(library, models):
    (file,) = [file for file in library.files("loras") if file.stem == "film"]
    whole, data = library.sha256(file), library.sha256(file, data=True)
    (models / "loras" / "film.safetensors").rename(models / "loras" / "ink" / "Kino.safetensors")
    library.refresh()
    found = library.with_data_hash("loras", data[:12])
    assert found is not None and found.name == "ink/Kino.safetensors" and found.sha256 == whole
    library.read_pending()
    assert cards(library)["Kino"].title == "Film look" and "film" not in cards(library)


def test_another_file_of_equal_size_and_time_is_not_taken_for_the_renamed_one(library, models):
    path = models / "loras" / "film.safetensors"
    (file,) = [file for file in library.files("loras") if file.stem == "film"]
    library.sha256(file)
    copy = models / "loras" / "copy.safetensors"
    copy.write_bytes(path.read_bytes()[:-1] + b"\1")
    os.utime(copy, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    path.unlink()
    library.refresh()
    assert library.file(copy).sha256 is None


def test_a_disk_that_comes_back_brings_what_is_known(paths, library, models):
    library.sha256(library.files("loras")[0])
    models.rename(models.with_name("away"))
    library.refresh()
    assert library.files("loras") == []
    models.with_name("away").rename(models)
    library.refresh()
    assert library.read_pending() == 0 and library.files("loras")[0].sha256 is not None


def test_libraries_of_other_folders_in_one_data_folder_leave_each_other_alone(paths, library, tmp_path):
    write_lora(tmp_path / "elsewhere" / "loras" / "other.safetensors")
    other = Library(Paths(paths.data, tmp_path / "elsewhere", program=paths.program), paths.data / "library.sqlite")
    assert stems(other) == ["other"]
    library.refresh()
    assert stems(library) == ["film", "Brush", "wash"] and stems(other) == ["other"]


def test_hashes_are_those_of_the_bytes_the_data_and_a1111s_oldest(tmp_path, models):
    content = (models / "loras" / "film.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    found = hash_file(models / "loras" / "film.safetensors")
    assert (found.whole, found.data) == tuple(hashlib.sha256(part).hexdigest() for part in (content, content[start:]))
    large = tmp_path / "large.ckpt"
    large.write_bytes(os.urandom(0x100000) + b"A" * 0x20000)
    found = hash_file(large)
    assert found.old == hashlib.sha256(b"A" * 0x10000).hexdigest()[:8]
    assert found.data == found.whole == hashlib.sha256(large.read_bytes()).hexdigest()


def test_a_hash_is_computed_once_until_the_file_changes(library, models, monkeypatch):
    (file,) = [file for file in library.files("loras") if file.stem == "film"]
    before = library.sha256(file)
    monkeypatch.setattr("webui.library.index.hash_file", lambda *_: pytest.fail("it was read again"))
    assert library.sha256(file) == before and library.sha256(file, data=True) != before
    assert library.with_data_hash("loras", KOHYA["sshs_model_hash"][:12]) == library.file(file.path).__class__(
        file.name, file.path, file.size, file.modified, before
    )


def test_a_file_outside_the_folders_is_hashed_and_remembered_but_not_listed(library, tmp_path, monkeypatch):
    path = tmp_path / "beside.vae.pt"
    path.write_bytes(b"vae")
    digest = library.sha256(library.file(path))
    monkeypatch.setattr("webui.library.index.hash_file", lambda *_: pytest.fail("it was read again"))
    assert library.file(path).sha256 == digest == library.sha256(library.file(path))
    assert all(file.path != path for file in library.files("vae"))
    with pytest.raises(NotFound):
        library.file(tmp_path / "nothing")


def test_several_processes_may_fill_one_file_at_once(paths, models):
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=fill, args=(paths,)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
    assert [worker.exitcode for worker in workers] == [0, 0, 0]
    library = Library(paths, paths.data / "library.sqlite")
    assert library.read_pending() == 0 and all(file.sha256 for file in library.files("loras"))


def test_one_process_sees_what_another_one_has_found_out(paths, library, models):
    other = Library(paths, paths.data / "library.sqlite")
    file = other.files("loras")[0]
    assert file.sha256 is None
    library.sha256(file)
    assert other.files("loras")[0].sha256 is not None


def test_links_in_a_circle_and_names_that_are_no_text_are_passed_over(paths, models):
    (models / "loras" / "again").symlink_to(models / "loras")
    with contextlib.suppress(OSError):  # a file system that knows text alone
        (models / "loras" / os.fsdecode(b"\xff.safetensors")).write_bytes(b"x")
    assert stems(Library(paths)) == ["film", "Brush", "wash"]


def test_a_folder_inside_another_kinds_folder_belongs_to_the_nearer_one(paths, models):
    wide = Paths(paths.data, models, paths.outputs, {"checkpoints": (models,)}, paths.program)
    library = Library(wide)
    assert stems(library) == ["film", "Brush", "wash"] and stems(library, "checkpoints") == []


def wait_until(condition, seconds=120.0):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    assert condition()


def test_the_background_reads_then_hashes_and_sees_new_files(paths, models):
    library = Library(paths, paths.data / "library.sqlite")
    library.start()
    try:
        wait_until(lambda: library.status().unhashed == 0)
        assert library.status().unread == 0 and library.status().files == 5
        write_lora(models / "Lora" / "new.safetensors")
        (models / "Lora" / "new.json").write_text(json.dumps({"notes": "fresh"}))
        library.refresh()
        wait_until(lambda: library.status().state == "idle" and library.status().unhashed == 0)
        assert cards(library)["new"].notes == "fresh"
    finally:
        library.close()


def test_the_background_waits_for_a_job_and_can_be_stopped(paths, models):
    library = Library(paths, paths.data / "library.sqlite")
    library.start(busy=lambda: True)
    try:
        wait_until(lambda: library.status().state == "waiting")
        assert library.status().unread == 0 and library.status().current
        library.pause()
        wait_until(lambda: library.status().state == "stopped")
        assert library.status().unhashed > 0 and library.status().bytes_left > 0
    finally:
        library.close()


def test_a_library_that_is_closed_begins_nothing_any_more(library):
    library.close()
    library.start()
    assert library.background._thread is None


def test_work_that_the_end_cuts_off_is_no_fault(paths, models, monkeypatch, caplog):
    library, reading = Library(paths, paths.data / "library.sqlite"), threading.Event()

    def read_pending(go_on):
        reading.set()
        while go_on():
            time.sleep(0.001)
        raise sqlite3.ProgrammingError("Cannot operate on a closed database.")

    monkeypatch.setattr(library, "read_pending", read_pending)
    library.start()
    assert reading.wait(120)
    library.background.close(120)
    assert not library.background._thread.is_alive() and caplog.records == []


def test_a_process_that_never_started_the_background_is_not_woken(library):
    library.go_on()
    assert isinstance(library.background, Background) and library.background._thread is None
