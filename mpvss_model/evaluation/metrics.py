"""The benchmarks' metrics: mIoU, weighted IoU and video consistency, streaming in constant memory."""

from __future__ import annotations

import numpy as np

from mpvss_model.errors import DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["ConfusionMatrix", "VideoConsistency", "check_pair", "mean_of_known", "share_of"]

# Video consistency leaves out videos that are not longer than this.
MAX_IGNORED_FRAMES = 16


def share_of(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """Counts divided by others, float64; nan where those are 0."""
    return np.where(whole > 0, part / np.maximum(whole, 1), np.nan)


def mean_of_known(values: np.ndarray) -> float:
    """Mean of the values that are not nan; nan if all are."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")


class ConfusionMatrix:
    """Counts pixels by ground-truth and predicted class, over any number of frames.

    Pixels whose ground truth is 255 are ignored. A pixel predicted as 255 is a miss of its class and no other class's
    false positive.

    >>> matrix = ConfusionMatrix(num_classes=3)
    >>> matrix.update(np.array([[0, 1, 1]], np.uint8), np.array([[0, 0, 1]], np.uint8))
    >>> matrix.iou_per_class.tolist(), matrix.miou
    ([0.5, 0.5, nan], 0.5)

    Attributes:
        counts: int64 ``[C, C + 1]``, pixels by ground truth and prediction; the last column counts predictions of 255.

    Args:
        num_classes: ``C``, 1..255.

    Raises:
        ValueError: If the number of classes is out of range.
    """

    def __init__(self, num_classes: int) -> None:
        if not 1 <= num_classes <= UNLABELED:
            raise ValueError(f"num_classes must be 1..{UNLABELED}, got {num_classes}")
        self.counts = np.zeros((num_classes, num_classes + 1), np.int64)

    def update(self, prediction: np.ndarray, ground_truth: np.ndarray) -> None:
        """Count one frame, both uint8 ``[H, W]``.

        Raises:
            DataError: If the sizes differ or a label is neither a class nor 255.
        """
        check_pair(prediction, ground_truth)
        pairs = np.bincount((ground_truth.astype(np.int32) << 8 | prediction).ravel(), minlength=1 << 16).reshape(256, 256)
        num_classes = len(self.counts)
        for name, pixels in (("ground truth", pairs.sum(axis=1)), ("prediction", pairs.sum(axis=0))):
            unknown = [value for value in np.flatnonzero(pixels).tolist() if num_classes <= value < UNLABELED]
            if unknown:
                raise DataError(
                    f"{name} holds the labels {unknown}; expected 0..{num_classes - 1}, or {UNLABELED} for unlabeled"
                )
        self.counts += np.hstack([pairs[:num_classes, :num_classes], pairs[:num_classes, UNLABELED:]])

    @property
    def iou_per_class(self) -> np.ndarray:
        """Intersection over union, float64 ``[C]``; 0 for classes that are only predicted, nan for those that are nowhere."""
        intersection, in_truth = np.diag(self.counts), self.counts.sum(axis=1)
        return share_of(intersection, in_truth + self.counts[:, :-1].sum(axis=0) - intersection)

    @property
    def miou(self) -> float:
        """Mean IoU of the classes that ground truth or prediction contain, as in the released MPVSS; nan before the first."""
        return mean_of_known(self.iou_per_class)

    @property
    def weighted_iou(self) -> float:
        """Mean IoU, each class weighted by its pixels in the ground truth; nan before the first labelled pixel."""
        in_truth = self.counts.sum(axis=1)
        present = in_truth > 0
        return float(np.average(self.iou_per_class[present], weights=in_truth[present])) if present.any() else float("nan")

    @property
    def accuracy_per_class(self) -> np.ndarray:
        """Share of each class's pixels that are predicted as it, float64 ``[C]``; nan where the ground truth has none."""
        return share_of(np.diag(self.counts), self.counts.sum(axis=1))

    @property
    def pixel_accuracy(self) -> float:
        """Share of the labelled pixels that are right; nan before the first."""
        return float(np.trace(self.counts) / self.counts.sum()) if self.counts.any() else float("nan")

    @property
    def mean_accuracy(self) -> float:
        """Mean of the accuracies of the classes that the ground truth contains; nan before the first labelled pixel."""
        return mean_of_known(self.accuracy_per_class)

    @property
    def pixel_shares(self) -> np.ndarray:
        """Share of the labelled pixels that each class has in the ground truth, float64 ``[C]``; nan before the first."""
        return share_of(self.counts.sum(axis=1), self.counts.sum())


class VideoConsistency:
    """VC_n (Miao et al., VSPW, CVPR 2021): does the prediction stay the same where the ground truth does?

    In each window of ``n`` consecutive frames, ``G`` holds the pixels whose ground truth does not change and ``P`` those
    whose prediction does not; the window's accuracy is ``|G and P| / |G|``. The result is the mean over the windows of all
    videos, pooled. As in the benchmark's own evaluation, videos of at most 16 frames and the last window of each video are
    left out, unlabeled pixels count like any others, and the prediction is not compared with the ground truth.

    Only the last frame and, for each pixel, the number of frames since its last change are kept.

    Args:
        window_frames: ``n``, at least 2; 8 and 16 are customary.

    Raises:
        ValueError: If the window is too short.
    """

    def __init__(self, window_frames: int) -> None:
        if window_frames < 2:
            raise ValueError(f"window_frames must be at least 2, got {window_frames}")
        self.window_frames = window_frames
        self.accuracy_sum = 0.0
        self.windows = 0
        self.start_video()

    def start_video(self) -> None:
        """Say that the next frame belongs to another video."""
        self._runs: tuple[_ConstantRun, _ConstantRun] | None = None  # of predictions, and of the ground truth
        self._frames = 0
        self._pending: list[float] = []

    def update(self, prediction: np.ndarray, ground_truth: np.ndarray) -> None:
        """Add the next frame of the video, both uint8 ``[H, W]``.

        Raises:
            DataError: If the sizes differ from each other or from those of the video's earlier frames.
        """
        check_pair(prediction, ground_truth)
        if self._frames >= MAX_IGNORED_FRAMES:
            self.accuracy_sum += sum(self._pending)
            self.windows += len(self._pending)
            self._pending = []
        if self._runs is None:
            self._runs = _ConstantRun(prediction), _ConstantRun(ground_truth)
        else:
            for run, labels in zip(self._runs, (prediction, ground_truth), strict=True):
                run.update(labels)
        self._frames += 1
        prediction_run, truth_run = self._runs
        unchanged_truth = truth_run.frames >= self.window_frames
        pixels = np.count_nonzero(unchanged_truth)
        if pixels:
            kept = np.count_nonzero(unchanged_truth & (prediction_run.frames >= self.window_frames))
            self._pending.append(kept / pixels)

    @property
    def value(self) -> float:
        """Mean accuracy of the windows so far, 0..1; nan before the first."""
        return self.accuracy_sum / self.windows if self.windows else float("nan")


class _ConstantRun:
    """For each pixel of a video, over how many frames it has had its present value."""

    def __init__(self, labels: np.ndarray) -> None:
        self._labels = labels.copy()
        self.frames = np.ones(labels.shape, np.int32)

    def update(self, labels: np.ndarray) -> None:
        if labels.shape != self._labels.shape:
            raise DataError(f"a frame of {labels.shape} pixels follows frames of {self._labels.shape} in one video")
        self.frames *= labels == self._labels
        self.frames += 1
        self._labels = labels.copy()


def check_pair(prediction: np.ndarray, ground_truth: np.ndarray) -> None:
    """Raise `DataError` unless both are uint8 ``[H, W]`` of one size."""
    for name, labels in (("prediction", prediction), ("ground truth", ground_truth)):
        if labels.dtype != np.uint8 or labels.ndim != 2:
            raise DataError(f"the {name} must be a uint8 array of shape (H, W), got {labels.dtype} {labels.shape}")
    if prediction.shape != ground_truth.shape:
        raise DataError(f"the prediction has {prediction.shape} pixels and the ground truth {ground_truth.shape}")
