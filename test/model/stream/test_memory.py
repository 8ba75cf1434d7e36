"""What a key frame leaves to the next one of its stream, and when nothing is left."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model.evaluation.study.shared_segmentor import SharedSegmentor
from mpvss_model.labelling.averaging_segmentor import AveragingSegmentor
from mpvss_model.labelling.config import View
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.faulty_segmentor import FaultySegmentor


class CountingSegmentor(BrightnessSegmentor):
    """A key frame's memory is how many key frames there were before it, and itself."""

    has_memory = True

    def __init__(self):
        self.given = []

    def segment(self, frame, stamp_s, memory=None):
        self.given.append(0 if memory is None else int(memory))
        return replace(super().segment(frame, stamp_s), memory=torch.tensor(float(self.given[-1] + 1)))


def given_to(segmentor, stream, frames, *, period_s=0.1):
    """The memories that the key frames of frames 0.0, 0.1, ... were given."""
    for i, frame in enumerate(frames):
        stream.step(frame, i * period_s)
    return segmentor.given


def test_each_key_frame_is_given_what_the_one_before_it_left():
    segmentor = CountingSegmentor()
    stream = make_segmentor(segmentor, max_interval_frames=2)
    assert given_to(segmentor, stream, [scene()] * 5) == [0, 1, 2]


def test_a_key_frame_in_the_background_is_given_what_the_last_finished_one_left():
    segmentor = CountingSegmentor()
    stream = make_segmentor(segmentor, max_interval_frames=2, key_frames="async")
    for i in range(5):
        stream.step(scene(i), i / 10)
        if stream._state.job is not None:
            stream._state.job.result()
    assert segmentor.given == [0, 1, 2]


def test_streams_of_one_segmentor_have_memories_of_their_own():
    segmentor = CountingSegmentor()
    stream = make_segmentor(segmentor, max_interval_frames=1)
    other = stream.new_stream()
    for i in range(3):
        stream.step(scene(), i / 10)
    other.step(scene(), 0.0)
    stream.step(scene(), 0.3)
    assert segmentor.given == [0, 1, 2, 0, 3]


def restart_by_reset(stream):
    stream.reset()
    return scene(), 0.3


@pytest.mark.parametrize(
    "interruption",
    [
        restart_by_reset,
        lambda stream: (scene(), 9.0),
        lambda stream: (scene(), 0.05),
        lambda stream: (scene(size=(64, 96)), 0.3),
    ],
    ids=["reset", "gap", "stamp goes back", "size"],
)
def test_a_restart_forgets(interruption):
    segmentor = CountingSegmentor()
    stream = make_segmentor(segmentor, max_interval_frames=1, max_key_age_s=5.0)
    given_to(segmentor, stream, [scene()] * 3)
    frame, stamp_s = interruption(stream)
    stream.step(frame, stamp_s)
    assert segmentor.given == [0, 1, 2, 0]


def test_a_scene_cut_that_is_noticed_forgets_and_a_request_does_not():
    segmentor = CountingSegmentor()
    stream = make_segmentor(segmentor, max_interval_frames=100, max_interval_s=0.0, motion_threshold=1.0)
    other = np.random.default_rng(5).integers(0, 255, (6, 8, 3), np.uint8).repeat(16, axis=0).repeat(16, axis=1)
    given_to(segmentor, stream, [scene(), scene(1), other, other])
    assert segmentor.given == [0, 0]
    stream.request_key_frame()
    stream.step(other, 0.5)
    assert segmentor.given == [0, 0, 1]


def test_a_key_frame_that_fails_leaves_the_memory_of_the_last_good_one():
    counting = CountingSegmentor()
    segmentor = FaultySegmentor(counting)
    stream = make_segmentor(segmentor, max_interval_frames=1, retry_initial_s=0.1)
    stream.step(scene(), 0.0)
    segmentor.fault = "error"
    stream.step(scene(), 0.1)
    segmentor.fault = None
    stream.step(scene(), 0.2)
    assert counting.given == [0, 1]


def test_a_memory_as_old_as_labels_may_be_is_not_given():
    counting = CountingSegmentor()
    segmentor = FaultySegmentor(counting)
    stream = make_segmentor(segmentor, max_interval_frames=1, max_key_age_s=0.5, retry_initial_s=0.1)
    stream.step(scene(), 0.0)
    segmentor.fault = "error"
    for stamp_s in (0.2, 0.4):
        stream.step(scene(), stamp_s)
    segmentor.fault = None
    stream.step(scene(), 0.7)
    assert counting.given == [0, 0]


def test_a_memory_that_is_not_finite_is_a_fault_and_not_passed_on():
    class Broken(CountingSegmentor):
        def segment(self, frame, stamp_s, memory=None):
            key_frame = super().segment(frame, stamp_s, memory)
            return replace(key_frame, memory=key_frame.memory * (np.nan if len(self.given) == 2 else 1))

    segmentor = Broken()
    stream = make_segmentor(segmentor, max_interval_frames=1, retry_initial_s=0.1)
    stream.step(scene(), 0.0)
    assert "segmentor's memory" in stream.step(scene(), 0.1).fault
    stream.step(scene(), 0.3)
    assert segmentor.given == [0, 1, 1]


def test_streams_that_share_a_segmentor_share_key_frames_after_the_same_ones_only():
    segmentor = CountingSegmentor()
    shared = SharedSegmentor(segmentor)
    every, same, seldom = (make_segmentor(shared, max_interval_frames=interval) for interval in (1, 1, 2))
    for i in range(3):
        for stream in (every, seldom, same):
            stream.step(scene(i), i / 10)
    assert segmentor.given == [0, 1, 2, 1]


def test_each_view_of_an_average_goes_on_from_its_own_memory():
    segmentor = CountingSegmentor()
    averaging = AveragingSegmentor(segmentor, (View(), View(1.0, True)))
    stream = make_segmentor(averaging, max_interval_frames=1)
    given_to(segmentor, stream, [scene()] * 3)
    assert segmentor.given == [0, 0, 1, 1, 2, 2]
    assert averaging.has_memory and not AveragingSegmentor(BrightnessSegmentor(), (View(),)).has_memory
