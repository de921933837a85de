"""Model files are fetched whole or not at all, wherever the line breaks and whatever the server sends."""

from __future__ import annotations

import hashlib
import threading
from types import SimpleNamespace

import pytest
import torch

from tests.library.downloading.conftest import left
from tests.library.file_server import send
from webui.errors import Cancelled, DamagedFile, DownloadFailed, FileError, InvalidRequest, NotFound, UnsafeFile
from webui.library import partial


def test_a_file_lands_in_the_folder_of_its_kind(fetch, server, lora):
    seen = []
    server.serve("/film.safetensors", lora)
    fetch.progress = lambda done, whole: seen.append((done, whole))
    found = fetch("/film.safetensors")
    assert found.path == fetch.models / "loras" / "film.safetensors" and found.path.read_bytes() == lora
    assert (found.kind, found.size, found.sha256) == ("loras", len(lora), hashlib.sha256(lora).hexdigest())
    assert left(fetch) == ["film.safetensors"] and found.notes == () and seen[-1] == (len(lora), len(lora))


def test_without_a_kind_the_contents_decide(fetch, server, lora):
    server.serve("/file", lora)
    found = fetch("/file", kind="")
    assert found.path == fetch.models / "loras" / "file.safetensors" and left(fetch) == ["file.safetensors"]


def test_another_kind_than_asked_for_is_told(fetch, server, lora):
    server.serve("/film.safetensors", lora)
    found = fetch("/film.safetensors", kind="vae")
    assert found.path.parent.name == "vae" and "loras" in found.notes[0]


def test_a_broken_line_is_taken_up_where_it_broke(fetch, server, lora):
    breaks = [1000, 500, 0, 2000]
    server.serve("/film.safetensors", lora, breaks=breaks)
    assert fetch("/film.safetensors").path.read_bytes() == lora
    ranges = [headers.get("range") for _, headers in server.asked]
    assert ranges == [None, "bytes=1000-", "bytes=1500-", "bytes=1500-", "bytes=3500-"]
    assert all(headers.get("if-range") == '"one"' for _, headers in server.asked[1:])


