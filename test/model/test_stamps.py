"""Stamps to the nanosecond: what is a frame of its own, when key frames are due, what breaks a stream."""

from __future__ import annotations

import numpy as np
import pytest

from mpvss_model import FrameError, KeyFrameReason, RestartReason
from mpvss_model.stamps import nanoseconds, seconds, stamp_text
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.faulty_segmentor import FaultySegmentor

# A time of today, at which floats of seconds are 238 ns apart.
NOW_NS = 1_700_000_000_000_000_000
MS = 1_000_000


@pytest.mark.parametrize("apart_ns", [1, 100])
def test_frames_that_seconds_cannot_tell_apart_are_two(apart_ns):
    stream = make_segmentor()
    first, second = (stream.step(scene(), stamp_ns=NOW_NS + i * apart_ns) for i in range(2))
    assert first.is_key_frame and not second.is_key_frame
    assert (second.stamp_ns, second.key_stamp_ns) == (NOW_NS + apart_ns, NOW_NS)
    assert second.freshness < 1.0


def test_seconds_and_nanoseconds_are_two_ways_to_say_the_same():
    by_s, by_ns = make_segmentor(max_interval_frames=3), make_segmentor(max_interval_frames=3)
    for i in range(7):
        one, other = by_s.step(scene(i), i / 10), by_ns.step(scene(i), stamp_ns=np.int64(i * 100 * MS))
        assert (one.stamp_ns, one.key_stamp_ns) == (other.stamp_ns, other.key_stamp_ns)
        assert isinstance(other.stamp_ns, int) and one.stamp_s == i / 10
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize(
    "stamp_s, stamp_ns",
    [(0.1, 100_000_000), (-0.3, -300_000_000), (1 / 15, 66_666_667), (np.float32(0.5), 500_000_000), (7, 7_000_000_000)],
)
def test_seconds_are_rounded_to_the_next_nanosecond(stamp_s, stamp_ns):
    assert nanoseconds(stamp_s) == stamp_ns


def test_seconds_of_today_lose_nothing_on_the_way():
    stamp_s = 1_700_000_000.1
    # The float next to that time; stamp_s * 1e9 as a float would be another 161 ns away.
    assert nanoseconds(stamp_s) == 1_700_000_000_099_999_905
    assert seconds(nanoseconds(stamp_s)) == stamp_s
    assert all(seconds(nanoseconds(i / 1000)) == i / 1000 for i in range(-2000, 100_000, 7))


@pytest.mark.parametrize(
    "stamp, text",
    [
        ({"stamp_s": float("nan")}, "finite number of seconds, got nan"),
        ({"stamp_s": float("inf")}, "finite number of seconds, got inf"),
        ({"stamp_s": "soon"}, "finite number of seconds, got 'soon'"),
        ({"stamp_s": float(NOW_NS)}, "less than 292 years away from 0, got stamp_s=1.7e.18; give nanoseconds as stamp_ns"),
        ({"stamp_s": 10**400}, "finite number of seconds"),
        ({"stamp_ns": 2**63}, "less than 292 years away from 0, got stamp_ns=9223372036854775808"),
        ({"stamp_ns": -(2**63)}, "less than 292 years away from 0"),
        ({"stamp_ns": 0.5}, "stamp_ns must be an integer, got 0.5; give seconds as stamp_s"),
        ({"stamp_ns": True}, "stamp_ns must be an integer, got True"),
        ({"stamp_ns": np.float64(3.0)}, "stamp_ns must be an integer"),
        ({}, "give either stamp_s or stamp_ns, got stamp_s=None, stamp_ns=None"),
        ({"stamp_s": 1.0, "stamp_ns": 1}, "give either stamp_s or stamp_ns, got stamp_s=1.0, stamp_ns=1"),
    ],
)
def test_a_stamp_that_is_none_is_refused_in_one_line(stamp, text):
    stream = make_segmentor()
    stream.step(scene(), 1.0)
    with pytest.raises(FrameError, match=f"^invalid stamp: .*{text}") as refusal:
        stream.step(scene(), **stamp)
    assert "\n" not in str(refusal.value) and refusal.value.reason == "invalid stamp"
    assert not stream.step(scene(), 1.1).is_key_frame


def test_a_duplicate_says_its_stamp_and_what_a_stamp_of_zero_means():
    stream = make_segmentor()
    stream.step(scene(), stamp_ns=NOW_NS + 1)
    with pytest.raises(FrameError, match=r"^duplicate stamp: two frames in a row are stamped 1700000000\.000000001 s$"):
        stream.step(scene(), stamp_ns=NOW_NS + 1)
    unstamped = make_segmentor()
    unstamped.step(scene(), stamp_ns=0)
    with pytest.raises(FrameError, match=r"stamped 0\.000000000 s; the camera's driver may not stamp its images$"):
        unstamped.step(scene(), stamp_ns=0)
    assert stamp_text(-1_500_000_000) == "-1.500000000 s"


