from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model import ConfigError, FrameError
from mpvss_model.propagation.optical_flow import DenseFlowPropagator, TrackedFlowPropagator
from mpvss_model.semantics import best_labels, best_scores, relevant_queries
from mpvss_model.stream.video_segmentor import resolve_device
from test.brightness import BrightnessSegmentor, make_segmentor, scene


def test_every_interval_th_frame_is_a_key_frame():
    segmentor = make_segmentor(max_interval_frames=3)
    results = [segmentor.step(scene(), i / 10) for i in range(7)]
    assert [r.is_key_frame for r in results] == [True, False, False, True, False, False, True]
    assert [r.key_stamp_s for r in results] == [0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.6]
    assert [r.key_frame_reason.value for r in results[:4]] == ["first", "first", "first", "interval"]
    assert all(r.is_from_new_key_frame == r.is_key_frame for r in results)


def test_each_frame_gets_what_propagation_from_its_key_frame_gives():
    stream, segmentor, propagator = make_segmentor(max_interval_frames=4), BrightnessSegmentor(), TrackedFlowPropagator()
    for i in range(10):
        if i % 4 == 0:
            key = segmentor.segment(scene(3 * i), 0.0)
        queries = relevant_queries(key.mask_logits, key.class_logits, stream.config.query_tolerance)
        masks = propagator.propagate(key, scene(3 * i), queries) if i % 4 else key.mask_logits[queries]
        expected = masks, key.class_logits[queries], key.padding
        answer = stream.step(scene(3 * i), i / 10)
        assert torch.equal(answer.best_scores(), best_scores(*expected))
        np.testing.assert_array_equal(answer.labels, best_labels(*expected))


def test_an_interval_of_one_segments_every_frame():
    segmentor = make_segmentor(max_interval_frames=1)
    assert all(segmentor.step(scene(), i / 10).is_key_frame for i in range(3))


def test_labels_follow_the_motion():
    segmentor = make_segmentor(max_interval_frames=10)
    segmentor.step(scene(), 0.0)
    propagated = segmentor.step(scene(shift_px=6), 0.1)
    truth = scene(shift_px=6).mean(axis=-1) > 128
    assert not propagated.is_key_frame
    assert (propagated.labels == truth).mean() > 0.985
    assert (propagated.labels == truth).mean() > (make_segmentor().step(scene(), 0.0).labels == truth).mean()


@pytest.mark.parametrize("size", [(96, 128), (97, 131), (16, 16), (17, 250)])
def test_any_frame_size_gives_labels_of_that_size(size):
    segmentor = make_segmentor()
    frame = np.random.default_rng(0).integers(0, 255, (*size, 3), np.uint8)
    for i in range(2):
        result = segmentor.step(frame, i / 10)
        assert result.labels.shape == size and result.labels.dtype == np.uint8
        assert result.confidence.shape == size and result.confidence.dtype == np.float32
        assert result.confidence.min() >= 0.0 and result.confidence.max() <= 1.0


def test_confidence_falls_as_the_key_frame_ages():
    segmentor = make_segmentor(max_interval_frames=100, max_key_age_s=2.0)
    means = [segmentor.step(scene(), i * 0.4).confidence.mean() for i in range(5)]
    assert means == sorted(means, reverse=True) and means[-1] < 0.3 * means[0]


def test_a_key_frame_that_is_too_old_is_replaced():
    segmentor = make_segmentor(max_interval_frames=100, max_key_age_s=1.0)
    reasons = [segmentor.step(scene(), i * 0.5).key_frame_reason for i in range(3)]
    assert [r.value for r in reasons] == ["first", "first", "time"]


@pytest.mark.parametrize(
    "frame, stamp_s",
    [(scene(), 0.05), (scene(), 2.2), (scene(size=(64, 128)), 0.2)],
    ids=["stamp goes back", "long gap", "new size"],
)
def test_a_break_in_the_stream_starts_it_anew(frame, stamp_s):
    segmentor = make_segmentor(max_interval_frames=100, max_key_age_s=2.0)
    segmentor.step(scene(), 0.0)
    segmentor.step(scene(), 0.1)
    result = segmentor.step(frame, stamp_s)
    assert result.is_key_frame and result.key_frame_reason.value == "reset"


