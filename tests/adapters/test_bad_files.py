"""Damaged and malicious files of every kind that attaches: typed errors that name the file, nothing run, no bombs."""

import random
import tracemalloc

import pytest
import torch

from tests.adapters import bad_files
from tests.keys import header_of
from tests.weights.test_malicious_pickles import CANARY, GADGETS, Watch, as_legacy, as_zip, program, wrapped
from webui import families
from webui.errors import FileError, UnsafeFile

KINDS = (
    *("LoRA:safetensors", "LoRA:pt", "LyCORIS:safetensors"),
    *("embedding:safetensors", "embedding:pt", "embedding:bin"),
    *("embedding in text:png", "embedding in pixels:png", "embedding in pixels:webp"),
    *("hypernetwork:pt", "hypernetwork:bin", "aesthetic embedding:pt", "VAE:safetensors", "VAE:ckpt"),
)
PARTS = 64  # places to cut at
MUTATIONS = 120
SLOW = {"VAE": 5}  # a network is made with each: so many times fewer of them
MEMORY = 128 << 20  # bytes beyond what is there, as far as Python and numpy allocate them


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    return bad_files.good_files(tmp_path_factory.mktemp("good"))


@pytest.fixture(scope="module")
def facts():
    """Facts of the one that VAEs are for."""
    return families.facts(header_of("sd15"))


@pytest.fixture
def put(tmp_path):
    def put(kind, data):
        path = tmp_path / f"suspect.{kind.rpartition(':')[2]}"
        path.write_bytes(data)
        return path

    return put


def slower(kind):
    return SLOW.get(kind.partition(":")[0], 1)


def test_every_kind_is_here(good):
    assert tuple(good) == KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_the_whole_file_is_read(kind, good, facts, put):
    assert all(tensor.isfinite().all() for tensor in bad_files.use(kind, put(kind, good[kind]), facts).values())


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_breaks_off_anywhere_is_refused_by_name(kind, good, facts, put):
    data = good[kind]
    whole = bad_files.use(kind, put(kind, data), facts)
    for part in range(0, PARTS, slower(kind)):
        path = put(kind, data[: len(data) * part // PARTS])
        try:
            found = bad_files.use(kind, path, facts)
        except FileError as error:
            assert "suspect" in str(error)
            continue
        assert kind == "embedding in text:png"  # whose picture is of no use once the text before it is whole
        assert all(torch.equal(found[name], tensor) for name, tensor in whole.items())


def mutations(kind, data, count):
    """Copies with a few bytes changed, most of them in the headers at both ends. Always the same ones."""
    chance = random.Random(kind)
    for _ in range(count):
        mutated = bytearray(data)
        for _ in range(chance.choice((1, 1, 2, 8, 40))):
            low, high = chance.choice(((0, min(600, len(data))), (max(0, len(data) - 900), len(data)), (0, len(data))))
            mutated[chance.randrange(low, high)] = chance.randrange(256)
        yield bytes(mutated)


@pytest.mark.parametrize("kind", KINDS)
def test_changed_bytes_give_typed_errors_or_numbers_and_no_flood_of_memory(kind, good, facts, put):
    refused, count = 0, MUTATIONS // slower(kind)
    tracemalloc.start()
    try:
        for data in mutations(kind, good[kind], count):
            path = put(kind, data)
            try:
                bad_files.use(kind, path, facts)
            except FileError as error:
                refused += 1
                assert "suspect" in str(error)
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
    assert refused > count / 20  # the corpus does reach the checks


@pytest.fixture
def watch(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = Watch.get()
    yield found
    found.on = False


PICKLES = [kind for kind in KINDS if kind.rpartition(":")[2] in ("pt", "bin", "ckpt")]
DISGUISED = ("LoRA:safetensors", "embedding in text:png", "VAE:safetensors")


@pytest.mark.parametrize("kind", [*PICKLES, *DISGUISED])
def test_no_gadget_runs_whatever_it_pretends_to_be(kind, good, facts, put, watch, tmp_path):
    bad_files.use(kind, put(kind, good[kind]), facts)  # so that every import has been made
    path = tmp_path / f"suspect.{kind.rpartition(':')[2]}"
    for number, gadget in enumerate(GADGETS.values()):
        data = wrapped(program(*gadget, number % 2 == 0), 4 if number % 2 == 0 else 2)
        for write in (as_zip, as_legacy):
            write(path, data)
            watch.events, watch.on = [], True
            try:
                with pytest.raises(FileError, match="suspect"):
                    bad_files.use(kind, path, facts)
            finally:
                watch.on = False
            assert watch.events == [] and not (tmp_path / CANARY).exists()


@pytest.mark.parametrize("kind", PICKLES)
def test_a_name_that_is_not_allowed_is_told_for_every_kind(kind, facts, tmp_path):
    path = tmp_path / f"suspect.{kind.rpartition(':')[2]}"
    as_zip(path, wrapped(program("os", "system", ("x",), False), 2))
    with pytest.raises(UnsafeFile, match=r"suspect.*os\.system"):
        bad_files.use(kind, path, facts)


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_of_another_kind_is_refused_by_name(kind, good, facts, put):
    own = kind.partition(":")[0].partition(" in ")[0]
    for other, data in good.items():
        same = other.partition(":")[0].partition(" in ")[0]
        if same == own or {own, same} == {"LoRA", "LyCORIS"}:
            continue
        if (own, same) == ("aesthetic embedding", "embedding") and not other.startswith("embedding in"):
            continue  # one tensor of features or of vectors: the width tells, once the checkpoint is known
        with pytest.raises(FileError, match="suspect"):
            bad_files.use(kind, put(kind, data), facts)
