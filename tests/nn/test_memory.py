"""Room for many tensors at once, and jobs on threads of their own."""

import gc
import threading

import pytest
import torch

from webui.nn.memory import room_like
from webui.nn.threads import run_jobs


def test_room_has_the_types_shapes_and_layouts_of_the_given_tensors() -> None:
    given = {
        "a": torch.ones(3, 5, dtype=torch.bfloat16),
        "b": torch.ones(2, 4, 3, 3).contiguous(memory_format=torch.channels_last),
        "c": torch.ones(7),
        "d": torch.ones(6, 4).T,
        "e": torch.ones(9, 2).to(torch.float8_e4m3fn),
    }
    room = room_like(given)
    for name, tensor in given.items():
        assert (room[name].shape, room[name].dtype, room[name].stride()) == (
            tensor.shape,
            tensor.dtype,
            tensor.stride(),
        )


def test_tensors_of_one_room_do_not_overlap() -> None:
    given = {str(n): torch.full((n + 1, 3), float(n)) for n in range(20)}
    room = room_like(given)
    for name, tensor in given.items():
        room[name].copy_(tensor)
    assert all(torch.equal(room[name], tensor) for name, tensor in given.items())


def test_room_for_nothing_is_nothing() -> None:
    assert room_like({}) == {}


def test_room_goes_back_when_nobody_holds_it() -> None:
    from webui.engine.memory import resident_memory

    given = {"large": torch.empty(64 << 20, dtype=torch.uint8)}
    room = room_like(given)
    gc.collect()
    before = resident_memory()
    room["large"].fill_(1)
    if not before or resident_memory() < before + (48 << 20):
        pytest.skip("this system does not tell how much memory a process has")
    room.clear()
    assert resident_memory() < before + (16 << 20)


@pytest.mark.parametrize("threaded", [False, True])
def test_every_job_is_done_once_whoever_does_it(threaded: bool) -> None:
    before, done = torch.get_num_threads(), []
    torch.set_num_threads(2)
    run_jobs([lambda n=n: done.append((n, threading.current_thread().name)) for n in range(50)], threaded)  # type: ignore[misc]
    torch.set_num_threads(before)
    assert sorted(n for n, _ in done) == list(range(50))
    assert all(name.startswith("alone") == threaded for _, name in done)


def test_an_error_in_a_job_is_raised() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    with pytest.raises(ZeroDivisionError):
        run_jobs([lambda: 1 // 0, lambda: None])  # type: ignore[list-item, return-value]
    torch.set_num_threads(before)
