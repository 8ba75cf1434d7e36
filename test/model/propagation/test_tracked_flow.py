"""Flow that is added up from frame to frame, beside flow that is measured at once."""

from copy import copy

import cv2
import numpy as np
import pytest
import torch

from mpvss_model.propagation.optical_flow import DenseFlowPropagator, FineFlowPropagator, TrackedFlowPropagator
from test.brightness import BrightnessSegmentor

QUERIES = torch.arange(3)
PIXELS_PER_FRAME = 12


@pytest.fixture(scope="module")
def frames():
    """A camera that turns past bright and dark textures, uint8 RGB ``[128, 192, 3]``."""
    rng = np.random.default_rng(0)
    blobs = cv2.resize(rng.integers(0, 2, (8, 30), np.uint8) * 120, (480, 128), interpolation=cv2.INTER_CUBIC)
    texture = cv2.GaussianBlur(rng.integers(0, 130, (128, 480), np.uint8), (3, 3), 0)
    wall = np.repeat(cv2.add(blobs, texture)[..., None], 3, axis=2)
    return [np.ascontiguousarray(wall[:, i * PIXELS_PER_FRAME :][:, :192]) for i in range(12)]


def followed(propagator, key_frame, frames):
    return [propagator.propagate(key_frame, frame, QUERIES) for frame in frames]


def seen_in_both(masks, distance):
    """The part of the masks that the key frame shows, too."""
    return masks[..., : masks.shape[-1] - distance * PIXELS_PER_FRAME // 4]


def test_tracked_flow_follows_motion_that_is_too_large_to_measure_at_once(frames):
    segmentor, distance = BrightnessSegmentor(), 9
    key_frame = segmentor.segment(frames[0], 0.0)
    truth = seen_in_both(segmentor.segment(frames[distance], 0.0).mask_logits > 0, distance)

    def right(propagator):
        masks = followed(propagator, key_frame, frames[1 : distance + 1])[-1]
        return (seen_in_both(masks > 0, distance) == truth).float().mean().item()

    assert right(TrackedFlowPropagator()) > 0.95
    assert right(DenseFlowPropagator()) < 0.9


def test_both_are_the_same_one_frame_after_the_key_frame(frames):
    key_frame = BrightnessSegmentor().segment(frames[0], 0.0)
    (tracked,), (dense,) = (
        followed(propagator, key_frame, frames[1:2]) for propagator in (TrackedFlowPropagator(), DenseFlowPropagator())
    )
    assert torch.equal(tracked, dense)


def test_a_key_frame_that_comes_late_is_tracked_from_where_it_was_passed(frames):
    first, late = (BrightnessSegmentor().segment(frames[i], 0.0) for i in (0, 3))
    propagator = TrackedFlowPropagator()
    followed(propagator, first, frames[1:7])
    after = followed(propagator, late, frames[7:])
    in_time = followed(TrackedFlowPropagator(), late, frames[4:])[3:]
    assert all(map(torch.equal, after, in_time))


def test_a_key_frame_that_was_not_seen_begins_anew(frames):
    first, other = (BrightnessSegmentor().segment(frames[i], 0.0) for i in (0, 8))
    propagator = TrackedFlowPropagator()
    followed(propagator, first, frames[1:6])
    again = followed(propagator, other, frames[9:])
    assert all(map(torch.equal, again, followed(TrackedFlowPropagator(), other, frames[9:])))


def test_a_copy_goes_its_own_way(frames):
    key_frame = BrightnessSegmentor().segment(frames[0], 0.0)
    propagator = TrackedFlowPropagator()
    followed(propagator, key_frame, frames[1:4])
    followed(copy(propagator), key_frame, frames[8:])
    expected = followed(TrackedFlowPropagator(), key_frame, frames[1:6])[3:]
    assert all(map(torch.equal, followed(propagator, key_frame, frames[4:6]), expected))


def test_fine_flow_keeps_the_outline_of_something_small():
    """A post of 20 pixels, which is five cells of the masks, moves before a wall that stays."""
    rng = np.random.default_rng(1)
    wall, post = (cv2.GaussianBlur(rng.integers(0, 256, (128, 192, 3), np.uint8), (5, 5), 0) for _ in range(2))
    frames = [wall.copy() for _ in range(4)]
    for i, frame in enumerate(frames):
        frame[:, 64 + 4 * i : 84 + 4 * i] = post[:, 64:84]
    padding = BrightnessSegmentor().segment(frames[0], 0.0).padding
    is_post = np.zeros(48, bool)
    is_post[19:24] = True  # 76..95

    def error_px(propagator):
        flow_px = [propagator.flow_to_key(frames[0], frame, padding) for frame in frames[1:]][-1] * 4
        return np.abs(flow_px[4:-4, 14:30, 0] - np.where(is_post, -12, 0)[14:30]).mean()

    fine, coarse = error_px(FineFlowPropagator()), error_px(TrackedFlowPropagator())
    assert fine < 0.5 * coarse


def test_a_new_stream_keeps_the_resolution_of_its_flow():
    assert isinstance(FineFlowPropagator().for_new_stream(), FineFlowPropagator)


@pytest.mark.parametrize("size", [(97, 131), (5, 7), (64, 96)])
def test_fine_flow_has_the_masks_grid_at_any_size(size):
    key, frame = (np.random.default_rng(i).integers(0, 256, (*size, 3), np.uint8) for i in range(2))
    padding = BrightnessSegmentor().segment(key, 0.0).padding
    flow = FineFlowPropagator().flow_to_key(key, frame, padding)
    assert flow.shape == (*padding.mask_size, 2) and flow.dtype == np.float32 and np.isfinite(flow).all()


def test_fine_flow_is_in_pixels_of_the_masks_grid(frames):
    padding = BrightnessSegmentor().segment(frames[0], 0.0).padding
    flow = FineFlowPropagator().flow_to_key(frames[0], frames[1], padding)
    # The camera turns right: what is here now was further right in the key frame.
    assert np.median(flow[4:-4, 4:-8, 0]) == pytest.approx(PIXELS_PER_FRAME / 4, abs=0.1)
