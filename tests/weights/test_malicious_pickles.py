"""Pickles that want more than tensors: refused, and nothing of them runs."""

from __future__ import annotations

import io
import pickle
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import torch

from webui.errors import FileError, UnsafeFile
from webui.weights.header import read_header

CANARY = "emulsion-canary"
GADGETS = {
    "os.system": ("os", "system", (f"touch {CANARY}",)),
    "posix.system": ("posix", "system", (f"touch {CANARY}",)),
    "nt.system": ("nt", "system", (f"touch {CANARY}",)),
    "subprocess.Popen": ("subprocess", "Popen", (["touch", CANARY],)),
    "subprocess.check_output": ("subprocess", "check_output", (["touch", CANARY],)),
    "builtins.exec": ("builtins", "exec", (f"open('{CANARY}','w')",)),
    "builtins.eval": ("builtins", "eval", (f"open('{CANARY}','w')",)),
    "builtins.open": ("builtins", "open", (CANARY, "w")),
    "builtins.getattr": ("builtins", "getattr", ("", "join")),
    "builtins.__import__": ("builtins", "__import__", ("os",)),
    "__builtin__.eval": ("__builtin__", "eval", ("1",)),
    "builtins.map": ("builtins", "map", (print, [1])),
    "runpy._run_code": ("runpy", "_run_code", ("open", {})),
    "webbrowser.open": ("webbrowser", "open", ("file:///",)),
    "urllib": ("urllib.request", "urlopen", ("http://127.0.0.1:9/",)),
    "socket.socket": ("socket", "socket", ()),
    "shutil.rmtree": ("shutil", "rmtree", (CANARY,)),
    "ctypes.CDLL": ("ctypes", "CDLL", (None,)),
    "code.InteractiveInterpreter": ("code", "InteractiveInterpreter", ()),
    "pickle.loads": ("pickle", "loads", (b"cos\nsystem\n.",)),
    "torch.load": ("torch", "load", (CANARY,)),
    "torch.hub": ("torch.hub", "load", (CANARY, "x")),
    "torch.jit": ("torch.jit", "load", (CANARY,)),
    "torch._utils.other": ("torch._utils", "_import_dotted_name", ("os.system",)),
    "torch.storage._load_from_bytes": ("torch.storage", "_load_from_bytes", (b"x",)),
    "numpy.f2py": ("numpy.f2py.crackfortran", "getlincoef", ("x", {})),
    "numpy.testing": ("numpy.testing._private.utils", "runstring", ("1", {})),
    "operator.attrgetter": ("operator", "attrgetter", ("system",)),
    "functools.partial": ("functools", "partial", (print, 1)),
    "copyreg": ("copyreg", "_reconstructor", (dict, object, None)),
    "collections.namedtuple": ("collections", "namedtuple", ("X", "a")),
    "logging.config": ("logging.config", "listen", (9999,)),
    "dotted OrderedDict": ("collections", "OrderedDict.__init__.__globals__", ()),
    "lightning look-alike": ("pytorch_lightningX", "anything", ()),
}
WATCHED = (
    "os.system",
    "os.exec",
    "os.posix_spawn",
    "subprocess.Popen",
    "socket.",
    "exec",
    "import",
    "pickle.find_class",
    "ctypes.",
    "shutil.",
    "webbrowser.",
    "urllib.",
)


def program(module: str, name: str, arguments: tuple[object, ...], stacked: bool) -> bytes:
    """Opcodes that look a global up and call it, without the pickler checking that it exists."""
    out = io.BytesIO()
    if stacked:
        for text in (module, name):
            out.write(b"\x8c" + bytes([len(text)]) + text.encode())
        out.write(b"\x93")
    else:
        out.write(b"c" + f"{module}\n{name}\n".encode())
    try:
        body = pickle.dumps(arguments, protocol=2)[2:-1]
    except Exception:
        body = b")"
    return out.getvalue() + body + b"R"


def wrapped(gadget: bytes, protocol: int) -> bytes:
    """The gadget as one value of a state dict."""
    head = b"\x80" + bytes([protocol])
    return head + b"}(X\x01\x00\x00\x00wK\x01X\x01\x00\x00\x00g" + gadget + b"u."


def as_zip(path: Path, data: bytes) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", data)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(16))


