import math

import pytest

from mpvss_ros.diagnostics.statistics import CameraStatistics, Latencies, Rate, percentile, shortened


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


@pytest.mark.parametrize("text", ["", "short", "x" * 300, "words " * 50])
def test_a_text_that_fits_stays_as_it_is(text):
    assert shortened(text) == text


def test_a_long_text_ends_with_a_whole_word_and_dots():
    text = " ".join(f"encoding{i}," for i in range(100))
    found = shortened(text)
    assert len(found) <= 300 and found.endswith(", ...") and text.startswith(found.removesuffix(" ..."))
    assert shortened("x" * 10_000) == "x" * 296 + " ..."


def test_reasons_in_the_diagnostics_are_shortened():
    statistics = CameraStatistics()
    statistics.count_rejection("unknown encoding", "word " * 100)
    statistics.count_unanswered("error", "word " * 100)
    assert statistics.last_rejection == statistics.problem == "word " * 58 + "word ..."
