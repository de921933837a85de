"""What happens when memory runs out or numbers overflow: one leaner try, a clear error, and no trace afterwards."""

import gc
import weakref

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from webui.engine import session as session_module
from webui.engine.memory import GIBIBYTE, available_memory, estimate, graphics_memory, is_out_of_memory, resident_memory
from webui.errors import EmulsionError, OutOfMemory

CPU_MESSAGE = "[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory: you tried ..."


class Allocations(TorchDispatchMode):
    """Counts tensor operations and fails as the CPU's allocator does, at the k-th or from then on."""

    def __init__(self, at=None, for_ever=False):
        super().__init__()
        self.at, self.for_ever, self.count = at, for_ever, 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += 1
        if self.at is not None and (self.count == self.at or (self.for_ever and self.count > self.at)):
            raise RuntimeError(CPU_MESSAGE)
        return function(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def operations():
    return {}


def count_operations(make, wanted):
    with Allocations() as allocations:
        make(wanted(steps=2))
    return allocations.count


@pytest.mark.parametrize("share", [i / 20 for i in range(20)])
def test_a_failed_allocation_anywhere_is_survived_with_the_same_bytes_or_told_clearly(make, wanted, share, operations):
    if not operations:
        make(wanted(steps=2))
        operations["reference"] = make(wanted(steps=2))[0].path.read_bytes()
        operations["count"] = count_operations(make, wanted)
    with Allocations(at=1 + int(share * operations["count"])):
        try:
            result = make(wanted(steps=2))[0].path.read_bytes()
        except OutOfMemory:
            result = operations["reference"]
    assert result == operations["reference"]
    assert make(wanted(steps=2))[0].path.read_bytes() == operations["reference"]


def test_the_leaner_try_is_told(make, wanted, session):
    make(wanted())
    failures = []

    def fail_once(*_):
        if not failures:
            failures.append(1)
            raise RuntimeError(CPU_MESSAGE)

    handle = session.model.unet.register_forward_pre_hook(fail_once)
    try:
        assert len(make(wanted(batch_size=2))) == 2
    finally:
        handle.remove()
    assert any("leaner" in event["text"] for event in make.events if event["type"] == "note")


def test_when_memory_never_suffices_everything_is_released_and_the_error_says_what_to_do(make, wanted, session):
    reference = make(wanted(steps=2))[0].path.read_bytes()
    unet = weakref.ref(session.model.unet)

    def fail(*_):
        raise RuntimeError(CPU_MESSAGE)

    handle = session.model.unet.register_forward_pre_hook(fail)
    with pytest.raises(OutOfMemory, match="smaller size"):
        make(wanted(steps=2))
    del handle
    gc.collect()
    assert unet() is None
    assert session.checkpoint is None
    assert make(wanted(steps=2))[0].path.read_bytes() == reference


def test_memory_that_runs_out_while_loading_is_told_and_leaves_nothing_loaded(make, wanted, session, monkeypatch):
    def fail(path):
        raise MemoryError

    session.unload()
    with monkeypatch.context() as patch, pytest.raises(OutOfMemory):
        patch.setattr(session_module, "open_weights", fail)
        make(wanted())
    assert session.checkpoint is None
    assert make(wanted())


def test_an_error_that_is_not_about_memory_is_not_retried(make, wanted, session):
    make(wanted())
    calls = []

    def fail(*_):
        calls.append(1)
        raise RuntimeError("shapes differ")

    handle = session.model.unet.register_forward_pre_hook(fail)
    try:
        with pytest.raises(RuntimeError, match="shapes differ"):
            make(wanted())
    finally:
        handle.remove()
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError(CPU_MESSAGE), True),
        (torch.OutOfMemoryError("CUDA out of memory."), True),
        (RuntimeError("shape mismatch"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_errors_about_memory_are_recognised(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_vae_that_overflows_in_half_precision_is_run_again_in_float32(make, wanted, session, monkeypatch):
    reference = make(wanted())[0].image.tobytes()
    real, seen = session_module.decode_tiled, []

    def overflowing(vae, latents, tile):
        seen.append(vae.dtype)
        picture = real(vae, latents, tile)
        return picture if vae.dtype == torch.float32 else picture * float("nan")

    monkeypatch.setattr(session_module, "decode_tiled", overflowing)
    session.model.vae.compute_dtype = torch.bfloat16
    try:
        assert make(wanted())[0].image.tobytes() == reference
    finally:
        session.model.vae.compute_dtype = torch.float32
    assert seen == [torch.bfloat16, torch.float32]


def test_a_vae_that_never_gives_numbers_is_told_and_not_saved_as_a_black_picture(make, wanted, monkeypatch, home):
    monkeypatch.setattr(
        session_module, "decode_tiled", lambda vae, latents, tile: torch.full((1, 3, 8, 8), float("nan"))
    )
    before = sorted(home.outputs.rglob("*"))
    with pytest.raises(EmulsionError, match="another VAE"):
        make(wanted())
    assert sorted(home.outputs.rglob("*")) == before


def test_a_network_that_returns_no_numbers_is_told(make, wanted, session):
    make(wanted())
    handle = session.model.unet.register_forward_hook(lambda module, args, result: result * float("nan"))
    try:
        with pytest.raises(EmulsionError, match="not finite"):
            make(wanted())
    finally:
        handle.remove()


def test_the_estimate_grows_with_size_and_batch():
    small, large = estimate(10, 64, 64 * 64, 2), estimate(10, 256, 128 * 128, 4)
    assert large.sampling > small.sampling
    assert large.peak > small.peak > small.weights


def test_this_machine_tells_its_memory():
    assert available_memory() is None or available_memory() > 0
    assert resident_memory() > 0


def test_the_memory_of_a_graphics_card_is_told_in_a1111s_words(monkeypatch):
    stats = {"active_bytes.all.current": 5, "active_bytes.all.peak": 9, "num_alloc_retries": 2, "num_ooms": 1}
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (30, 100))
    monkeypatch.setattr(torch.cuda, "memory_stats", lambda device: stats)
    told = graphics_memory(torch.device("cuda"))
    assert told["system"] == {"free": 30, "used": 70, "total": 100}
    assert told["active"] == {"current": 5, "peak": 9} and told["events"] == {"retries": 2, "oom": 1}
    assert set(told) == {"system", "active", "allocated", "reserved", "inactive", "events"}
    assert graphics_memory(torch.device("cpu")) == {}


def test_a_large_picture_in_tiles_is_not_said_to_need_what_it_does_not():
    tiled = estimate(0, 64 * 64, 4096 * 4096, 2)
    assert tiled.decoding < 2.5 * GIBIBYTE  # docs/performance.md: 1.9 GB were measured
    assert estimate(0, 512 * 512, 4096 * 4096, 2).peak > 25 * GIBIBYTE  # without tiles the network sees it all
