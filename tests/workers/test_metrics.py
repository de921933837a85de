"""The text for Prometheus: what the format asks for, and bounds that hold whatever comes from outside."""

from __future__ import annotations

import math
import re

import pytest

from webui.metrics import MOST_SERIES, OTHER, Counter, Gauge, Histogram, Metrics

HOSTILE = 'a"b\\c\nd'


def test_every_metric_says_what_it_is_before_its_samples():
    metrics = Metrics()
    metrics.add(Counter("a_total", "All\nof \\ them.")).add()
    metrics.add(Gauge("b_bytes", "Now.", lambda: [((), 2.5)]))
    assert metrics.text().splitlines() == [
        r"# HELP a_total All\nof \\ them.",
        "# TYPE a_total counter",
        "a_total 1",
        "# HELP b_bytes Now.",
        "# TYPE b_bytes gauge",
        "b_bytes 2.5",
    ]


def test_values_of_labels_are_escaped():
    counter = Counter("a_total", "A.", ("name",))
    counter.add(1, HOSTILE)
    assert counter.lines()[-1] == 'a_total{name="a\\"b\\\\c\\nd"} 1'


def test_buckets_hold_all_that_is_at_most_their_limit():
    histogram = Histogram("a_seconds", "A.", (0.1, 1.0), ("route",))
    for measure in (0.05, 0.1, 0.5, 3.0):
        histogram.observe(measure, "/x")
    assert histogram.lines()[2:] == [
        'a_seconds_bucket{route="/x",le="0.1"} 2',
        'a_seconds_bucket{route="/x",le="1"} 3',
        'a_seconds_bucket{route="/x",le="+Inf"} 4',
        'a_seconds_sum{route="/x"} 3.65',
        'a_seconds_count{route="/x"} 4',
    ]


def test_a_measure_can_be_taken_in_several_times_over():
    histogram = Histogram("a_seconds", "A.", (1.0,))
    histogram.observe(0.5, times=4)
    assert histogram.count() == 4 and histogram.lines()[-2] == "a_seconds_sum 2"


def test_numbers_that_are_no_finite_ones_do_not_break_the_text():
    gauge = Gauge("a", "A.", lambda: [((), math.inf), ((), math.nan)])
    assert gauge.lines()[2:] == ["a +Inf", "a NaN"]


@pytest.mark.parametrize(
    "metric", [Counter("a_total", "A.", ("name",)), Histogram("a_seconds", "A.", labels=("name",))]
)
def test_the_number_of_series_is_bounded(metric):
    count = metric.add if isinstance(metric, Counter) else lambda amount, name: metric.observe(1.0, name)
    for number in range(MOST_SERIES * 2):
        count(1, str(number))
    names = {match for line in metric.lines() for match in re.findall(r'name="(\w+)"', line)}
    assert len(names) == MOST_SERIES + 1 and OTHER in names
