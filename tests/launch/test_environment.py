"""What is wanted, what is there, and the plain sentences about the difference."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from webui import environment, installer
from webui.environment import Stop, installed, is_ready, packages_folder, python_of, read_lock, stamp, unmet

SAID_BY_PIP = {
    "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device": installer.FULL,
    "ERROR: Could not install packages due to an OSError: [Errno 30] Read-only file system: '/x'": installer.READ_ONLY,
    "ERROR: Could not install packages due to an OSError: [WinError 5] Access is denied: 'C\\\\x'": installer.READ_ONLY,
    "WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError(\"<pip._vendor.urllib3."
    "connection.HTTPSConnection object>: Failed to establish a new connection: [Errno -3] Temporary failure in name "
    "resolution\")'\nERROR: No matching distribution found for gradio==6.31.0": installer.OFFLINE,
    "ReadTimeoutError: HTTPSConnectionPool(host='x', port=443): Read timed out.": installer.OFFLINE,
    "Could not fetch URL: There was a problem confirming the ssl certificate: HTTPSConnectionPool(host='x', port=443): "
    "Max retries exceeded with url: / (Caused by SSLError(SSLCertVerificationError(1, '[SSL: CERTIFICATE_VERIFY_FAILED"
    "] certificate verify failed')))": installer.UNTRUSTED,
    "MemoryError": installer.NO_MEMORY,
}


def fake_environment(venv: Path, lock: Path, left_out: str = "") -> Path:
    """A virtual environment as the launcher sees one: a Python, dist-info folders, RECORDs and the stamp."""
    folder = venv / "lib" / "python3.11" / "site-packages"
    for name, version in read_lock(lock).items():
        if name != left_out:
            info = folder / f"{name.replace('-', '_')}-{version}{'+cpu' if name == 'torch' else ''}.dist-info"
            info.mkdir(parents=True)
            (folder / f"{name}.py").write_text("x = 1\n")
            (info / "RECORD").write_text(f"{name}.py,sha256=XCx5e-_D-Q,6\n{info.name}/RECORD,,\n")
    python_of(venv).parent.mkdir(parents=True, exist_ok=True)
    if not python_of(venv).exists():
        python_of(venv).symlink_to(sys.executable)
    facts = {"locks": [environment.fingerprint([lock])], "torch-index": None}
    (venv / "emulsion.json").write_text(json.dumps(facts))
    return folder


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    """A small lock with a marker that holds and one that does not."""
    file = tmp_path / "requirements.txt"
    file.write_text(
        "# words\ntorch==2.13.0\nGradio_Client==2.7.2  # direct\n\n"
        'old==1.0 ; python_version < "3.0"\nnew==1.0 ; python_version >= "3.11"\n'
        'other==1 ; platform_system == "Plan9"\n'
    )
    return file


def test_a_lock_is_read_with_its_markers(lock: Path) -> None:
    assert read_lock(lock) == {"torch": "2.13.0", "gradio-client": "2.7.2", "new": "1.0"}


@pytest.mark.parametrize("line", ["numpy", "numpy>=2", 'numpy==2 ; os_name == "nt"', "-r other.txt"])
def test_a_line_without_an_exact_version_is_refused(tmp_path: Path, line: str) -> None:
    (tmp_path / "lock").write_text(line)
    with pytest.raises(Stop):
        read_lock(tmp_path / "lock")


def test_a_build_tag_counts_as_the_version(lock: Path) -> None:
    found = {"torch": "2.13.0+cu130", "gradio-client": "2.7.2", "new": "1.0"}
    assert unmet([lock], found) == []
    assert unmet([lock], {**found, "torch": "2.14.0+cpu"}) == ["torch==2.13.0"]


def test_a_complete_environment_is_ready(tmp_path: Path, lock: Path) -> None:
    fake_environment(tmp_path / "v", lock)
    assert is_ready(tmp_path / "v", [lock])
    assert not is_ready(tmp_path / "v", [lock], torch_index="https://elsewhere")


@pytest.mark.parametrize("harm", ["stamp", "python", "package", "version", "lock"])
def test_an_environment_that_lacks_anything_is_not_ready(tmp_path: Path, lock: Path, harm: str) -> None:
    venv = tmp_path / "v"
    folder = fake_environment(venv, lock)
    if harm == "stamp":
        (venv / "emulsion.json").write_text("{")
    elif harm == "python":
        python_of(venv).unlink()
    elif harm == "package":
        (folder / "new-1.0.dist-info" / "RECORD").unlink()
        (folder / "new-1.0.dist-info").rmdir()
    elif harm == "version":
        (folder / "new-1.0.dist-info").rename(folder / "new-1.1.dist-info")
    else:
        lock.write_text(lock.read_text() + "more==1.0\n")
    assert not is_ready(venv, [lock])


@pytest.mark.parametrize("harm", ["no RECORD", "shorter", "gone", "empty RECORD"])
def test_a_package_that_was_cut_off_is_found(tmp_path: Path, lock: Path, harm: str) -> None:
    folder = fake_environment(tmp_path / "v", lock)
    record = folder / "new-1.0.dist-info" / "RECORD"
    if harm == "no RECORD":
        record.unlink()
    elif harm == "shorter":
        (folder / "new.py").write_text("x")
    elif harm == "gone":
        (folder / "new.py").unlink()
    else:
        record.write_text("")
    assert installer.remove_damaged(folder, thorough=False) == ["new-1.0"]
    assert "new" not in installed(folder) and "torch" in installed(folder)


def test_repair_compares_hashes_too(tmp_path: Path, lock: Path) -> None:
    import base64
    import hashlib

    folder = fake_environment(tmp_path / "v", lock)
    digest = base64.urlsafe_b64encode(hashlib.sha256(b"x = 1\n").digest()).rstrip(b"=").decode()
    for record in folder.glob("*/RECORD"):
        record.write_text(record.read_text().replace("XCx5e-_D-Q", digest))
    (folder / "new.py").write_text("x = 2\n")  # of the same size
    assert installer.remove_damaged(folder, thorough=False) == []
    assert installer.remove_damaged(folder, thorough=True) == ["new-1.0"]


def test_the_packages_that_are_installed_here_are_whole() -> None:
    import packaging

    info = next(Path(packaging.__file__).parent.parent.glob("packaging-*.dist-info"))
    assert installer.is_whole(info, thorough=True)


def flow(monkeypatch: pytest.MonkeyPatch, lock: Path, die_at: str = "") -> list[list[str]]:
    """Replace pip, venv and the proof by what they leave on disk; the list collects what pip was asked for."""
    asked: list[list[str]] = []

    def pip(venv: Path, alone: object, arguments: list[str]) -> None:
        asked.append(arguments)
        for argument in arguments:
            name, _, version = argument.partition("==")
            if version:
                info = venv / "lib" / "python3.11" / "site-packages" / f"{name}-{version}.dist-info"
                info.mkdir(parents=True)
                if name == die_at:
                    raise KeyboardInterrupt  # pip writes RECORD last
                (info / "RECORD").write_text(f"{info.name}/RECORD,,\n")

    def make(venv: Path) -> None:
        (venv / "lib" / "python3.11" / "site-packages").mkdir(parents=True, exist_ok=True)
        python_of(venv).parent.mkdir(parents=True, exist_ok=True)
        python_of(venv).touch()

    proof = {"torch": "2.13.0", "device": "cpu", "name": "CPU", "problem": ""}
    monkeypatch.setattr(installer, "run_pip", pip)
    monkeypatch.setattr(installer, "make_environment", make)
    monkeypatch.setattr(installer, "prove", lambda venv: dict(proof))
    monkeypatch.setattr(installer, "LOCK", lock)
    monkeypatch.setenv("EMULSION_VENV", str(lock.parent / "v"))
    monkeypatch.delenv("EMULSION_SKIP_VENV", raising=False)
    return asked


def test_torch_alone_is_installed_with_dependencies(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    asked = flow(monkeypatch, lock)
    installer.ready_python([lock], {"torch-index": "https://builds"})
    rest, torch = asked
    assert rest[:2] == ["install", "--no-deps"] and not any(word.startswith("torch") for word in rest)
    assert torch[:4] == ["install", "torch==2.13.0", "--index-url", "https://builds"]
    assert torch.count("-c") == 2 and str(environment.CONSTRAINTS) in torch
    assert stamp(lock.parent / "v")["torch-index"] == "https://builds"


def test_an_install_that_was_cut_off_goes_on_where_it_was(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    flow(monkeypatch, lock, die_at="torch")
    with pytest.raises(KeyboardInterrupt):
        installer.ready_python([lock], {})
    assert stamp(lock.parent / "v") == {}
    asked = flow(monkeypatch, lock)
    installer.ready_python([lock], {})
    assert [word for words in asked for word in words if "==" in word] == ["torch==2.13.0"]
    asked.clear()
    installer.ready_python([lock], {})
    assert asked == []


def test_a_repair_that_was_cut_off_is_not_taken_for_complete(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    flow(monkeypatch, lock)
    installer.ready_python([lock], {})
    next((lock.parent / "v").glob("lib/*/site-packages/new-1.0.dist-info/RECORD")).write_text("gone.py,sha256=x,1\n")
    flow(monkeypatch, lock, die_at="new")
    with pytest.raises(KeyboardInterrupt):
        installer.ready_python([lock], {"repair": "yes"})
    assert not is_ready(lock.parent / "v", [lock])
    asked = flow(monkeypatch, lock)
    installer.ready_python([lock], {})
    assert [word for words in asked for word in words if "==" in word] == ["new==1.0"]


def test_another_build_of_torch_takes_the_place_of_the_first(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    asked = flow(monkeypatch, lock)
    installer.ready_python([lock], {})
    asked.clear()

    original = installer.run_pip

    def pip(venv: Path, alone: object, arguments: list[str]) -> None:
        if arguments[0] == "uninstall":
            import shutil

            shutil.rmtree(next((venv / "lib" / "python3.11" / "site-packages").glob("torch-*")))
            asked.append(arguments)
        else:
            original(venv, alone, arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(installer, "run_pip", pip)
    installer.ready_python([lock], {"torch-index": "https://builds"})
    assert asked[0] == ["uninstall", "--yes", "torch"] and "--index-url" in asked[1]


def test_offline_without_an_install_says_what_is_missing(monkeypatch: pytest.MonkeyPatch, lock: Path) -> None:
    asked = flow(monkeypatch, lock)
    with pytest.raises(Stop, match=r"torch==2\.13\.0.* Start once without --offline"):
        installer.ready_python([lock], {"offline": "yes"})
    assert asked == []


def test_a_python_of_ones_own_is_used_or_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EMULSION_SKIP_VENV", "1")
    lock = tmp_path / "lock"
    lock.write_text(f"pytest=={pytest.__version__}\n")
    assert installer.ready_python([lock], {}) == sys.executable
    lock.write_text("no-such-package==1.0\n")
    with pytest.raises(Stop, match=r"does not have no-such-package==1\.0"):
        installer.ready_python([lock], {})


def test_too_small_a_disk_is_told_before_anything_is_fetched(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    usage = types.SimpleNamespace(free=2**30)
    monkeypatch.setattr(installer.shutil, "disk_usage", lambda place: usage)
    with pytest.raises(Stop, match=r"has 1\.0 GB free, but the install needs \d\.\d GB"):
        installer.check_space(tmp_path / "v")


def test_files_that_are_no_environment_are_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "v").mkdir()
    (tmp_path / "v" / "thesis.txt").write_text("years of work")
    with pytest.raises(Stop, match="is in the way"):
        installer.make_environment(tmp_path / "v")
    assert (tmp_path / "v" / "thesis.txt").exists()


def test_a_python_without_venv_is_told_with_the_remedy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(installer, "find_spec", lambda name: None)
    with pytest.raises(Stop, match=r"no venv module.*apt install python3\.\d+-venv"):
        installer.make_environment(tmp_path / "v")


@pytest.mark.parametrize(("said", "sentence"), SAID_BY_PIP.items())
def test_what_pip_says_becomes_one_plain_sentence(said: str, sentence: str) -> None:
    assert installer.reason(said, "otherwise") == sentence


def test_a_missing_build_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX", raising=False)
    said = "ERROR: No matching distribution found for torch==2.13.0"
    assert "has no torch==2.13.0 for Python 3." in installer.reason(said, "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    assert "PIP_NO_INDEX" in installer.reason(said, "")


def test_an_unknown_trouble_keeps_the_last_error_of_pip() -> None:
    said = "Collecting x\nERROR: the moon is in the wrong phase\nbye"
    assert installer.reason(said, "It failed") == "It failed: ERROR: the moon is in the wrong phase"


@pytest.mark.parametrize(
    ("number", "sentence"),
    [
        (errno.ENOSPC, installer.FULL),
        (errno.EROFS, installer.READ_ONLY),
        (errno.EACCES, installer.READ_ONLY),
    ],
)
def test_errors_of_the_file_system_become_plain_sentences(number: int, sentence: str) -> None:
    assert installer.explain(OSError(number, os.strerror(number), "/some/where")) == f"{sentence} (/some/where)"


def test_two_launches_do_not_install_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from webui.installer import install_alone\n"
        "with install_alone(Path(sys.argv[1])): print('mine', flush=True); time.sleep(float(sys.argv[2]))"
    )
    command = [sys.executable, "-u", "-c", code, str(tmp_path / "v")]
    with subprocess.Popen([*command, "600"], stdout=subprocess.PIPE, text=True, cwd=environment.ROOT) as first:
        assert first.stdout and first.stdout.readline() == "mine\n"
        with subprocess.Popen([*command, "0"], stdout=subprocess.PIPE, text=True, cwd=environment.ROOT) as second:
            assert second.stdout and "Another launch is installing" in second.stdout.readline()
            first.kill()  # a lock that outlives its owner would block every later start
            assert second.stdout.readline() == "mine\n"


def test_foreign_packages_cannot_leak_into_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER"):
        monkeypatch.setenv(name, "/elsewhere")
    clean = environment.clean_environment()
    assert not {"PYTHONPATH", "PYTHONHOME", "PIP_TARGET", "PIP_USER"} & set(clean)
    assert clean["PYTHONNOUSERSITE"] == "1"


def test_the_site_packages_of_windows_and_of_others_are_found(tmp_path: Path) -> None:
    for name in ("lib/python3.12/site-packages", "Lib/site-packages"):
        venv = tmp_path / name.split("/")[0]
        (venv / name).mkdir(parents=True)
        assert packages_folder(venv) == venv / name
    assert packages_folder(tmp_path / "none") is None