def test_what_arrived_is_kept_for_another_day(fetch, server, lora):
    server.serve("/film.safetensors", lora, breaks=[3000] + [0] * 20)
    with pytest.raises(DownloadFailed, match="broke after 3000"):
        fetch("/film.safetensors")
    assert any(name.endswith(".part") for name in left(fetch))
    server.asked.clear()
    server.serve("/film.safetensors", lora)
    assert fetch("/film.safetensors", sha256=hashlib.sha256(lora).hexdigest()).path.read_bytes() == lora
    assert server.asked[0][1]["range"] == "bytes=3000-" and left(fetch) == ["film.safetensors"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_beginning(fetch, server, lora):
    old = bytes(len(lora))
    breaks = [3000] + [0] * 20
    server.serve("/film.safetensors", old, etag='"old"', breaks=breaks)
    with pytest.raises(DownloadFailed):
        fetch("/film.safetensors")
    server.serve("/film.safetensors", lora, etag='"new"')
    assert fetch("/film.safetensors").path.read_bytes() == lora


def test_a_server_that_answers_another_range_is_not_believed(fetch, server, lora):
    server.serve("/film.safetensors", lora, breaks=[3000] + [0] * 20)
    with pytest.raises(DownloadFailed):
        fetch("/film.safetensors")
    answers = iter(
        [
            lambda h: send(h, lora[2000:], 206, Content_Range=f"bytes 2000-{len(lora) - 1}/{len(lora)}", ETag='"one"'),
            lambda h: send(h, lora, ETag='"one"'),
        ]
    )
    server.answers["/film.safetensors"] = lambda handler: next(answers)(handler)
    assert fetch("/film.safetensors").path.read_bytes() == lora


def test_without_a_name_for_the_bytes_nothing_is_resumed(fetch, server, lora):
    server.serve("/film.safetensors", lora, etag="", breaks=[3000] + [0] * 20)
    with pytest.raises(DownloadFailed):
        fetch("/film.safetensors")
    server.asked.clear()
    server.serve("/film.safetensors", lora, etag="")
    assert fetch("/film.safetensors").path.read_bytes() == lora
    assert "range" not in server.asked[0][1]


def test_a_part_that_was_whole_already_needs_no_byte_more(fetch, server, lora, monkeypatch):
    server.serve("/get", lora, Content_Disposition='attachment; filename="film.safetensors"')
    with monkeypatch.context() as patch:
        patch.setattr("webui.library.download.put", lambda *rest: (_ for _ in ()).throw(OSError(5, "I/O error")))
        with pytest.raises(FileError, match="I/O error"):
            fetch("/get")
    assert fetch("/get").path.name == "film.safetensors"
    assert server.asked[-1][1]["range"] == f"bytes={len(lora)}-"


def test_a_wrong_checksum_is_refused_and_nothing_stays(fetch, server, lora):
    server.serve("/film.safetensors", lora)
    with pytest.raises(DamagedFile, match="SHA-256"):
        fetch("/film.safetensors", sha256="0" * 64)
    assert left(fetch) == []


def test_the_checksum_that_the_hub_says_is_checked(fetch, server, lora):
    server.serve("/cdn", lora)
    server.redirect("/film.safetensors", "/cdn", X_Linked_Etag=f'"{hashlib.sha256(lora).hexdigest()}"')
    assert fetch("/film.safetensors").size == len(lora)
    server.redirect("/other.safetensors", "/cdn", X_Linked_Etag=f'"{"1" * 64}"')
    with pytest.raises(DamagedFile, match="SHA-256"):
        fetch("/other.safetensors")
    assert left(fetch) == ["film.safetensors"]


def test_a_full_disk_is_told_before_the_first_byte(fetch, server, lora, monkeypatch):
    server.serve("/film.safetensors", lora)
    monkeypatch.setattr(partial.shutil, "disk_usage", lambda folder: SimpleNamespace(free=partial.RESERVE + 100))
    with pytest.raises(FileError, match="free"):
        fetch("/film.safetensors")
    assert left(fetch) == []


def test_a_disk_that_fills_up_on_the_way_keeps_what_arrived(fetch, server, lora, monkeypatch):
    free = iter([10**12, 10**12, 10**12, partial.RESERVE - 1])
    server.serve("/film.safetensors", lora)
    with monkeypatch.context() as patch:
        patch.setattr(partial, "LOOK_EVERY", 1)
        patch.setattr("webui.library.download.BLOCK", 1000)
        patch.setattr(partial.shutil, "disk_usage", lambda folder: SimpleNamespace(free=next(free)))
        with pytest.raises(FileError, match="what has arrived is kept"):
            fetch("/film.safetensors")
    part = next(name for name in left(fetch) if name.endswith(".part"))
    assert (fetch.models / "loras" / part).stat().st_size == 2000
    assert fetch("/film.safetensors").path.read_bytes() == lora


def test_a_web_page_instead_of_weights_is_told_in_words(fetch, server):
    page = b"<!DOCTYPE html><html>Please log in</html>"
    server.answers["/a.safetensors"] = lambda handler: send(handler, page, Content_Type="text/html; charset=utf-8")
    server.answers["/b.safetensors"] = lambda handler: send(handler, page, Content_Type="application/octet-stream")
    for path in ("/a.safetensors", "/b.safetensors"):
        with pytest.raises(DamagedFile, match="web page"):
            fetch(path)
    assert left(fetch) == []


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b'{"error": "no such version"}', "unknown kind"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "PNG picture"),
        (b"PK\x03\x04" + bytes(200), "film.safetensors"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        (b"", "0 bytes"),
    ],
)
def test_what_is_no_model_never_gets_a_name(fetch, server, data, found):
    server.serve("/film.safetensors", data)
    with pytest.raises((DamagedFile, UnsafeFile), match=found) as error:
        fetch("/film.safetensors")
    assert ".part" not in str(error.value) and left(fetch) == []


def test_a_truncated_file_is_refused_even_where_the_server_says_that_it_is_whole(fetch, server, lora):
    server.serve("/film.safetensors", lora[:-100])
    with pytest.raises(DamagedFile, match=r"film\.safetensors is damaged"):
        fetch("/film.safetensors")
    assert left(fetch) == []


@pytest.mark.parametrize("name", ["setup.exe", "model.zip", "script.py", "readme.md", "picture.png"])
def test_files_that_are_no_models_by_name_are_refused(fetch, server, lora, name):
    server.serve(f"/{name}", lora)
    with pytest.raises(InvalidRequest, match="no model file"):
        fetch(f"/{name}")
    assert left(fetch) == []


def test_a_malicious_pickle_is_refused(fetch, server, tmp_path):
    class Gadget:
        def __reduce__(self):
            return print, ("executed",)

    torch.save({"state_dict": {"w": Gadget()}}, tmp_path / "evil.ckpt")
    server.serve("/evil.ckpt", (tmp_path / "evil.ckpt").read_bytes())
    with pytest.raises(UnsafeFile, match=r"evil\.ckpt"):
        fetch("/evil.ckpt")
    assert left(fetch) == []


