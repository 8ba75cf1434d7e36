import math

import pytest

from mpvss_ros.diagnostics.statistics import Latencies, Rate, percentile


@pytest.mark.parametrize("percent, expected", [(0, 1), (50, 50), (99, 99), (100, 100)])
def test_percentile_is_a_value_that_occurred(percent, expected):
    assert percentile(list(range(100, 0, -1)), percent) == expected


def test_percentile_of_nothing_is_not_a_number():
    assert math.isnan(percentile([], 50))


def test_latencies_forget_what_is_old():
    latencies = Latencies()
    for milliseconds in range(1000):
        latencies.add(milliseconds / 1000)
    assert latencies.percentile_ms(0) == pytest.approx(500)


def test_rate_counts_intervals_between_events(monkeypatch):
    now_s = 0.0
    monkeypatch.setattr("mpvss_ros.diagnostics.statistics.time.monotonic", lambda: now_s)
    rate = Rate()
    assert rate.per_second() == 0.0
    for i in range(31):
        now_s = i / 10
        rate.tick()
    assert rate.per_second() == pytest.approx(10.0)
    now_s = 20.0
    assert rate.per_second() == 0.0