@pytest.mark.parametrize(
    "config, limit_ns",
    [
        ({"max_interval_s": 0.3}, 300 * MS),
        ({"max_interval_s": 1e-7}, 100),
        ({"max_interval_frames": 1, "min_interval_s": 0.7}, 700 * MS),
        ({"max_key_age_s": 1.1}, 1100 * MS),
    ],
)
def test_a_key_frame_is_due_to_the_nanosecond(config, limit_ns):
    config = {"max_interval_frames": 100, **config}
    for since_key_ns in (limit_ns - 1, limit_ns):
        stream = make_segmentor(**config)
        stream.step(scene(), stamp_ns=NOW_NS + 1)
        answer = stream.step(scene(), stamp_ns=NOW_NS + 1 + since_key_ns)
        assert answer.is_key_frame == (since_key_ns == limit_ns)


def test_a_gap_is_one_from_the_next_nanosecond_on():
    for gap_ns, reason in ((1100 * MS, None), (1100 * MS + 1, RestartReason.GAP)):
        stream = make_segmentor(max_key_age_s=1.1)
        stream.step(scene(), stamp_ns=NOW_NS)
        assert stream.step(scene(), stamp_ns=NOW_NS + gap_ns).restart_reason is reason


def test_a_pause_after_a_fault_holds_to_the_nanosecond():
    faulty = FaultySegmentor(BrightnessSegmentor())
    stream = make_segmentor(faulty, max_interval_frames=1, retry_initial_s=0.3)
    stream.step(scene(), stamp_ns=NOW_NS)
    faulty.fault = "error"
    assert stream.step(scene(), stamp_ns=NOW_NS + 100 * MS).fault is not None
    faulty.fault = None
    assert stream.step(scene(), stamp_ns=NOW_NS + 400 * MS - 1).fault is not None
    assert stream.step(scene(), stamp_ns=NOW_NS + 400 * MS).fault is None


class Frames:
    """A stream's frames, and why it began anew with each."""

    def __init__(self, **config):
        self.stream = make_segmentor(**{"max_interval_frames": 100, "max_key_age_s": 2.0, **config})

    def reasons(self, *frames):
        answers = [self.stream.step(scene(size=size), stamp_ns=stamp_ns) for stamp_ns, size in frames]
        for answer, (stamp_ns, size) in zip(answers, frames, strict=True):
            assert answer.labels.shape == size and answer.stamp_ns == stamp_ns
            if answer.restart_reason is not None:
                assert answer.is_key_frame and answer.key_frame_reason is KeyFrameReason.RESET
        return [answer.restart_reason and answer.restart_reason.value for answer in answers]


SIZE, OTHER_SIZE = (96, 128), (64, 96)


def test_the_reason_why_a_stream_begins_anew_is_told_once():
    frames = Frames()
    assert frames.reasons((0, SIZE), (100 * MS, SIZE)) == [None, None]
    assert frames.reasons((50 * MS, SIZE), (60 * MS, SIZE)) == ["stamp went back", None]
    assert frames.reasons((5000 * MS, SIZE), (5001 * MS, SIZE)) == ["gap", None]
    assert frames.reasons((5002 * MS, OTHER_SIZE), (5003 * MS, OTHER_SIZE)) == ["frame size changed", None]
    frames.stream.reset()
    assert frames.reasons((5004 * MS, OTHER_SIZE), (5005 * MS, OTHER_SIZE)) == ["reset", None]


def test_a_size_that_flips_and_clocks_that_alternate_are_told_with_each_frame():
    flips = [(i * MS, (SIZE, OTHER_SIZE)[i % 2]) for i in range(6)]
    assert Frames().reasons(*flips) == [None] + ["frame size changed"] * 5
    clocks = [((NOW_NS, 0)[i % 2] + i * MS, SIZE) for i in range(6)]
    assert Frames().reasons(*clocks) == [None] + ["stamp went back", "gap"] * 2 + ["stamp went back"]


def test_a_restart_is_told_with_the_first_frame_that_is_answered():
    faulty = FaultySegmentor(BrightnessSegmentor())
    stream = make_segmentor(faulty, retry_initial_s=0.1)
    stream.step(scene(), 5.0)
    faulty.fault = "error"
    with pytest.raises(ValueError, match="no key frame"):
        stream.step(scene(), 1.0)
    faulty.fault = None
    answers = [stream.step(scene(), stamp_s) for stamp_s in (1.2, 1.3)]
    assert [answer.restart_reason for answer in answers] == [RestartReason.STAMP_WENT_BACK, None]
