"""The benchmarks' own arithmetic: medians, ratios, processes, and the table."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from benchmarks.__main__ import main, table
from benchmarks.measure import Sample, interleaved, rows, side_by_side, timed
from benchmarks.registry import BENCHMARKS, Row, Setting


def sleeping(seconds: float) -> Callable[[], None]:
    return lambda: time.sleep(seconds)


def working(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def process_case(setting: Setting) -> Callable[[], dict[str, int]]:
    prepared_in = os.getpid()
    return lambda: {"process": os.getpid(), "prepared in": prepared_in}


def test_a_sample_has_the_time_of_the_clock_and_of_our_own_processor() -> None:
    idle, busy = timed(sleeping(0.2)), timed(lambda: working(0.2))
    assert idle.seconds >= 0.2 and idle.processor < 0.1
    assert busy.processor > 0.1
    assert 0 <= idle.others <= 1


def test_cases_are_called_in_turn_after_one_warm_up() -> None:
    calls: list[str] = []
    found = interleaved({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert {name: len(samples) for name, samples in found.items()} == {"a": 2, "b": 2}


def test_rows_hold_medians_and_ratios_to_the_peer() -> None:
    samples = {
        "ours": [Sample(seconds, 2 * seconds, 0.1) for seconds in (1.0, 9.0, 2.0)],
        "peer": [Sample(4.0, 5.0, 0.2)],
    }
    ours, peer = rows("step", samples, "peer")
    assert (ours.seconds, ours.low, ours.high, ours.processor, ours.calls) == (2.0, 1.0, 9.0, 4.0, 3)
    assert (ours.ratio, ours.processor_ratio, ours.against) == (0.5, 0.8, "peer")
    assert peer.ratio is None
    assert peer.others == 0.2


def test_every_case_lives_in_a_process_of_its_own(tmp_path: Path) -> None:
    first, second = side_by_side("processes", {"a": process_case, "b": process_case}, Setting(tmp_path, 1, 1))
    assert first.facts["process"] == first.facts["prepared in"]
    assert len({first.facts["process"], second.facts["process"], os.getpid()}) == 3


def test_the_table_has_a_line_for_each_row() -> None:
    lines = table([Row("step", "ours", 0.5, 0.4, 0.6, 1.0, 3, 0.25, ratio=0.7, facts={"error": 0.0123})]).splitlines()
    assert len(lines) == 3
    assert lines[2] == "| step | ours | 0.5 | 0.4–0.6 | 1 | 25% | 0.7 |  | error 0.0123 |"


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the peer
def test_the_command_writes_its_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target, threads = tmp_path / "figures.json", torch.get_num_threads()
    assert main(["sampler", "--work", str(tmp_path), "--json", str(target), "--threads", str(threads)]) == 0
    written = json.loads(target.read_text())
    assert {row["benchmark"] for row in written["rows"]} == {"sampler step"}
    assert written["machine"]["threads"] == threads
    assert "sampler step" in capsys.readouterr().out


def test_the_figures_that_the_project_promises_have_a_benchmark() -> None:
    assert {"unet", "numerics", "vae", "attention", "start", "sampler", "engine", "http", "soak"} <= set(
        BENCHMARKS.names()
    )
