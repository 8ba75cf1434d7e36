"""Two streams of one model, each stepped by a thread of its own, give what they give alone, bit for bit."""

from __future__ import annotations

import copy
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.runtime.last_values import LastValues
from mpvss_model.segmentor.registry import load_model
from test.brightness import BrightnessSegmentor, make_segmentor, scene

REPETITIONS = 20
FRAMES = 6
# Two sizes at once, so that nothing that was made for one frame fits the other by chance.
VIDEOS = [[scene(shift_px, size=size) for shift_px in range(0, 4 * FRAMES, 4)] for size in ((64, 96), (96, 64))]
WAYS = ("copy", "dense", "tracked", "fine", "segment", "pixel", "refined")


@pytest.fixture
def impatient_threads():
    """Threads that take turns a hundred times as often as usual."""
    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(interval_s / 100)
    yield
    sys.setswitchinterval(interval_s)


@pytest.fixture(scope="module")
def loaded(tiny_motion_checkpoint):
    model = load_model(tiny_motion_checkpoint, device=torch.device("cpu"))
    model.accelerate(torch.float32)
    return model


def make_model(loaded, way, **config):
    """A stream of the tiny model, or of one that takes no time, so that threads meet in the propagation."""
    config = {"max_interval_frames": 3, **config}
    if way in ("copy", "dense", "tracked"):
        model = make_segmentor(BrightnessSegmentor(), **config)
        model.propagator = make_propagator(way, motion=None)
        return model
    motion = copy.copy(loaded.motion)
    motion.config = replace(motion.config, refines_tracked_flow=way == "refined")
    propagator = make_propagator("pixel" if way == "pixel" else "segment", motion=motion)
    return VideoSegmentor(segmentor=loaded.segmentor, propagator=propagator, config=StreamConfig(**config))


def results_of(stream, frames, start=lambda: None):
    """Labels and, since those of a random model are much the same everywhere, the scores behind them."""
    start()
    answers = [stream.step(frame, stamp_ns=i * 66_666_667) for i, frame in enumerate(frames)]
    return [(answer.labels, answer.best_scores().numpy()) for answer in answers]


@pytest.mark.parametrize("way", WAYS)
def test_threads_give_what_one_thread_gives(way, loaded, impatient_threads):
    model = make_model(loaded, way)
    alone = [results_of(model.new_stream(), video) for video in VIDEOS]
    with ThreadPoolExecutor(len(VIDEOS)) as threads:
        for _ in range(REPETITIONS):
            begin = threading.Barrier(len(VIDEOS))
            streams = [model.new_stream() for _ in VIDEOS]
            together = list(threads.map(results_of, streams, VIDEOS, [begin.wait] * len(VIDEOS)))
            np.testing.assert_equal(together, alone)


@pytest.mark.parametrize("way", WAYS)
def test_a_new_stream_shares_weights_and_nothing_else(way, loaded):
    model = make_model(loaded, way)
    before = results_of(model, VIDEOS[0])
    stream = model.new_stream()
    assert type(stream.propagator) is type(model.propagator) and stream.propagator.name == model.propagator.name
    assert stream.propagator.module is model.propagator.module
    shared = [
        name for name, value in vars(stream.propagator).items() if value is not None and value is vars(model.propagator)[name]
    ]
    assert set(shared) <= {"module", "name", "_released_grid", "_stride", "_steps"}, "an empty tuple, or what never changes"
    np.testing.assert_equal(results_of(stream, VIDEOS[0]), before)


def test_what_threads_ask_for_at_once_is_made_once(impatient_threads):
    """More keys than are kept, so that values are made and forgotten all the time."""
    values = LastValues(2)

    def ask(seed):
        keys = np.random.default_rng(seed).integers(0, 5, 2000).tolist()
        return all(values.get(key, lambda key=key: [key]) == [key] for key in keys)

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(ask, range(4)))
    made = []
    for key in (7, 8, 7, 9, 8, 7):
        values.get(key, lambda key=key: made.append(key))
    assert made == [7, 8, 9, 7], "the oldest goes first"
    assert copy.deepcopy(values).get(7, lambda: "its own") == "its own"