@pytest.mark.parametrize(
    "frame, stamp_s, reason",
    [
        (scene(), 0.1, "duplicate stamp"),
        (scene(), float("nan"), "invalid stamp"),
        (scene()[..., 0], 0.2, "wrong layout"),
    ],
)
def test_a_refused_frame_leaves_the_stream_as_it_was(frame, stamp_s, reason):
    segmentor = make_segmentor(max_interval_frames=3)
    segmentor.step(scene(), 0.0)
    segmentor.step(scene(), 0.1)
    with pytest.raises(FrameError) as refusal:
        segmentor.step(frame, stamp_s)
    assert refusal.value.reason == reason
    assert not segmentor.step(scene(), 0.2).is_key_frame
    assert segmentor.step(scene(), 0.3).is_key_frame


def test_a_key_frame_can_be_requested_and_the_stream_reset():
    segmentor = make_segmentor(max_interval_frames=100)
    segmentor.step(scene(), 0.0)
    segmentor.request_key_frame()
    assert segmentor.step(scene(), 0.1).key_frame_reason.value == "request"
    assert not segmentor.step(scene(), 0.2).is_key_frame
    segmentor.reset()
    assert segmentor.step(scene(), 0.3).key_frame_reason.value == "reset"


def test_the_interval_may_change_between_frames():
    segmentor = make_segmentor(max_interval_frames=100)
    segmentor.step(scene(), 0.0)
    segmentor.config = replace(segmentor.config, max_interval_frames=1)
    assert segmentor.step(scene(), 0.1).is_key_frame


def test_warming_up_leaves_no_trace():
    segmentor = make_segmentor()
    segmentor.warm_up()
    assert segmentor.step(scene(), 0.0).key_frame_reason.value == "first"


@pytest.mark.parametrize("device", ["cuda:7", "tpu", "", "gpu"])
def test_a_device_that_does_not_exist_is_refused(device):
    with pytest.raises(ConfigError, match=f"device '{device}' does not exist; this machine has cpu"):
        resolve_device(device)


def answers(segmentor, frames):
    return [segmentor.step(frame, i / 15) for i, frame in enumerate(frames)]


def reasons(segmentor, frames):
    return [answer.key_frame_reason.value for answer in answers(segmentor, frames) if answer.is_key_frame]


def motion_triggered(**config):
    return make_segmentor(**{"max_interval_frames": 1000, "motion_threshold": 0.05, "max_key_age_s": 100.0, **config})


def noisy(frame, seed):
    return np.clip(frame + np.random.default_rng(seed).normal(0, 10, frame.shape), 0, 255).astype(np.uint8)


def exposed(frame, gain):
    return np.clip(frame * gain, 0, 255).astype(np.uint8)


def test_a_robot_that_stands_still_needs_no_key_frames():
    assert reasons(motion_triggered(), [noisy(scene(), seed) for seed in range(60)]) == ["first"]


def test_the_camera_s_exposure_alone_is_no_motion():
    assert reasons(motion_triggered(), [exposed(scene(), 1.0 - i / 100) for i in range(50)]) == ["first"]


def test_a_turn_makes_key_frames_and_a_fast_one_more():
    slow, fast = (reasons(motion_triggered(), [scene(speed * i) for i in range(30)]) for speed in (2, 8))
    assert 1 < len(slow) < len(fast)
    assert set(slow[1:]) == set(fast[1:]) == {"motion"}


def test_what_little_is_wrong_is_put_right_when_it_stays():
    made = answers(motion_triggered(), [scene(12 * (i > 0)) for i in range(100)])
    assert [answer.is_key_frame for answer in made].count(True) == 2
    assert made[-1].motion == 0.0


def test_a_cut_makes_a_key_frame_at_once_also_within_the_shortest_interval():
    other = np.ascontiguousarray(np.rot90(scene(size=(128, 96))))[:, ::-1].copy()
    other[::8], other[:, ::8] = 255, 0
    segmentor = motion_triggered(min_interval_s=50.0, motion_threshold=1.0)
    made = answers(segmentor, [scene(), scene(), other, other])
    assert [answer.is_key_frame for answer in made] == [True, False, True, False]
    assert made[2].key_frame_reason.value == "motion"