def test_a_ckpt_keeps_its_name(fetch, server, tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(3)}}, tmp_path / "x.ckpt")
    server.serve("/x.ckpt", (tmp_path / "x.ckpt").read_bytes())
    assert fetch("/x.ckpt", kind="checkpoint").path.name == "x.ckpt"


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ('attachment; filename="film.safetensors"', "film.safetensors"),
        ('attachment; filename="../../evil.safetensors"', "evil.safetensors"),
        ('attachment; filename="C:\\\\Windows\\\\evil.safetensors"', "evil.safetensors"),
        ("attachment; filename*=UTF-8''%E8%83%B6%E7%89%87.safetensors", "胶片.safetensors"),
        ('attachment; filename=".hidden"', "hidden.safetensors"),
        ('attachment; filename="con.safetensors"', "_con.safetensors"),
    ],
)
def test_the_servers_name_is_taken_without_its_folders(fetch, server, lora, said, name):
    server.serve("/api/download/models/1234", lora, Content_Disposition=said)
    assert fetch("/api/download/models/1234").path == fetch.models / "loras" / name


def test_another_file_of_the_same_name_is_never_written_over(fetch, server, lora):
    (fetch.models / "loras").mkdir(parents=True)
    (fetch.models / "loras" / "film.safetensors").write_bytes(b"precious")
    server.serve("/film.safetensors", lora)
    found = fetch("/film.safetensors")
    assert found.path.name == "film-1.safetensors" and "film-1" in found.notes[0]
    assert (fetch.models / "loras" / "film.safetensors").read_bytes() == b"precious"
    again = fetch("/film.safetensors")  # its own copy is another file's name still
    assert again.path.name == "film-2.safetensors"


def test_the_same_file_is_not_kept_twice(fetch, server, lora):
    server.serve("/film.safetensors", lora)
    assert fetch("/film.safetensors").path == fetch("/film.safetensors").path
    assert left(fetch) == ["film.safetensors"]


def test_a_file_that_is_too_large_is_refused_whether_or_not_the_server_says_so(fetch, server, lora):
    server.serve("/film.safetensors", lora)

    def chunked(handler):
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(lora), 1000):
            block = lora[start : start + 1000]
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(block), block))
        handler.wfile.write(b"0\r\n\r\n")

    server.answers["/unsaid.safetensors"] = chunked
    for path in ("/film.safetensors", "/unsaid.safetensors"):
        with pytest.raises(InvalidRequest, match="At most"):
            fetch(path, largest=2000)
    assert left(fetch) == []
    assert fetch("/unsaid.safetensors").path.read_bytes() == lora


def test_redirects_come_to_an_end(fetch, server):
    server.redirect("/round", "/round")
    with pytest.raises(DownloadFailed, match="on and on"):
        fetch("/round")
    assert len(server.asked) < 20


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/x", "gopher://127.0.0.1/x", "//[bad/x"])
def test_redirects_lead_to_http_only(fetch, server, target):
    server.redirect("/x", target)
    with pytest.raises((InvalidRequest, DownloadFailed)):
        fetch("/x")


def test_a_busy_server_is_asked_again(fetch, server, lora):
    answers = iter([503, 429])

    def answer(handler):
        status = next(answers, None)
        send(handler, b"", status) if status else send(handler, lora)

    server.answers["/film.safetensors"] = answer
    assert fetch("/film.safetensors").size == len(lora)


@pytest.mark.parametrize(
    ("status", "error", "words"),
    [(401, DownloadFailed, "token"), (403, DownloadFailed, "terms"), (404, NotFound, "no")],
)
def test_refusals_are_told_in_words(fetch, server, status, error, words):
    server.answers["/x.safetensors"] = lambda handler: send(handler, b"no", status)
    with pytest.raises(error, match=words):
        fetch("/x.safetensors")


def test_a_stopped_download_may_go_on_later_or_leave_nothing(fetch, server, lora):
    cancel = threading.Event()
    server.serve("/film.safetensors", lora)
    fetch.progress = lambda done, whole: cancel.set()
    for keep in (True, False):
        with pytest.raises(Cancelled), pytest.MonkeyPatch.context() as patch:
            patch.setattr("webui.library.download.BLOCK", 1000)
            fetch("/film.safetensors", cancel=cancel, keep=keep)
        cancel.clear()
        assert bool(left(fetch)) is keep


def test_two_at_once_do_not_write_into_one_file(fetch, server, lora):
    server.serve("/film.safetensors", lora)
    problems = []

    def other(done, whole):
        if not problems:
            problems.append(None)
            with pytest.raises(InvalidRequest, match="already"):
                fetch("/film.safetensors")

    fetch.progress = other
    assert fetch("/film.safetensors").path.read_bytes() == lora and problems
