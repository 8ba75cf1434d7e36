"""What a stream does when its segmentor or its propagation fails."""

from __future__ import annotations

import re

import numpy as np
import pytest

from mpvss_model import MPVSSError, PropagationError, SegmentorError, StaleKeyFrameError
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.faulty_segmentor import FaultySegmentor

ERRORS = {
    "error": "RuntimeError: the network broke",
    "out of memory": "OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.",
    "nan": "ValueError: the segmentor's mask_logits hold values that are not finite",
}


@pytest.fixture(params=["sync", "async"])
def faulty_stream(request):
    faulty = FaultySegmentor(BrightnessSegmentor())
    stream = make_segmentor(faulty, key_frames=request.param, max_interval_frames=2, max_key_age_s=100.0)
    return faulty, stream


def settle(stream):
    """Wait for the key frame in the background, whatever becomes of it."""
    if stream._state.job is not None:
        stream._state.job._future.exception()


@pytest.mark.parametrize("fault", ERRORS)
def test_frames_are_answered_from_the_last_good_key_frame(faulty_stream, fault):
    faulty, stream = faulty_stream
    assert stream.step(scene(), 0.0).fault is None
    faulty.fault = fault
    for i in range(1, 5):
        answer = stream.step(scene(shift_px=i), i / 10)
        settle(stream)
    assert answer.fault == f"key frame failed: {ERRORS[fault]}; tried again in 0.5 s"
    assert answer.key_stamp_s == 0.0 and not answer.is_key_frame
    assert (answer.labels == (scene(shift_px=4).mean(axis=-1) > 128)).mean() > 0.985


@pytest.mark.parametrize("fault", ERRORS)
def test_without_any_key_frame_each_frame_fails_until_one_works(faulty_stream, fault):
    faulty, stream = faulty_stream
    faulty.fault = fault
    for stamp_s in (0.0, 0.1, 0.4):
        with pytest.raises(SegmentorError, match="^no key frame: key frame failed: " + re.escape(ERRORS[fault])):
            stream.step(scene(), stamp_s)
    assert faulty.stamps_s == [0.0]
    faulty.fault = None
    answer = stream.step(scene(), 0.5)
    assert answer.is_key_frame and answer.fault is None and answer.key_frame_reason.value == "first"


def test_tries_become_rarer_by_the_frames_stamps_and_frequent_again_after_a_success(faulty_stream):
    faulty, stream = faulty_stream
    stream.step(scene(), 0.0)
    faulty.fault = "error"
    for stamp_s in np.arange(1, 161) / 8:
        stream.step(scene(), stamp_s)
        settle(stream)
    if stream.config.key_frames == "sync":
        assert faulty.stamps_s == [0.0, 0.25, 0.75, 1.75, 3.75, 7.75, 15.75]
    pauses_s = np.diff(faulty.stamps_s[1:])
    # In the background a failure is noticed with the next frame.
    assert np.allclose(pauses_s, [0.5, 1.0, 2.0, 4.0, 8.0], atol=0.125)
    faulty.fault = None
    faults = []
    for i in range(1, 81):
        faults.append(stream.step(scene(), 20.0 + i / 8).fault)
        settle(stream)
    first_good = faults.index(None)
    assert first_good > 0 and not any(faults[first_good:])
    faulty.fault = "error"
    for i in range(1, 4):
        fault = stream.step(scene(), 30.0 + i / 8).fault
        settle(stream)
    assert fault.endswith("tried again in 0.5 s")


def test_a_request_tries_at_once(faulty_stream):
    faulty, stream = faulty_stream
    faulty.fault = "error"
    with pytest.raises(SegmentorError):
        stream.step(scene(), 0.0)
    faulty.fault = None
    stream.request_key_frame()
    assert stream.step(scene(), 0.1).is_key_frame


def test_masks_that_are_too_old_are_not_used_while_the_segmentor_fails():
    faulty = FaultySegmentor(BrightnessSegmentor())
    stream = make_segmentor(faulty, max_interval_frames=2, max_key_age_s=1.0, retry_initial_s=10.0, retry_max_s=10.0)
    stream.step(scene(), 0.0)
    faulty.fault = "error"
    assert [stream.step(scene(), stamp_s).key_stamp_s for stamp_s in (0.3, 0.6, 0.9)] == [0.0] * 3
    with pytest.raises(StaleKeyFrameError, match="^the last key frame is 1.20 s old.*: key frame failed: RuntimeError"):
        stream.step(scene(), 1.2)
    faulty.fault = None
    stream.request_key_frame()
    assert stream.step(scene(), 1.5).is_key_frame


def test_a_restart_forgets_the_fault(faulty_stream):
    faulty, stream = faulty_stream
    faulty.fault = "error"
    with pytest.raises(SegmentorError):
        stream.step(scene(), 5.0)
    faulty.fault = None
    answer = stream.step(scene(), 0.0)
    assert answer.fault is None and answer.key_frame_reason.value == "reset"


class BrokenPropagator:
    def propagate(self, key_frame, frame, queries):
        raise RuntimeError("no flow\ntoday")


class NotANumberPropagator:
    def propagate(self, key_frame, frame, queries):
        return key_frame.mask_logits[queries] * float("nan")


@pytest.mark.parametrize(
    "broken, message",
    [
        (BrokenPropagator(), "RuntimeError: no flow"),
        (NotANumberPropagator(), "ValueError: the propagated masks hold values that are not finite"),
    ],
)
def test_a_failing_propagation_loses_one_frame(faulty_stream, broken, message):
    _, stream = faulty_stream
    working = stream.propagator
    stream.step(scene(), 0.0)
    stream.propagator = broken
    with pytest.raises(PropagationError, match=f"^masks cannot be propagated: {message}$"):
        stream.step(scene(), 0.1)
    stream.propagator = working
    answer = stream.step(scene(), 0.2)
    assert answer.key_stamp_s in (0.0, 0.2) and answer.fault is None


def test_faults_of_one_stream_do_not_touch_another():
    faulty = FaultySegmentor(BrightnessSegmentor())
    front = make_segmentor(faulty)
    rear = front.new_stream()
    rear.step(scene(), 0.0)
    faulty.fault = "out of memory"
    with pytest.raises(MPVSSError):
        front.step(scene(), 0.0)
    assert rear.step(scene(), 0.1).fault is None


def test_a_fault_while_warming_up_is_told():
    with pytest.raises(SegmentorError, match="the network broke"):
        make_segmentor(FaultySegmentor(BrightnessSegmentor(), fault="error")).warm_up()
