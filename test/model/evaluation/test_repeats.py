from __future__ import annotations

import statistics

import pytest

from mpvss_model import ConfigError, StreamConfig
from mpvss_model.data import open_clips
from mpvss_model.evaluation.repeats import evaluate_repeatedly, first_intervals
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_model.stream.video_segmentor import VideoSegmentor


def test_repeats_shift_the_key_frames_evenly_and_never_repeat_themselves():
    assert first_intervals(1, 10) == (1,)
    assert first_intervals(4, 1) == (4,)
    assert first_intervals(10, 4) == (10, 8, 5, 3)
    assert first_intervals(3, 3) == first_intervals(3, 9) == (3, 2, 1)
    with pytest.raises(ConfigError, match="repeats must be a whole number of at least 1, got 0"):
        first_intervals(3, 0)


@pytest.fixture
def key_frames(monkeypatch):
    """Where key frames were, a list for each evaluation of the clip of 17 frames."""
    seen = []
    step = VideoSegmentor.step

    def watched(self, frame, **stamp):
        segmentation = step(self, frame, **stamp)
        seen.append(segmentation.is_key_frame)
        return segmentation

    monkeypatch.setattr(VideoSegmentor, "step", watched)
    return lambda: [[i for i in range(17) if seen[start + i]] for start in range(0, len(seen), 17)]


def test_a_mean_is_that_of_key_frames_in_all_places(small_clips, tiny_checkpoint, key_frames):
    settings = {"source": "s", "model": tiny_checkpoint, "propagation": "copy", "device": "cpu"}
    config = StreamConfig(max_interval_frames=5)
    singles = [
        evaluate_clips(open_clips(small_clips, split="second"), config=config, first_interval=first, **settings)
        for first in (5, 3, 2)
    ]
    assert key_frames() == [[0, 5, 10, 15], [0, 3, 8, 13], [0, 2, 7, 12]]
    report = evaluate_repeatedly(lambda: open_clips(small_clips, split="second"), repeats=3, config=config, **settings)
    assert key_frames()[3:] == [[0, 5, 10, 15], [0, 4, 9, 14], [0, 2, 7, 12]]
    assert report.first_intervals == (5, 4, 2) and (report.frames, report.key_frames) == (51, 12)
    again = evaluate_repeatedly(lambda: open_clips(small_clips, split="second"), repeats=1, config=config, **settings)
    assert again.miou == singles[0].miou and again.deviation == {} and again.first_intervals == (5,)


def test_means_and_deviations_are_those_of_the_repeats(small_clips, tiny_checkpoint):
    settings = {"source": "s", "model": tiny_checkpoint, "propagation": "copy", "device": "cpu"}
    config = StreamConfig(max_interval_frames=2)
    singles = [
        evaluate_clips(open_clips(small_clips, split="second"), config=config, first_interval=first, **settings)
        for first in (2, 1)
    ]
    report = evaluate_repeatedly(lambda: open_clips(small_clips, split="second"), repeats=9, config=config, **settings)
    assert report.split == "second"
    for name in ("miou", "weighted_iou", "boundary_miou", "mvc8", "pixel_accuracy", "gflops_per_frame"):
        values = [getattr(single, name) for single in singles]
        assert getattr(report, name) == pytest.approx(sum(values) / 2), name
        assert report.deviation[name] == pytest.approx(statistics.stdev(values)), name
    for name, iou in report.iou_per_class.items():
        assert iou is None or iou == pytest.approx(sum(single.iou_per_class[name] for single in singles) / 2)
    for row, *rows in zip(report.confusion_matrix, *(single.confusion_matrix for single in singles), strict=True):
        assert row == [sum(pixels) for pixels in zip(*rows, strict=True)]
    assert sum(map(sum, report.confusion_matrix)) == 2 * 17 * 32 * 48


def test_segmentation_of_every_frame_has_nothing_to_repeat(small_clips, tiny_checkpoint):
    report = evaluate_repeatedly(
        lambda: open_clips(small_clips, split="second"), repeats=4, source="s", model=tiny_checkpoint, propagation="per-frame"
    )
    assert report.first_intervals == (1,) and report.frames == report.key_frames == 17


@pytest.mark.parametrize("first", [0, 6])
def test_a_first_interval_beyond_the_interval_is_refused(small_clips, tiny_checkpoint, first):
    with pytest.raises(ConfigError, match=f"first_interval must be 1 up to the interval of 5, got {first}"):
        evaluate_clips(open_clips(small_clips), source="s", model=tiny_checkpoint, first_interval=first)
