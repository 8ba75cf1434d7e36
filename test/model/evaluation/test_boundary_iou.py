from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from mpvss_model.errors import DataError
from mpvss_model.evaluation.boundary_iou import DILATION_RATIO, BoundaryIoU


def columns(*classes: int, height: int = 6) -> np.ndarray:
    return np.tile(np.array(classes, np.uint8), (height, 1))


def defined(prediction: np.ndarray, truth: np.ndarray, value: int) -> tuple[int, int]:
    """Intersection and union of one class's boundaries, by the paper's definition: a mask without its erosion."""
    width_px = max(1, round(DILATION_RATIO * math.hypot(*truth.shape)))
    boundaries = []
    for labels in (np.where(truth == 255, 255, prediction), truth):
        mask = cv2.copyMakeBorder((labels == value).astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
        eroded = cv2.erode(mask, np.ones((3, 3), np.uint8), iterations=width_px)
        boundaries.append((mask - eroded)[1:-1, 1:-1].astype(bool))
    return np.logical_and(*boundaries).sum(), np.logical_or(*boundaries).sum()


def test_a_hand_computed_case():
    metric = BoundaryIoU(num_classes=3)
    metric.update(columns(0, 0, 0, 0, 1, 1), columns(0, 0, 0, 1, 1, 1))
    # Class 0: 14 pixels of the truth and 16 predicted ones have 10 in common; class 1: 14 and 12 have 8.
    np.testing.assert_allclose(metric.iou_per_class, [10 / 20, 8 / 18, np.nan])
    assert metric.miou == pytest.approx((10 / 20 + 8 / 18) / 2)


def test_frames_add_up_and_what_is_ignored_or_only_predicted_counts_as_in_miou():
    metric = BoundaryIoU(num_classes=3)
    metric.update(columns(0, 0, 0), columns(0, 0, 0))
    assert metric.miou == 1.0
    metric.update(columns(1, 1, 1), columns(255, 255, 255))
    assert metric.miou == 1.0, "predictions on ignored pixels are none"
    metric.update(columns(2, 2, 2), columns(0, 0, 0))
    # 16 of 18 pixels of each frame are at most 1 from its edge.
    np.testing.assert_allclose(metric.iou_per_class, [1 / 2, np.nan, 0])
    assert metric.miou == pytest.approx(1 / 4)


@pytest.mark.parametrize("size", [(40, 50), (120, 160), (3, 200)])
def test_all_classes_at_once_are_the_definition_class_by_class(size):
    rng = np.random.default_rng(0)
    metric, expected = BoundaryIoU(num_classes=4), np.zeros((4, 2))
    for _ in range(2):
        coarse = rng.choice([0, 1, 2, 3, 255], (2, 4, 5)).astype(np.uint8)
        prediction, truth = (cv2.resize(labels, size[::-1], interpolation=cv2.INTER_NEAREST) for labels in coarse)
        metric.update(prediction, truth)
        expected += [defined(prediction, truth, value) for value in range(4)]
    np.testing.assert_allclose(metric.iou_per_class, expected[:, 0] / expected[:, 1])


def test_nothing_labelled_is_nan_and_sizes_must_fit():
    metric = BoundaryIoU(num_classes=2)
    assert math.isnan(metric.miou) and np.isnan(metric.iou_per_class).all()
    with pytest.raises(DataError, match=r"prediction has \(6, 2\) pixels and the ground truth \(6, 1\)"):
        metric.update(columns(0, 0), columns(0))
