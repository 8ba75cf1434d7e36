"""Boundary IoU (Cheng et al., CVPR 2021): how well the outlines of the classes are met, at any size of their regions."""

from __future__ import annotations

import cv2
import numpy as np

from mpvss_model.evaluation.metrics import check_pair, mean_of_known, share_of
from mpvss_model.semantics import UNLABELED

__all__ = ["DILATION_RATIO", "BoundaryIoU"]

# Width of the boundary in image diagonals, as in the authors' code.
DILATION_RATIO = 0.02


class BoundaryIoU:
    """IoU of the boundaries of each class, counted over any number of frames.

    A class's boundary are those of its pixels that are at most 2 % of the image diagonal, and at least one pixel, from a
    pixel that is not of the class or from the edge of the image, in rows and columns. Each pixel belongs to one class, so the
    boundaries of all classes are found at once: where not all labels around a pixel are the same.

    Pixels whose ground truth is 255 are ignored: the prediction is taken to be 255 there, too, so that the outline of what is
    ignored is the same in both.

    >>> metric = BoundaryIoU(num_classes=2)
    >>> metric.update(np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8))
    >>> metric.iou_per_class.tolist(), metric.miou
    ([0.5, 0.5], 0.5)

    Args:
        num_classes: ``C``, 1..255.
    """

    def __init__(self, num_classes: int) -> None:
        self._intersection = np.zeros(num_classes, np.int64)
        self._union = np.zeros(num_classes, np.int64)

    def update(self, prediction: np.ndarray, ground_truth: np.ndarray) -> None:
        """Count one frame, both uint8 ``[H, W]``.

        Raises:
            DataError: If the sizes differ.
        """
        check_pair(prediction, ground_truth)
        width_px = max(1, round(DILATION_RATIO * float(np.hypot(*ground_truth.shape))))
        prediction = np.where(ground_truth == UNLABELED, np.uint8(UNLABELED), prediction)
        predicted, true = (
            np.where(_on_boundary(labels, width_px), labels, UNLABELED) for labels in (prediction, ground_truth)
        )
        intersection = self._counts(predicted[predicted == true])
        self._intersection += intersection
        self._union += self._counts(predicted) + self._counts(true) - intersection

    @property
    def iou_per_class(self) -> np.ndarray:
        """Float64 ``[C]``; 0 for classes that are only predicted, nan for those that are nowhere."""
        return share_of(self._intersection, self._union)

    @property
    def miou(self) -> float:
        """Mean of the classes that ground truth or prediction contain; nan before the first."""
        return mean_of_known(self.iou_per_class)

    def _counts(self, labels: np.ndarray) -> np.ndarray:
        return np.bincount(labels.ravel(), minlength=UNLABELED + 1)[: len(self._union)]


def _on_boundary(labels: np.ndarray, width_px: int) -> np.ndarray:
    """Where a uint8 label map has another label, or its edge, so close: bool ``[H, W]``."""
    around = np.ones((2 * width_px + 1, 2 * width_px + 1), np.uint8)
    on_boundary = cv2.erode(labels, around) != cv2.dilate(labels, around)
    inside = np.zeros_like(on_boundary)
    inside[width_px:-width_px, width_px:-width_px] = True
    return on_boundary | ~inside
