"""What a key frame takes from earlier ones."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator
from mpvss_model.segmentor.registry import load_model
from mpvss_model.semantics import class_scores
from mpvss_model.stream.change import Change
from mpvss_model.stream.history import LEAST_SCORE, History
from mpvss_model.warp import backward_warp
from test.brightness import BrightnessSegmentor, make_segmentor, scene
from test.faulty_segmentor import FaultySegmentor


class WaveringSegmentor(BrightnessSegmentor):
    """Sees the bright square in every other key frame only, and is sure of nothing in those between."""

    def __init__(self):
        self.count = 0

    def segment(self, frame, stamp_s):
        key_frame = super().segment(frame, stamp_s)
        self.count += 1
        if self.count % 2:
            return key_frame
        return replace(key_frame, mask_logits=torch.full_like(key_frame.mask_logits, 0.3))


def remembering(segmentor=None, **config):
    return make_segmentor(segmentor, history_weight=0.5, **config)


def random_masks(seed, num_masks=5, num_classes=3, size=(24, 32)):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(num_masks, *size, generator=generator) * 3, torch.randn(num_masks, num_classes + 1, generator=generator)


def random_key_frame(seed, frame_size=(96, 128)):
    key_frame = BrightnessSegmentor().segment(scene(size=frame_size), 0.0)
    masks, class_logits = random_masks(seed, size=tuple(key_frame.mask_logits.shape[1:]))
    return replace(key_frame, mask_logits=masks, class_logits=class_logits, queries=torch.zeros(5, 8))


def mask_scores(masks, class_logits):
    return torch.einsum("qc,qhw->chw", class_logits.softmax(dim=1)[:, :-1], masks.sigmoid())


@pytest.mark.parametrize("weight", [0.1, 0.5, 4.0])
def test_scores_are_the_weighted_mean_where_motion_explains_the_image(weight):
    key_frame, (masks, class_logits) = random_key_frame(0), random_masks(1)
    error = np.zeros((96, 128), np.float32)
    error[:, 64:] = 1.0
    joined = History(masks, class_logits, Change(error), weight).joined_by(key_frame)
    own = mask_scores(key_frame.mask_logits, key_frame.class_logits)
    remembered = torch.where(torch.arange(32) < 16, mask_scores(masks, class_logits), own)
    expected = (own + weight * remembered.clamp(LEAST_SCORE, 1 - LEAST_SCORE)) / (1 + weight)
    found = mask_scores(joined.mask_logits, joined.class_logits)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=0)
    assert joined.mask_logits.shape == (5 + 3, 24, 32) and joined.class_logits.shape == (5 + 3, 4)
    assert torch.equal(joined.mask_logits[:5], key_frame.mask_logits), "as sharp as they were"


def test_the_padding_of_a_frame_has_no_history():
    key_frame, (masks, class_logits) = random_key_frame(0, (90, 100)), random_masks(1)
    joined = History(masks, class_logits, Change(np.zeros((60, 67), np.float32)), 1.0).joined_by(key_frame)
    own = mask_scores(key_frame.mask_logits, key_frame.class_logits)
    without = (own + own.clamp(LEAST_SCORE, 1 - LEAST_SCORE)) / 2
    same = (mask_scores(joined.mask_logits, joined.class_logits) - without).abs().amax(dim=0) < 2e-5
    assert same[23:].all() and same[:, 25:].all() and same[:23, :25].float().mean() < 0.05


def test_a_class_that_was_hardly_seen_is_not_remembered():
    key_frame, (masks, class_logits) = random_key_frame(0), random_masks(1)
    class_logits[:, 1] = key_frame.class_logits[:, 1] = -9.0
    joined = History(masks, class_logits, Change(np.zeros((96, 128), np.float32)), 0.5).joined_by(key_frame)
    assert joined.class_logits[5:].softmax(dim=1)[:, :-1].argmax(dim=1).tolist() == [0, 2]


def test_each_class_moves_with_the_query_that_stands_for_it(tiny_motion_checkpoint):
    model = load_model(tiny_motion_checkpoint, device=torch.device("cpu"))
    stream = VideoSegmentor.from_pretrained(
        tiny_motion_checkpoint,
        device="cpu",
        config=StreamConfig(max_interval_frames=2, query_tolerance=0.0, history_weight=0.5),
    )
    frames = [scene(3 * i) for i in range(4)]
    for i, frame in enumerate(frames):
        answer = stream.step(frame, i / 10)
    key_frame = stream._state.reference.key_frame
    own = model.segmentor.segment(frames[2], 0.0)
    remembered = key_frame.class_logits[7:].softmax(dim=1)[:, :-1].argmax(dim=1)
    of_class = own.class_logits.softmax(dim=1)[:, :-1].argmax(dim=0)
    assert len(remembered) and key_frame.moves_with.tolist() == [*range(7), *of_class[remembered].tolist()]
    motion = stream.propagator.estimate(own, frames[3], torch.arange(len(own.queries)))
    flow = torch.nn.functional.interpolate(motion.segment_flow[0], scale_factor=2, mode="bilinear") * 2
    warped = backward_warp(key_frame.mask_logits[:, None], flow[key_frame.moves_with])[:, 0]
    expected = class_scores(warped, key_frame.class_logits, key_frame.padding)
    torch.testing.assert_close(answer.best_scores(), expected.amax(dim=0), atol=1e-4, rtol=0)


def test_what_was_seen_well_outlasts_a_key_frame_that_sees_nothing():
    frames = [scene(2 * i) for i in range(8)]
    truth = [frame.mean(axis=-1) > 128 for frame in frames]

    def right(weight):
        stream = make_segmentor(WaveringSegmentor(), max_interval_frames=1, history_weight=weight)
        labels = [stream.step(frame, i / 10).labels for i, frame in enumerate(frames)]
        return [(label == expected).mean() for label, expected in zip(labels, truth, strict=True)]

    assert min(right(0.0)) < 0.92
    assert min(right(0.5)) > 0.97


def test_another_scene_begins_without_a_history():
    other = np.random.default_rng(0).integers(0, 2, (3, 4, 1), np.uint8).repeat(32, axis=0).repeat(32, axis=1) * 200
    other = other.repeat(3, axis=-1)
    stream, plain = (make_segmentor(max_interval_frames=1, history_weight=weight) for weight in (1.0, 0.0))
    for i, frame in enumerate([scene(), scene(), other]):
        answer, expected = stream.step(frame, i / 10), plain.step(frame, i / 10)
    assert len(np.unique(expected.labels)) == 2 and (answer.labels == expected.labels).mean() > 0.97


def test_a_stream_that_starts_anew_forgets():
    stream, plain = remembering(WaveringSegmentor()), make_segmentor(WaveringSegmentor())
    for one in (stream, plain):
        one.step(scene(), 0.0)
        one.reset()
    assert torch.equal(stream.step(scene(), 0.1).best_scores(), plain.step(scene(), 0.1).best_scores())


def test_a_background_key_frame_has_the_history_of_its_own_frame():
    slow = FaultySegmentor(BrightnessSegmentor())
    streams = [remembering(max_interval_frames=3), remembering(slow, max_interval_frames=3, key_frames="async")]
    for i in range(6):
        for stream in streams:
            stream.step(scene(4 * i), i / 10)
        if i == 3:
            streams[1]._state.job.result()
    key_frames = [vars(stream._state.reference.key_frame).values() for stream in streams]
    for one, other in zip(*key_frames, strict=True):
        assert torch.equal(one, other) if isinstance(one, torch.Tensor) else one is other or np.array_equal(one, other)


def test_carrying_the_history_is_part_of_tracking(monkeypatch):
    """Tracked flow adds up: a frame must not be added twice, whatever its masks are wanted for."""
    tracked = []
    propagate = TrackedFlowPropagator.propagate
    monkeypatch.setattr(
        TrackedFlowPropagator,
        "propagate",
        lambda self, key_frame, frame, queries: tracked.append(id(frame)) or propagate(self, key_frame, frame, queries),
    )
    failing = FaultySegmentor(BrightnessSegmentor())
    stream = remembering(failing, max_interval_frames=3, retry_initial_s=0.1, retry_max_s=0.1)
    frames = [scene(i) for i in range(12)]
    for i, frame in enumerate(frames):
        failing.fault = "error" if 3 <= i < 6 else None
        stream.step(frame, i / 10)
    assert tracked == [id(frame) for frame in frames[1:]]


def test_key_frames_are_made_without_a_history_that_cannot_be_carried():
    stream = remembering(max_interval_frames=1)
    stream.propagator.propagate = lambda key_frame, frame, queries: torch.full((len(queries), 24, 32), torch.nan)
    for i in range(3):
        answer = stream.step(scene(), i / 10)
        assert answer.is_key_frame and (answer.labels == (scene().mean(axis=-1) > 128)).mean() > 0.97


def test_masks_that_are_too_old_to_answer_are_too_old_for_a_history():
    failing = FaultySegmentor(WaveringSegmentor())
    stream = remembering(failing, max_interval_frames=1, max_key_age_s=0.25, retry_initial_s=0.05, retry_max_s=0.05)
    stream.step(scene(), 0.0)
    failing.fault = "error"
    for i in (1, 2):
        assert stream.step(scene(), i / 10).fault
    failing.fault = None
    alone = make_segmentor(failing._working)
    failing._working.count = 1
    answer = stream.step(scene(), 0.3)
    failing._working.count = 1
    assert answer.is_key_frame and torch.equal(answer.best_scores(), alone.step(scene(), 0.0).best_scores())
