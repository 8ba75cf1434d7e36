"""Pairs of frames whose flow is known exactly, made from one frame: a camera moves on, and something in its view by itself."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from scipy.linalg import fractional_matrix_power

from mpvss_model.semantics import UNLABELED

__all__ = ["SyntheticPair", "synthetic_pair"]

# Of the camera's motion between the frames.
FIELD_OF_VIEW_DEG = (45, 85)
MAX_TURN = 0.35  # moves the image's centre by so much of the view's width
TURN_POWER = 1.5  # small turns are more frequent
PITCH_STD_RAD, ROLL_STD_RAD = 0.02, 0.02
MAX_ZOOM = 1.25  # as by driving forward
# Of what moves by itself, relative to the frame's size.
MOVER_PROBABILITY = 0.5
MOVER_WIDTH, MOVER_HEIGHT = (0.08, 0.3), (0.15, 0.7)
# It may have the outline of something in the frame, if that is of such a share of it.
SEGMENT_PROBABILITY, SEGMENT_AREA = 0.5, (0.0005, 0.15)
MOVER_SHIFT_STD, MOVER_TURN_STD_RAD, MOVER_GROWTH_STD = 0.05, 0.05, 0.08


class SyntheticPair(NamedTuple):
    """A key frame and a later one.

    Attributes:
        key_image: uint8 RGB ``[H, W, 3]``.
        image: Likewise; what the key frame does not show is its reflection.
        label: uint8 ``[H, W]``, of ``image``; unlabeled where the key frame ends.
        flow_px: float32 ``[H, W, 2]``, x then y, from a pixel of ``image`` to its place in ``key_image``, or beyond its edge.
        between: The frames between the two, in order, as ``image``.
    """

    key_image: np.ndarray
    image: np.ndarray
    label: np.ndarray
    flow_px: np.ndarray
    between: list[np.ndarray]


def synthetic_pair(
    image: np.ndarray, label: np.ndarray, view_width_px: int, rng: np.random.Generator, *, steps: int = 1
) -> SyntheticPair:
    """Let the camera that took a frame, and perhaps an ellipse or a copy of a segment in its view, move on at random.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        label: Its label, uint8 ``[H, W]``.
        view_width_px: Of the part of the frame that is going to be used; decides how far the image moves.
        rng: Decides.
        steps: Frames that the motion takes, evenly: the last of them is the later one of the pair.
    """
    height, width = label.shape
    key_from_current = _camera_motion(width, height, view_width_px, rng)
    mover = _Mover.random(label, rng) if rng.random() < MOVER_PROBABILITY else None
    pixels = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32)  # [H, W, 2]
    cameras = _parts_of_motion(key_from_current, steps)
    if mover is None:
        views = [_Seen(in_key, in_key) for in_key in (cv2.perspectiveTransform(pixels, camera) for camera in cameras)]
    else:
        movements = zip(cameras, _parts_of_motion(mover.motion, steps), strict=True)
        views = [
            mover.shown(*(cv2.perspectiveTransform(pixels, m) for m in (camera, own @ camera))) for camera, own in movements
        ]
    *between, last = views
    key_image = image if mover is None else _sampled(image, mover.shown(pixels, pixels).in_frame)
    label = cv2.remap(label, last.in_frame, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT, borderValue=UNLABELED)
    return SyntheticPair(
        key_image,
        _sampled(image, last.in_frame),
        label,
        last.in_key - pixels,
        [_sampled(image, view.in_frame) for view in between],
    )


class _Seen(NamedTuple):
    """What a view shows: for each of its pixels, float32 ``[H, W, 2]``, x then y.

    Attributes:
        in_key: Its place in the key frame.
        in_frame: That of its content in the frame that all is made of.
    """

    in_key: np.ndarray
    in_frame: np.ndarray


def _parts_of_motion(motion: np.ndarray, steps: int) -> list[np.ndarray]:
    """The motion ``[3, 3]`` after each of so many even steps."""
    if steps == 1:
        return [motion]
    step = fractional_matrix_power(motion, 1 / steps).real
    return [*(np.linalg.matrix_power(step, count) for count in range(1, steps)), motion]


def _camera_motion(width: int, height: int, view_width_px: int, rng: np.random.Generator) -> np.ndarray:
    """Homography ``[3, 3]`` from pixels of the current to pixels of the key frame: a pinhole camera turned and came closer."""
    focal_px = width / (2 * np.tan(np.radians(rng.uniform(*FIELD_OF_VIEW_DEG)) / 2))
    turn_px = MAX_TURN * view_width_px * rng.uniform() ** TURN_POWER * rng.choice((-1, 1))
    pitch, roll = rng.normal(0, (PITCH_STD_RAD, ROLL_STD_RAD))
    zoom = MAX_ZOOM ** rng.triangular(-1, 0, 1)
    rotation = np.eye(3)
    for axis_angle in ((0, np.arctan(turn_px / focal_px), 0), (pitch, 0, 0), (0, 0, roll)):
        rotation = rotation @ cv2.Rodrigues(np.array(axis_angle, np.float64))[0]
    camera = np.array([[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]])
    return camera @ rotation @ np.diag([zoom, zoom, 1]) @ np.linalg.inv(camera)


class _Mover(NamedTuple):
    """An ellipse, or a copy of a segment, in front of the key frame that moves by itself.

    Attributes:
        center: In the key frame, ``[2]``, x then y.
        half_axes: Of an ellipse, likewise; None for a segment.
        outline: 1 where the frame shows the segment, uint8 ``[H, W]``; None for an ellipse.
        content_shift: From its pixels to those of the frame that it shows, float32 ``[2]``, whole numbers.
        motion: Affine ``[3, 3]``, from where it would be if only the camera moved to where it was.
    """

    center: np.ndarray
    half_axes: np.ndarray | None
    outline: np.ndarray | None
    content_shift: np.ndarray
    motion: np.ndarray

    @classmethod
    def random(cls, label: np.ndarray, rng: np.random.Generator) -> _Mover:
        """For a frame with this label, uint8 ``[H, W]``."""
        size = np.array(label.shape[::-1])
        center = rng.uniform(0, size)
        if (segment := _random_segment(label, rng) if rng.random() < SEGMENT_PROBABILITY else None) is not None:
            (outline, content_center), half_axes = segment, None
        else:
            outline, half_axes = None, size / 2 * (rng.uniform(*MOVER_WIDTH), rng.uniform(*MOVER_HEIGHT))
            content_center = rng.uniform(half_axes, size - half_axes)
        content_shift = (content_center - center).round().astype(np.float32)
        motion = np.eye(3)
        turn_deg, scale = np.degrees(rng.normal(0, MOVER_TURN_STD_RAD)), np.exp(rng.normal(0, MOVER_GROWTH_STD))
        motion[:2] = cv2.getRotationMatrix2D(center, turn_deg, scale)
        motion[:2, 2] += rng.normal(0, MOVER_SHIFT_STD, 2) * size
        return cls(center, half_axes, outline, content_shift, motion)

    def shown(self, in_key: np.ndarray, in_mover: np.ndarray) -> _Seen:
        """A view in which it stands before what is at ``in_key``, and its own pixels were at ``in_mover`` in the key frame."""
        is_mover = self.covers(in_mover)
        in_key = np.where(is_mover, in_mover, in_key)
        return _Seen(in_key, np.where(is_mover, in_mover + self.content_shift, in_key))

    def covers(self, points: np.ndarray) -> np.ndarray:
        """Whether it covers points ``[H, W, 2]`` of the key frame, ``[H, W, 1]``."""
        if self.outline is not None:
            return cv2.remap(self.outline, points + self.content_shift, None, cv2.INTER_NEAREST)[..., None] > 0
        x, y = np.moveaxis((points - self.center.astype(np.float32)) / self.half_axes.astype(np.float32), -1, 0)
        return (x * x + y * y <= 1)[..., None]


def _random_segment(label: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Something in one piece that the frame shows: its outline, and the center of its box, x then y.

    None if what was drawn is too large or too small.
    """
    classes = np.unique(label)
    if not (classes := classes[classes != UNLABELED]).size:
        return None
    of_class = (label == rng.choice(classes)).astype(np.uint8)
    count, pieces, stats, _ = cv2.connectedComponentsWithStats(of_class)
    piece = int(rng.integers(1, count))
    left, top, width, height, area = stats[piece]
    low, high = SEGMENT_AREA
    if not low <= area / label.size <= high:
        return None
    return (pieces == piece).astype(np.uint8), np.array([left + width / 2, top + height / 2])


def _sampled(image: np.ndarray, positions: np.ndarray) -> np.ndarray:
    return cv2.remap(image, positions, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