def test_key_frames_keep_the_shortest_interval():
    made = answers(motion_triggered(min_interval_s=0.4, motion_threshold=0.001), [scene(2 * i) for i in range(60)])
    stamps_s = [answer.stamp_s for answer in made if answer.is_key_frame]
    assert len(stamps_s) > 3 and np.diff(stamps_s).min() >= 0.4 - 1e-9


def test_confidence_falls_where_the_warp_does_not_explain_the_image():
    segmentor = make_segmentor(max_interval_frames=100, max_key_age_s=1e6)
    segmentor.step(scene(), 0.0)
    appeared = scene()
    appeared[8:24, 90:120] = 255
    before, after = segmentor.step(scene(), 0.1), segmentor.step(appeared, 0.2)
    assert after.motion > before.motion == 0.0
    assert after.confidence[10:22, 95:115].mean() < 0.5 * before.confidence[10:22, 95:115].mean()
    np.testing.assert_allclose(after.confidence[72:, :60], before.confidence[72:, :60], atol=0.05)


def test_confidence_is_that_of_its_own_frame_also_when_asked_for_later():
    asked_at_once, asked_later = make_segmentor(max_interval_frames=2), make_segmentor(max_interval_frames=2)
    frames = [scene(5 * i) for i in range(6)]
    expected = [asked_at_once.step(frame, i / 10).confidence for i, frame in enumerate(frames)]
    later = [asked_later.step(frame, i / 10) for i, frame in enumerate(frames)]
    for answer, confidence in zip(reversed(later), reversed(expected), strict=True):
        np.testing.assert_array_equal(answer.confidence, confidence)


def test_streams_of_one_model_keep_apart():
    front = make_segmentor(max_interval_frames=3)
    rear = front.new_stream(replace(front.config, max_interval_frames=2))
    alone = make_segmentor(max_interval_frames=2)
    for i in range(7):
        one = front.step(scene(size=(64, 96)), i / 10)
        other, expected = rear.step(scene(3 * i), 50 + i / 20), alone.step(scene(3 * i), 50 + i / 20)
        assert one.key_stamp_s == pytest.approx(i // 3 * 0.3)
        assert other.key_stamp_s == expected.key_stamp_s
        np.testing.assert_array_equal(other.labels, expected.labels)
    front.reset()
    assert not rear.step(scene(), 50.35).is_key_frame


def test_warming_up_covers_the_size_asked_for_and_begins_nothing():
    segmentor = make_segmentor(key_frames="async", max_interval_frames=1)
    seen = []
    propagate = segmentor.propagator.propagate
    segmentor.propagator.propagate = lambda key_frame, frame, queries: (
        seen.append(frame.shape) or propagate(key_frame, frame, queries)
    )
    segmentor.warm_up(size=(48, 64))
    assert seen == [(48, 64, 3)]


@pytest.mark.parametrize("propagator, most", [(DenseFlowPropagator, 0.5), (TrackedFlowPropagator, 0.8)])
def test_key_frames_by_motion_beat_as_many_fixed_ones_when_a_robot_stops_and_goes(propagator, most):
    """The background comes into view as the camera turns, so that its masks cannot come from the key frame."""
    ground = np.random.default_rng(5).integers(0, 2, (12, 90, 1), np.uint8).repeat(8, axis=0).repeat(8, axis=1) * 200 + 20
    positions_px = [0] * 20 + list(range(0, 80, 4)) + [80] * 23 + list(range(80, 160, 4)) + [160] * 21
    frames = [ground[:, x : x + 128].repeat(3, axis=-1) for x in positions_px]

    def run(segmentor):
        segmentor.propagator = propagator()
        made = answers(segmentor, frames)
        wrong = np.mean([(answer.labels != (frame[..., 0] > 128)).mean() for answer, frame in zip(made, frames, strict=True)])
        return [answer.is_key_frame for answer in made].count(True), wrong

    fixed_count, fixed_wrong = run(make_segmentor(max_interval_frames=6, max_key_age_s=100.0))
    motion_count, motion_wrong = run(motion_triggered(motion_threshold=0.02))
    assert motion_count <= fixed_count and motion_wrong < most * fixed_wrong
