from dataclasses import replace

import cv2
import numpy as np
import pytest
import torch

from mpvss_model import ConfigError, FrameError, StreamConfig, VideoSegmentor
from mpvss_model.image import FramePadding
from mpvss_model.motion.dense import DenseFlowPropagator
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.video_segmentor import resolve_device


class BrightnessSegmentor:
    """Class 1 where the image is bright, class 0 elsewhere: a segmentor whose truth is known."""

    class_names = ("dark", "bright")
    name = "brightness"
    device = torch.device("cpu")
    dtype = "float32"
    error: Exception | None = None

    def segment(self, frame, stamp_s):
        if self.error is not None:
            raise self.error
        padding = FramePadding(*frame.shape[:2])
        gray = padding.pad(torch.from_numpy(frame).float().mean(dim=-1)[None, None])
        bright = torch.nn.functional.avg_pool2d(gray, 4)[0, 0] / 8 - 16
        class_logits = torch.tensor([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
        masks = torch.stack([-bright, bright, bright])
        return KeyFrame(frame, stamp_s, padding, masks, class_logits, torch.zeros(3, 8))


def make_segmentor(**config):
    return VideoSegmentor(
        segmentor=BrightnessSegmentor(), propagator=DenseFlowPropagator(), config=StreamConfig(**config)
    )


def scene(shift_px=0, size=(96, 128)):
    """A bright textured square on a dark textured ground, moved to the right."""
    noise = np.random.default_rng(1).integers(0, 70, (*size, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (5, 5), 0)
    image[32:64, 32:64] = 200 + image[32:64, 32:64] // 2
    return np.roll(image, shift_px, axis=1)


def test_every_interval_th_frame_is_a_key_frame():
    segmentor = make_segmentor(max_interval_frames=3)
    results = [segmentor.step(scene(), i / 10) for i in range(7)]
    assert [r.is_key_frame for r in results] == [True, False, False, True, False, False, True]
    assert [r.key_stamp_s for r in results] == [0.0, 0.0, 0.0, 0.3, 0.3, 0.3, 0.6]
    assert [r.key_frame_reason.value for r in results[:4]] == ["first", "first", "first", "interval"]
    assert all(r.is_from_new_key_frame == r.is_key_frame for r in results)


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
        assert 0.0 <= result.confidence.min() and result.confidence.max() <= 1.0


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
