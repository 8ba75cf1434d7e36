from __future__ import annotations

import numpy as np
import pytest

from mpvss_model import DataError, StreamConfig, VideoSegmentor
from mpvss_model.data import Clip, Frame
from mpvss_model.evaluation.clip_evaluation import ClipEvaluation


@pytest.fixture
def segmentor(tiny_checkpoint) -> VideoSegmentor:
    return VideoSegmentor.from_pretrained(tiny_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=3))


def clip(name: str, num_frames: int, unlabelled: tuple[int, ...] = (), label: int = 1) -> Clip:
    image = np.random.default_rng(0).integers(0, 256, (32, 48, 3), np.uint8)
    truth = np.full((32, 48), label, np.uint8)
    frames = [
        Frame(stamp_ns=i * 100_000_000, read_image=lambda: image, read_label=None if i in unlabelled else lambda: truth)
        for i in range(num_frames)
    ]
    return Clip(name, frames)


def test_every_frame_is_segmented_and_every_labelled_one_counted(segmentor):
    results = []
    evaluation = ClipEvaluation(segmentor, on_frame=results.append)
    evaluation.run([clip("a", 4, unlabelled=(0, 2)), clip("b", 2)])
    assert [result.is_key_frame for result in results] == [True, False, False, True, True, False]
    assert evaluation.confusion.counts.sum() == 4 * 32 * 48
    assert evaluation.confusion.counts[1].sum() == 4 * 32 * 48


def test_unlabelled_frames_interrupt_the_video_that_consistency_is_measured_on(segmentor):
    evaluation = ClipEvaluation(segmentor)
    evaluation.run([clip("a", 30, unlabelled=(15,)), clip("b", 16), clip("c", 18)])
    assert {window: consistency.windows for window, consistency in evaluation.consistency.items()} == {8: 18 - 8, 16: 18 - 16}


def test_summary_of_a_constant_video(segmentor):
    evaluation = ClipEvaluation(segmentor)
    evaluation.run([clip("a", 18)])
    summary = evaluation.summary()
    assert set(summary) == {"miou", "weighted_iou", "mvc8", "mvc16"}
    assert summary["miou"] == summary["weighted_iou"]
    assert 0 < summary["mvc16"] <= summary["mvc8"] <= 1


def test_labels_that_the_model_does_not_have_are_refused(segmentor):
    with pytest.raises(DataError, match=r"ground truth holds the labels \[3\]; expected 0..2"):
        ClipEvaluation(segmentor).run([clip("a", 1, label=3)])