def as_legacy(path: Path, data: bytes) -> None:
    parts = [pickle.dumps(v, 2) for v in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    path.write_bytes(b"".join(parts) + data + pickle.dumps([], 2))


def as_raw(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def as_tar(path: Path, data: bytes) -> None:
    with tarfile.open(path, "w") as archive:
        info = tarfile.TarInfo("pickle")
        info.size = len(data)
        archive.addfile(info, io.BytesIO(data))


CONTAINERS = {"zip": as_zip, "legacy": as_legacy, "raw": as_raw, "tar": as_tar}
ENDINGS = {"zip": ".SAFETENSORS", "legacy": ".ckpt", "raw": ".pt", "tar": ".bin"}


class Watch:
    """Collects audit events while it is on; an audit hook can never be removed, so there is one."""

    installed: Watch | None = None

    def __init__(self) -> None:
        self.on = False
        self.events: list[str] = []

    @classmethod
    def get(cls) -> Watch:
        if cls.installed is None:
            watch = cls.installed = cls()
            sys.addaudithook(watch.note)
        return cls.installed

    def note(self, event: str, arguments: tuple[object, ...]) -> None:
        if not self.on:
            return
        writing = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if event.startswith(WATCHED) or writing:
            self.events.append(f"{event} {arguments!r:.80}")


@pytest.fixture
def watch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Watch.get()
    found.events = []
    found.on = True
    yield found
    found.on = False


def test_the_watch_sees_what_a_gadget_does(watch, tmp_path):
    pickle.loads(b"\x80\x02" + program("os", "system", (f"touch {CANARY}",), False) + b".")
    watch.on = False
    assert (tmp_path / CANARY).exists()
    assert any(event.startswith("os.system") for event in watch.events)


@pytest.mark.parametrize("container", CONTAINERS)
@pytest.mark.parametrize("gadget", GADGETS)
def test_no_gadget_runs_in_any_container_and_every_one_is_refused(gadget, container, watch, tmp_path):
    path = tmp_path / f"model{ENDINGS[container]}"
    for stacked, protocol in ((False, 2), (True, 4)):
        CONTAINERS[container](path, wrapped(program(*GADGETS[gadget], stacked), protocol))
        watch.events.clear()
        with pytest.raises(FileError) as caught:
            read_header(path)
        assert path.name in str(caught.value)
        assert watch.events == [], watch.events
    assert not (tmp_path / CANARY).exists()


def test_names_that_were_refused_are_named_in_the_error(tmp_path):
    as_zip(tmp_path / "m.ckpt", wrapped(program("os", "system", ("x",), False), 2))
    with pytest.raises(UnsafeFile, match=r"os\.system"):
        read_header(tmp_path / "m.ckpt")


def test_calling_a_value_that_is_no_builder_is_refused(tmp_path):
    data = b"\x80\x02}X\x01\x00\x00\x00wctorch\nFloatStorage\n)Rs."
    as_zip(tmp_path / "m.ckpt", data)
    with pytest.raises(UnsafeFile, match="allowed builders"):
        read_header(tmp_path / "m.ckpt")


@pytest.mark.parametrize("opcode", [b"\x82\x01", b"iposix\nsystem\n", b"o", b"Iabc\n", b"P0\n", b"\x98", b"2"])
def test_opcodes_that_no_checkpoint_needs_are_refused(opcode, tmp_path):
    as_zip(tmp_path / "m.ckpt", b"\x80\x02}(" + opcode + b".")
    with pytest.raises(UnsafeFile, match="opcode"):
        read_header(tmp_path / "m.ckpt")


@pytest.mark.parametrize("name", ["archive/code/x.py", "archive/../evil", "archive/data/x", "other/version", "a.pkl"])
def test_a_foreign_member_in_the_archive_is_refused(name, tmp_path):
    path = tmp_path / "m.ckpt"
    torch.save({"w": torch.ones(2)}, path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(name, "x")
    with pytest.raises(UnsafeFile, match="contains"):
        read_header(path)


def test_a_member_that_occurs_twice_is_refused(tmp_path):
    path = tmp_path / "m.ckpt"
    torch.save({"w": torch.ones(2)}, path)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("m/data.pkl", b"x")
    with pytest.raises(UnsafeFile, match="twice"):
        read_header(path)


def tensor_program(storage_count: int, offset: int, shape: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    """A pickle with one tensor of given geometry over a storage of 16 bytes."""

    storage = (
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu\x8a\x08"
        + struct.pack("<q", storage_count)
        + b"tQ"
    )

    def integer(value: int) -> bytes:
        return b"\x8a\x08" + struct.pack("<q", value)

    def row(values: tuple[int, ...]) -> bytes:
        return b"(" + b"".join(map(integer, values)) + b"t"

    call = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + integer(offset) + row(shape) + row(strides) + b"\x89}tR"
    return b"\x80\x02}X\x01\x00\x00\x00w" + call + b"s."


@pytest.mark.parametrize(
    "geometry",
    [
        (4, 0, (5,), (1,)),
        (4, 1, (4,), (1,)),
        (4, 0, (2,), (1 << 40,)),
        (4, 0, (1 << 40,), (0,)),
        (4, -1, (2,), (1,)),
        (4, 0, (2, 2), (1,)),
        (4, 0, (-2,), (1,)),
        (1 << 50, 0, (1 << 50,), (1,)),
    ],
)
def test_tensors_that_reach_beyond_their_storage_are_refused(geometry, tmp_path):
    as_zip(tmp_path / "m.ckpt", tensor_program(*geometry))
    with pytest.raises(FileError, match="damaged"):
        read_header(tmp_path / "m.ckpt")


def test_the_geometry_program_is_read_when_it_is_honest(tmp_path):
    as_zip(tmp_path / "m.ckpt", tensor_program(4, 0, (2, 2), (2, 1)))
    assert read_header(tmp_path / "m.ckpt").tensors["w"].shape == (2, 2)


def test_a_dictionary_key_that_would_take_ages_to_hash_is_refused_at_once(tmp_path):
    doubled = b"".join(b"h%ch%c\x86q%c" % (i, i, i + 1) for i in range(60))  # a pair of the pair before, 60 times
    as_zip(tmp_path / "m.ckpt", b"\x80\x02)q\x00" + doubled + b"}h%cK\x01s." % 60)
    with pytest.raises(FileError, match="dictionary key is a tuple"):
        read_header(tmp_path / "m.ckpt")


def test_allowed_globals_are_exactly_the_listed_kinds():
    from webui.weights.pickle_names import NAMES, find_name

    modules = {module for module, _ in NAMES}
    assert modules <= {
        "collections", "typing", "torch", "torch._utils", "torch.storage", "torch.nn.parameter",
        "torch.nn.modules.container", "numpy", "numpy.core.multiarray", "numpy._core.multiarray", "_codecs",
        "builtins", "__builtin__",
    }  # fmt: skip
    assert {name for module, name in NAMES if "builtin" in module} == {"set"}
    assert find_name("os", "system") is None and find_name("pytorch_lightning.x", "y") is not None
