"""Key frames in the background: frames are answered while the segmentor is held inside a key frame."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from mpvss_model import StaleKeyFrameError
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.faulty_segmentor import FaultySegmentor


@pytest.fixture
def slow():
    """A segmentor that a test can hold; let go at the end, so that its thread can."""
    segmentor = FaultySegmentor(BrightnessSegmentor())
    yield segmentor
    segmentor.unblock()


def asynchronous(slow, **config):
    return make_segmentor(slow, key_frames="async", **{"max_interval_frames": 3, **config})


def hold_at_the_first_later_key_frame(stream, slow, num_frames=4):
    """Answers frames 0.0, 0.1, ... until the segmentor is held inside a key frame; returns the answers."""
    answers = [stream.step(scene(), 0.0)]
    slow.wait_until_begun()
    slow.block()
    answers += [stream.step(scene(shift_px=i), i / 10) for i in range(1, num_frames)]
    slow.wait_until_begun()
    return answers


def finish(stream, slow):
    """Lets the held key frame end, and waits for it."""
    slow.unblock()
    stream._state.job.result()


def test_the_first_frame_waits_for_its_own_masks(slow):
    answer = asynchronous(slow).step(scene(), 0.0)
    assert answer.is_key_frame and answer.is_from_new_key_frame and answer.freshness == 1.0


def test_frames_are_answered_while_the_segmentor_works(slow):
    stream = asynchronous(slow)
    answers = hold_at_the_first_later_key_frame(stream, slow)
    answers += [stream.step(scene(shift_px=i), i / 10) for i in range(4, 12)]
    assert [answer.key_stamp_s for answer in answers] == [0.0] * 12
    assert [answer.is_key_frame for answer in answers] == [True] + [False] * 11
    assert slow.stamps_s == [0.0, 0.3], "one key frame at a time"


def test_a_finished_key_frame_answers_the_next_frame_directly(slow):
    stream = asynchronous(slow)
    hold_at_the_first_later_key_frame(stream, slow)
    finish(stream, slow)
    answer, next_answer = (stream.step(scene(shift_px=6), stamp_s) for stamp_s in (0.6, 0.7))
    assert (answer.key_stamp_s, answer.key_frame_reason.value, answer.is_key_frame) == (0.3, "interval", False)
    assert answer.is_from_new_key_frame and not next_answer.is_from_new_key_frame
    assert (answer.labels == (scene(shift_px=6).mean(axis=-1) > 128)).mean() > 0.985


def test_a_late_key_frame_has_followed_motion_that_is_too_large_to_measure_at_once(slow):
    def shifted(i):
        return scene(shift_px=9 * i, size=(96, 256))

    stream = asynchronous(slow)
    stream.step(shifted(0), 0.0)
    slow.wait_until_begun()
    slow.block()
    for i in range(1, 12):
        stream.step(shifted(i), i / 10)
        if i == 3:
            slow.wait_until_begun()
    finish(stream, slow)
    answer = stream.step(shifted(12), 1.2)
    assert answer.key_stamp_s == 0.3 and not answer.is_key_frame
    assert (answer.labels == (shifted(12).mean(axis=-1) > 128)).mean() > 0.985


def test_key_frames_are_due_counted_from_the_last_one_that_was_asked_for(slow):
    stream = asynchronous(slow, max_interval_frames=5)
    for i in range(20):
        stream.step(scene(), i / 10)
        if stream._state.job is not None:
            stream._state.job.result()
    assert slow.stamps_s == [0.0, 0.5, 1.0, 1.5]


@pytest.mark.parametrize(
    "restart",
    [
        lambda stream: (stream.reset(), stream.step(scene(), 0.5)),
        lambda stream: (stream.step(scene(), 0.05),),
        lambda stream: (stream.step(scene(size=(64, 128)), 0.5),),
        lambda stream: (stream.step(scene(), 50.0),),
    ],
    ids=["reset", "stamp goes back", "new size", "gap"],
)
def test_a_key_frame_of_the_stream_before_a_restart_is_discarded(slow, restart):
    stream = asynchronous(slow)
    hold_at_the_first_later_key_frame(stream, slow)
    held = stream._state.job
    slow.unblock()
    answer = restart(stream)[-1]
    assert held.result().key_frame.stamp_s == 0.3
    assert answer.is_key_frame and answer.key_frame_reason.value == "reset"
    next_answer = stream.step(scene(size=answer.labels.shape), answer.stamp_s + 0.1)
    assert next_answer.key_stamp_s == answer.stamp_s


def test_masks_that_are_too_old_answer_nothing_until_the_next_ones_are_there(slow):
    stream = asynchronous(slow, max_key_age_s=1.0)
    hold_at_the_first_later_key_frame(stream, slow)
    for stamp_s in (0.6, 0.9):
        assert stream.step(scene(), stamp_s).freshness == pytest.approx(1.0 - stamp_s)
    for stamp_s in (1.0, 1.1):
        with pytest.raises(StaleKeyFrameError, match=f"{stamp_s:.2f} s old, older than max_key_age_s, 1: the next one takes"):
            stream.step(scene(), stamp_s)
    finish(stream, slow)
    assert stream.step(scene(), 1.2).key_stamp_s == 0.3


def test_without_other_limits_the_next_masks_are_begun_at_half_the_greatest_age(slow):
    stream = asynchronous(slow, max_interval_frames=1000, max_key_age_s=2.0)
    for i in range(21):
        stream.step(scene(), i / 10)
        if stream._state.job is not None:
            stream._state.job.result()
    assert slow.stamps_s == [0.0, 1.0, 2.0]
    assert stream._state.reference.reason.value == "time"


def test_a_requested_key_frame_is_made_after_the_one_at_work(slow):
    stream = asynchronous(slow)
    hold_at_the_first_later_key_frame(stream, slow)
    stream.request_key_frame()
    stream.step(scene(), 0.4)
    finish(stream, slow)
    stream.step(scene(), 0.5)
    slow.wait_until_begun()
    assert slow.stamps_s == [0.0, 0.3, 0.5]


def test_changing_to_sync_waits_for_the_key_frame_at_work(slow):
    stream = asynchronous(slow, max_interval_frames=3)
    hold_at_the_first_later_key_frame(stream, slow)
    stream.config = replace(stream.config, key_frames="sync")
    slow.unblock()
    assert stream.step(scene(), 0.4).key_stamp_s == 0.3


def test_a_cut_while_the_segmentor_works_makes_a_key_frame_as_soon_as_it_is_free(slow):
    other = np.random.default_rng(0).integers(0, 2, (12, 16, 3), np.uint8).repeat(8, axis=0).repeat(8, axis=1) * 255
    stream = asynchronous(slow, motion_threshold=1.0, max_interval_frames=100, max_interval_s=50.0, max_key_age_s=50.0)
    stream.step(scene(), 0.0)
    slow.wait_until_begun()
    slow.block()
    stream.request_key_frame()
    stream.step(scene(), 0.1)
    slow.wait_until_begun()
    for i in range(2, 6):
        stream.step(other, i / 10)
    finish(stream, slow)
    stream.step(other, 0.6)
    finish(stream, slow)
    answer = stream.step(other, 0.7)
    assert (answer.key_stamp_s, answer.key_frame_reason.value) == (0.6, "motion")


def test_closing_gives_up_on_a_key_frame_in_time(slow):
    stream = asynchronous(slow)
    assert stream.close()
    hold_at_the_first_later_key_frame(stream, slow)
    assert not stream.close(timeout_s=0.01)
    slow.unblock()
    assert stream.step(scene(), 0.0).key_frame_reason.value == "reset"
    assert stream.close(timeout_s=60.0)


def test_two_streams_share_the_segmentor_fairly_and_a_waiting_key_frame_is_of_the_newest_frame(slow):
    """Both streams want key frames all the time; stamps of the second are above 100 s."""
    front = asynchronous(slow, max_interval_frames=1)
    rear = front.new_stream()
    assert rear.segmentor is front.segmentor and rear.propagator is not front.propagator
    front.step(scene(), 0.0), rear.step(scene(), 100.0)
    slow.wait_until_begun(), slow.wait_until_begun()
    for i in range(1, 25):
        slow.block()
        front.step(scene(), i / 10), rear.step(scene(), 100 + i / 10)
        if i % 3 == 0:  # a key frame takes three frames
            finish(rear if slow.stamps_s[-1] >= 100 else front, slow)
    of_rear = [stamp_s >= 100 for stamp_s in slow.stamps_s[2:]]
    assert len(of_rear) >= 7
    assert all(one != next_one for one, next_one in pairwise(of_rear)), "they take turns"
    gaps_s = np.diff([stamp_s for stamp_s in slow.stamps_s if stamp_s < 100])
    assert gaps_s.max() < 0.8, "a waiting key frame is no older than the wait"
