"""Frames are resized for the network and everything behind it; labels come back at the frame's size."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpvss_model import CheckpointError, ConfigError, StreamConfig, VideoSegmentor
from mpvss_model.image import FramePadding, resized
from mpvss_model.semantics import best_labels, class_scores, label_map
from test.brightness import BrightnessSegmentor, make_segmentor, scene

SIZE = (288, 384)


def large_scene(shift_px=0, size=SIZE):
    return cv2.resize(scene(shift_px), size[::-1], interpolation=cv2.INTER_LINEAR)


def halves(border, size=(256, 384)):
    """Dark and bright, as far from the segmentor's middle each."""
    image = np.full((*size, 3), 28, np.uint8)
    image[:, border:] = 228
    return image


@pytest.mark.parametrize("border", [64, 160, 320])
def test_borders_come_back_at_their_pixel(border):
    stream = make_segmentor(inference_size=64)
    for i in range(3):
        labels = stream.step(halves(border), i / 10).labels
        np.testing.assert_array_equal(labels, np.broadcast_to(np.arange(384) >= border, (256, 384)))


def test_a_key_frame_is_what_the_segmentor_sees_of_the_resized_frame_upsampled():
    frame = large_scene(size=(285, 391))
    key = BrightnessSegmentor().segment(resized(frame, (96, 132)), 0.0)
    expected = label_map(class_scores(key.mask_logits, key.class_logits, key.padding, (285, 391)))
    answer = make_segmentor(inference_size=96, query_tolerance=0.0).step(frame, 0.0)
    np.testing.assert_array_equal(answer.labels, expected)
    assert answer.confidence.shape == (285, 391)


@pytest.mark.parametrize("settings", [{}, {"history_weight": 0.5}, {"motion_threshold": 0.01, "max_interval_frames": 100}])
def test_everything_but_the_last_step_happens_at_the_size_of_inference(settings):
    config = {"max_interval_frames": 4, **settings}
    large, small = make_segmentor(inference_size=96, **config), make_segmentor(**config)
    for i in range(12):
        frame = large_scene(3 * i)
        answer, expected = large.step(frame, i / 10), small.step(resized(frame, (96, 128)), i / 10)
        assert (answer.is_key_frame, answer.key_frame_reason) == (expected.is_key_frame, expected.key_frame_reason)
        assert answer.motion == expected.motion
        segments = expected.evidence._scores
        labels = best_labels(segments.mask_logits, segments.class_logits, segments.padding, SIZE)
        np.testing.assert_array_equal(answer.labels, labels)
        assert (answer.labels == (cv2.resize(frame, SIZE[::-1]).mean(axis=-1) > 128)).mean() > 0.97


def test_key_frames_in_the_background_are_of_resized_frames_too():
    stream = make_segmentor(key_frames="async", inference_size=96, max_interval_frames=2)
    for i in range(6):
        answer = stream.step(large_scene(), i / 10)
        assert answer.labels.shape == SIZE
        if stream._state.job is not None:
            stream._state.job.result()
    assert stream._state.reference.key_frame.image.shape == (96, 128, 3) and answer.key_stamp_s > 0.0


@pytest.mark.parametrize("frame_size", [(96, 128), (333, 131), (131, 333), (32, 32), (33, 400), (16, 20)])
@pytest.mark.parametrize("inference_size", [32, 47, 200])
def test_frames_of_any_size_get_labels_of_that_size(frame_size, inference_size):
    stream = make_segmentor(inference_size=inference_size)
    frame = np.random.default_rng(0).integers(0, 255, (*frame_size, 3), np.uint8)
    for i in range(2):
        answer = stream.step(frame, i / 10)
        assert answer.labels.shape == answer.confidence.shape == frame_size
        assert min(stream._state.reference.key_frame.image.shape[:2]) == inference_size


def test_an_answer_that_is_kept_has_the_confidence_that_it_had():
    asked_at_once, asked_later = (make_segmentor(inference_size=96, max_interval_frames=2) for _ in range(2))
    expected = [asked_at_once.step(large_scene(i), i / 10).confidence for i in range(5)]
    kept = [asked_later.step(large_scene(i), i / 10) for i in range(5)]
    for answer, confidence in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(answer.confidence, confidence)
        assert answer.best_scores().shape == SIZE


