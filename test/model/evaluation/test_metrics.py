from __future__ import annotations

import math

import numpy as np
import pytest

from mpvss_model.errors import DataError
from mpvss_model.evaluation.metrics import ConfusionMatrix, VideoConsistency


def labels(*rows) -> np.ndarray:
    return np.array(rows, np.uint8)


def random_video(frames: int, seed: int, flip: float = 0.2) -> np.ndarray:
    """A video ``[N, 6, 8]`` in which each pixel changes with probability ``flip`` from frame to frame."""
    rng = np.random.default_rng(seed)
    video = [rng.integers(0, 3, (6, 8))]
    for _ in range(frames - 1):
        video.append(np.where(rng.random((6, 8)) < flip, rng.integers(0, 3, (6, 8)), video[-1]))
    return np.array(video, np.uint8)


def batch_consistency(videos: list[tuple[np.ndarray, np.ndarray]], n: int) -> float:
    """The definition of VC_n, written down literally."""
    accuracies = []
    for prediction, truth in videos:
        if len(truth) <= 16:
            continue
        for i in range(len(truth) - n):
            unchanged_truth = (truth[i : i + n] == truth[i]).all(axis=0)
            unchanged_prediction = (prediction[i : i + n] == prediction[i]).all(axis=0)
            if unchanged_truth.any():
                accuracies.append((unchanged_truth & unchanged_prediction).sum() / unchanged_truth.sum())
    return float(np.mean(accuracies))


def test_iou_of_a_hand_computed_case():
    matrix = ConfusionMatrix(num_classes=4)
    matrix.update(labels([0, 0, 1, 1, 3]), labels([0, 1, 1, 1, 255]))
    np.testing.assert_allclose(matrix.iou_per_class, [1 / 2, 2 / 3, np.nan, np.nan])
    assert matrix.miou == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert matrix.weighted_iou == pytest.approx((1 * 1 / 2 + 3 * 2 / 3) / 4)


def test_class_that_is_only_predicted_counts_as_zero_as_in_the_released_code():
    matrix = ConfusionMatrix(num_classes=3)
    matrix.update(labels([0, 2]), labels([0, 0]))
    np.testing.assert_allclose(matrix.iou_per_class, [1 / 2, np.nan, 0])
    assert matrix.miou == pytest.approx(1 / 4)
    assert matrix.weighted_iou == pytest.approx(1 / 2)
    matrix.update(labels([1]), labels([255]))
    assert matrix.miou == pytest.approx(1 / 4), "predictions on ignored pixels are none"


def test_accuracies_and_shares_of_a_hand_computed_case():
    matrix = ConfusionMatrix(num_classes=4)
    matrix.update(labels([0, 0, 1, 1, 3, 255]), labels([0, 1, 1, 1, 255, 1]))
    np.testing.assert_allclose(matrix.accuracy_per_class, [1, 2 / 4, np.nan, np.nan])
    np.testing.assert_allclose(matrix.pixel_shares, [1 / 5, 4 / 5, 0, 0])
    assert matrix.pixel_accuracy == pytest.approx(3 / 5)
    assert matrix.mean_accuracy == pytest.approx((1 + 1 / 2) / 2)


def test_pixel_predicted_as_unlabeled_is_a_miss_only():
    matrix = ConfusionMatrix(num_classes=2)
    matrix.update(labels([0, 255, 1]), labels([0, 0, 1]))
    np.testing.assert_allclose(matrix.iou_per_class, [1 / 2, 1])


def test_confusion_matrix_is_one_for_the_whole_set():
    rng = np.random.default_rng(0)
    prediction, truth = (rng.choice([0, 1, 2, 3, 255], (10, 4, 5)).astype(np.uint8) for _ in range(2))
    streamed, at_once = ConfusionMatrix(num_classes=4), ConfusionMatrix(num_classes=4)
    for frame in range(10):
        streamed.update(prediction[frame], truth[frame])
    at_once.update(prediction.reshape(40, 5), truth.reshape(40, 5))
    np.testing.assert_array_equal(streamed.counts, at_once.counts)
    assert streamed.counts.sum() == (truth != 255).sum()


