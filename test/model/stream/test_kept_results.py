"""What a result holds as long as somebody keeps it, and what it still tells then."""

from __future__ import annotations

import copy
import gc
import weakref
from functools import partial
from types import FunctionType, ModuleType

import numpy as np
import pytest
import torch

from mpvss_model import MPVSSError, StreamConfig, VideoSegmentor
from mpvss_model.image import FramePadding
from mpvss_model.stream.change import Change
from mpvss_model.stream.evidence import Evidence, Segments
from test.brightness import make_segmentor, scene

SIZE = (240, 320)
FRAMES = 7
NOT_HELD_BY_A_RESULT = (type, ModuleType)


def held_bytes(result):
    """Of all arrays, tensors and texts that a result leads to, whole buffers even where it uses a part of them."""
    seen, waiting, total = set(), [result], 0
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, NOT_HELD_BY_A_RESULT):
            continue
        seen.add(id(thing))
        if isinstance(thing, np.ndarray):
            total += 0 if thing.base is not None else thing.nbytes
            waiting += [] if thing.base is None else [thing.base]
        elif isinstance(thing, torch.Tensor):
            total += thing.untyped_storage().nbytes()
        elif isinstance(thing, bytes):
            total += len(thing)
        elif isinstance(thing, FunctionType):
            waiting += [*(thing.__closure__ or ()), *(thing.__defaults__ or ())]  # rather than all of its module
        else:
            waiting += gc.get_referents(thing)
    return total


def moving_frames(size=SIZE):
    return [scene(4 * i, size=size) for i in range(FRAMES)]


@pytest.fixture(scope="module")
def shipped():
    return VideoSegmentor.from_pretrained(device="cpu", config=StreamConfig(max_interval_frames=FRAMES - 1))


def test_kept_results_of_the_shipped_model_hold_little_more_than_their_labels(shipped):
    results = [shipped.step(frame, i / 15) for i, frame in enumerate(moving_frames())]
    labels_bytes = SIZE[0] * SIZE[1]
    assert [result.is_key_frame for result in results] == [True] + [False] * (FRAMES - 2) + [True]
    for result in results[:-2]:
        assert labels_bytes < held_bytes(result) < 1.7 * labels_bytes
    assert all(held_bytes(result) > 3 * labels_bytes for result in results[-2:]), "or nothing was measured"


def test_a_result_s_frame_is_free_with_the_next_one():
    stream, results, frames = make_segmentor(max_interval_frames=100), [], []
    for i, frame in enumerate(moving_frames()):
        results.append(stream.step(frame, i / 15))
        frames.append(weakref.ref(frame))
        del frame
    still_there = [reference() is not None for reference in frames]
    assert still_there == [True] + [False] * (FRAMES - 2) + [True], "the key frame's and the newest"


@pytest.mark.parametrize("config", [{}, {"motion_threshold": 0.5}, {"history_weight": 0.5}], ids=str)
@pytest.mark.parametrize("ask_before", [False, True], ids=["asked later", "asked before, too"])
def test_a_kept_result_tells_the_same_as_before(config, ask_before):
    def told(answer):
        return answer.labels, answer.confidence, answer.motion, answer.change().error

    config = {"max_interval_frames": 3, **config}
    at_once, later = make_segmentor(**config), make_segmentor(**config)
    expected, kept = [], []
    for i, frame in enumerate(moving_frames(size=(97, 131))):
        expected.append(told(at_once.step(frame, i / 10)))
        kept.append(later.step(frame, i / 10))
        if ask_before:
            told(kept[-1])
    for answer, (labels, confidence, motion, error) in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(answer.labels, labels)
        np.testing.assert_array_equal(answer.confidence, confidence)
        np.testing.assert_array_equal(answer.change().error, error)
        assert answer.motion == motion


def test_scores_that_are_packed_are_those_of_before_to_the_nearest_level():
    stream = make_segmentor()
    result = stream.step(scene(), 0.0)
    exact = result.best_scores()
    for i in range(1, 3):
        stream.step(scene(), i / 10)
    packed = result.best_scores()
    assert not torch.equal(packed, exact), "they are packed"
    torch.testing.assert_close(packed, exact.clamp(max=1.0), atol=0.5 / 255 + 1e-6, rtol=0.0)


def test_class_shares_are_of_the_newest_results_and_refused_of_older_ones():
    stream = make_segmentor()
    result = stream.step(scene(), 0.0)
    count = len(stream.class_names)
    shares = result.class_shares(torch.eye(count))
    torch.testing.assert_close(shares.sum(dim=0), torch.ones(result.labels.shape), atol=1e-4, rtol=0.0)
    np.testing.assert_array_equal(shares.argmax(dim=0).numpy(), result.labels)
    assert result.class_shares(torch.ones(count, 1), (30, 40)).shape == (1, 30, 40)
    for i in range(1, 3):
        stream.step(scene(), i / 10)
    with pytest.raises(MPVSSError, match="newest two results only"):
        result.class_shares(torch.eye(count))


def test_labels_are_an_array_of_their_own():
    stream = make_segmentor(max_interval_frames=2)
    for i in range(2):
        labels = stream.step(scene(size=(97, 131)), i / 10).labels
        assert labels.flags.owndata and labels.flags.c_contiguous and labels.flags.writeable


def test_a_result_can_be_copied():
    stream = make_segmentor()
    results = [stream.step(scene(2 * i), i / 10) for i in range(4)]
    for result in results:
        np.testing.assert_array_equal(copy.deepcopy(result).confidence, result.confidence)


def test_scores_that_cannot_be_packed_stay_as_they_are():
    segments = Segments(torch.zeros(2, 4, 4), torch.zeros(3, 2), FramePadding(16, 16))
    evidence = Evidence(segments=segments, size=(16, 16), change=partial(Change.none, (32, 32)), thumbnails=None)
    evidence.pack()
    with pytest.raises(RuntimeError):
        evidence.best_scores()