def test_another_size_starts_the_stream_anew():
    stream = make_segmentor(max_interval_frames=100, inference_size=96)
    stream.step(large_scene(), 0.0)
    assert not stream.step(large_scene(), 0.1).is_key_frame
    stream.config = replace(stream.config, inference_size=144)
    answer = stream.step(large_scene(), 0.2)
    assert answer.is_key_frame and answer.restart_reason.value == "inference size changed"
    stream.config = replace(stream.config, inference_size=0)
    assert stream.step(large_scene(), 0.3).restart_reason.value == "inference size changed"
    stream.config = replace(stream.config, inference_size=288)  # the frame's own
    assert not stream.step(large_scene(), 0.4).is_key_frame


@pytest.mark.parametrize(
    "inference_size, recommended, frame_size, expected",
    [
        (0, 240, (480, 640), (480, 640)),
        (-1, 0, (480, 640), (480, 640)),
        (-1, 240, (480, 640), (240, 320)),
        (-1, 240, (1920, 1080), (427, 240)),
        (-1, 240, (120, 160), (120, 160)),
        (240, 0, (120, 160), (240, 320)),
        (480, 240, (1080, 1920), (480, 853)),
        (33, 0, (97, 97), (33, 33)),
    ],
)
def test_a_size_is_given_or_recommended(inference_size, recommended, frame_size, expected):
    config = StreamConfig(inference_size=inference_size)
    assert config.inference_frame_size(frame_size, recommended=recommended) == expected


@pytest.mark.parametrize("size", [31, 1, -2, 5000, 240.0])
def test_a_size_that_no_network_can_use_is_refused(size):
    with pytest.raises(ConfigError) as refusal:
        StreamConfig(inference_size=size)
    allowed = "-1, 0 or a whole number of at least 32 and at most 4320"
    assert str(refusal.value) == f"inference_size must be {allowed}, got {size!r}"


def test_an_image_that_shows_a_frame_at_another_size_gets_the_frames_labels():
    whole, reduced = (make_segmentor(inference_size=96, max_interval_frames=4) for _ in range(2))
    for i in range(6):
        frame = large_scene(3 * i)
        expected, answer = whole.step(frame, i / 10), reduced.step(resized(frame, (96, 128)), i / 10, frame_size=SIZE)
        np.testing.assert_array_equal(answer.labels, expected.labels)
        np.testing.assert_array_equal(answer.confidence, expected.confidence)
        assert answer.motion == expected.motion
    assert reduced.step(resized(frame, (96, 128)), 1.0, frame_size=(144, 192)).restart_reason.value == "frame size changed"


def recommending(checkpoint, folder, size):
    model = Path(shutil.copytree(checkpoint, folder / "model"))
    config = json.loads((model / "config.json").read_text()) | {"inference_size": size}
    (model / "config.json").write_text(json.dumps(config))
    return str(model)


@pytest.mark.parametrize("kind", ["tiny_checkpoint", "tiny_motion_checkpoint"])
def test_a_model_recommends_a_size_and_its_streams_take_it(kind, request, tmp_path):
    model = recommending(request.getfixturevalue(kind), tmp_path, 48)
    stream = VideoSegmentor.from_pretrained(model, device="cpu")
    stream.warm_up()
    frame = np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8)
    for other in (stream, stream.new_stream()):
        assert other.step(frame, 0.0).labels.shape == (96, 128)
        assert other._state.reference.key_frame.padding == FramePadding(48, 64)
    own = stream.new_stream(StreamConfig(inference_size=0))
    own.step(frame, 0.0)
    assert own._state.reference.key_frame.padding == FramePadding(96, 128)


@pytest.mark.parametrize("size", [7, -1, "240", 240.5, True])
def test_a_recommendation_that_is_no_size_is_refused_by_name(tiny_checkpoint, tmp_path, size):
    model = recommending(tiny_checkpoint, tmp_path, size)
    with pytest.raises(CheckpointError) as refusal:
        VideoSegmentor.from_pretrained(model, device="cpu")
    expected = f"config.json of model {model!r}: inference_size must be 0 or a whole number of at least 32 and at most 4320"
    assert str(refusal.value) == f"{expected}, got {size!r}"