def test_metrics_without_labelled_pixels_are_nan():
    matrix = ConfusionMatrix(num_classes=2)
    matrix.update(labels([0]), labels([255]))
    assert math.isnan(matrix.miou) and math.isnan(matrix.weighted_iou) and np.isnan(matrix.iou_per_class).all()
    assert math.isnan(matrix.pixel_accuracy) and math.isnan(matrix.mean_accuracy) and np.isnan(matrix.pixel_shares).all()
    assert math.isnan(VideoConsistency(8).value)


def test_largest_number_of_classes():
    matrix = ConfusionMatrix(num_classes=255)
    matrix.update(labels([254, 0]), labels([254, 254]))
    assert matrix.weighted_iou == pytest.approx(1 / 2)
    assert matrix.miou == pytest.approx(1 / 4)


@pytest.mark.parametrize(
    ("prediction", "truth", "message"),
    [
        (labels([0, 1]), labels([0]), r"prediction has \(1, 2\) pixels and the ground truth \(1, 1\)"),
        (labels([7]), labels([0]), r"prediction holds the labels \[7\]; expected 0..1"),
        (labels([0]), labels([2]), r"ground truth holds the labels \[2\]; expected 0..1, or 255"),
        (labels([0]).astype(np.int64), labels([0]), r"prediction must be a uint8 array .* got int64 \(1, 1\)"),
        (labels([0]), labels([0])[0], r"ground truth must be a uint8 array .* got uint8 \(1,\)"),
    ],
)
def test_frames_that_cannot_be_counted_are_named(prediction, truth, message):
    matrix = ConfusionMatrix(num_classes=2)
    with pytest.raises(DataError, match=message):
        matrix.update(prediction, truth)
    assert not matrix.counts.any()


def test_consistency_of_a_hand_computed_case():
    truth = np.zeros((18, 1, 4), np.uint8)
    truth[17] = 9  # only the last window sees it, and that one is not used
    prediction = np.zeros((18, 1, 4), np.uint8)
    prediction[5, 0, 0] = 1  # seen by the windows that start at 4 (as a change) and 5
    consistency = VideoConsistency(2)
    for frame in range(18):
        consistency.update(prediction[frame], truth[frame])
    assert consistency.windows == 16
    assert consistency.value == pytest.approx((14 * 1 + 2 * 3 / 4) / 16)


def test_wrong_but_constant_prediction_is_consistent():
    consistency = VideoConsistency(8)
    for _ in range(20):
        consistency.update(labels([1, 1]), labels([0, 2]))
    assert consistency.value == 1.0


@pytest.mark.parametrize("n", [2, 8, 16])
def test_streaming_consistency_equals_its_definition_over_pooled_videos(n):
    videos = [(random_video(length, seed=length), random_video(length, seed=99, flip=0.05)) for length in (5, 16, 17, 40)]
    consistency = VideoConsistency(n)
    for prediction, truth in videos:
        consistency.start_video()
        for frame in zip(prediction, truth, strict=True):
            consistency.update(*frame)
    assert consistency.value == pytest.approx(batch_consistency(videos, n))


def test_video_of_sixteen_frames_is_left_out_and_one_of_seventeen_is_not():
    for length, windows in ((16, 0), (17, 1)):
        consistency = VideoConsistency(16)
        for _ in range(length):
            consistency.update(labels([0]), labels([0]))
        assert consistency.windows == windows


def test_window_in_which_all_ground_truth_changes_is_skipped():
    consistency = VideoConsistency(2)
    for frame in range(20):
        consistency.update(labels([0]), labels([frame % 2]))
    assert consistency.windows == 0


def test_video_may_be_changed_by_its_owner_after_the_update():
    consistency = VideoConsistency(2)
    frame = labels([0])
    for _ in range(20):
        frame += 1
        consistency.update(frame, labels([0]))
    assert consistency.value == 0.0


def test_frames_of_different_sizes_in_one_video_are_refused():
    consistency = VideoConsistency(8)
    consistency.update(labels([0, 0]), labels([0, 0]))
    with pytest.raises(DataError, match=r"a frame of \(1, 1\) pixels follows frames of \(1, 2\)"):
        consistency.update(labels([0]), labels([0]))
    consistency.start_video()
    consistency.update(labels([0]), labels([0]))


def test_sizes_out_of_range_are_refused():
    with pytest.raises(ValueError, match="num_classes must be 1..255, got 256"):
        ConfusionMatrix(num_classes=256)
    with pytest.raises(ValueError, match="window_frames must be at least 2, got 1"):
        VideoConsistency(1)
