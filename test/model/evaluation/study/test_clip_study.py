from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from mpvss_model import ConfigError
from mpvss_model.data import Clip, Frame, open_clips
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.evaluation.study import (
    CORRUPTIONS,
    NO_CORRUPTION,
    PER_FRAME,
    ClipJob,
    ClipStudy,
    Run,
    StudyConfig,
    WorkerSettings,
    measure_clips,
    measure_latency,
    source_summary,
)
from mpvss_model.evaluation.study.code_digest import code_digest, sources_digest
from mpvss_model.evaluation.study.corruptions import RANDOM_CORRUPTIONS
from mpvss_model.evaluation.study.result import ClipResult, cache_key
from mpvss_model.fleet import FleetConfig
from mpvss_model.segmentor.registry import load_model

CONFIG = StudyConfig(intervals=(1, 2, 6))


@pytest.fixture(scope="module")
def study(tiny_motion_checkpoint) -> ClipStudy:
    return ClipStudy(model=load_model(tiny_motion_checkpoint, device=torch.device("cpu")), config=CONFIG)


@pytest.fixture(scope="module")
def clips(small_clips) -> tuple[Clip, ...]:
    return open_clips(small_clips).clips


@pytest.fixture(scope="module")
def result(study, clips) -> ClipResult:
    return study.measure(clips[0])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corruption_changes_an_image_the_same_way_each_time_and_keeps_its_form(name):
    image = np.random.default_rng(0).integers(0, 256, (47, 63, 3), np.uint8)
    before = image.copy()
    first, second = (CORRUPTIONS[name](image, np.random.default_rng(7)) for _ in range(2))
    assert first.shape == image.shape and first.dtype == np.uint8
    assert np.array_equal(first, second) and not np.array_equal(first, image)
    assert np.array_equal(image, before)


def test_exposure_scales_and_saturates():
    image = np.full((16, 16, 3), (100, 180, 200), np.uint8)
    assert CORRUPTIONS["+40 % brightness"](image, None)[0, 0].tolist() == [140, 252, 255]
    assert CORRUPTIONS["-40 % brightness"](image, None)[0, 0].tolist() == [60, 108, 120]


def test_motion_blur_keeps_brightness():
    image = np.full((32, 200, 3), 130, np.uint8)
    assert np.array_equal(CORRUPTIONS["motion blur"](image, np.random.default_rng(0)), image)


def test_every_method_of_the_model_runs_at_every_interval(study, tiny_checkpoint):
    assert study.runs[:3] == (Run(PER_FRAME, 1), Run("copy", 1), Run("copy", 2)) and len(study.runs) == 1 + 6 * 3 + 3 + 2
    assert study.runs[-5:-2] == tuple(Run("segment", interval, history_weight=0.5) for interval in (1, 2, 6))
    assert study.runs[-2:] == (Run("segment", 6, 0.03, 0.5), Run("segment", 6, 0.1, 0.5))
    without_motion = ClipStudy(model=load_model(tiny_checkpoint, device=torch.device("cpu")), config=CONFIG)
    assert without_motion.methods == ("copy", "dense", "tracked", "fine")


def test_any_method_at_interval_1_equals_per_frame(study, result):
    for method in study.methods:
        row = study.runs.index(Run(method, 1))
        assert np.array_equal(result.confusion[row], result.confusion[0])
        assert np.array_equal(result.consistency[row], result.consistency[0])


def test_each_method_is_compared_on_all_frames_but_segments_only_its_key_frames(study, result, clips):
    frames = len(clips[0].frames)
    timed = [-(-frames // run.interval) for run in study.runs]
    *keys, often, rarely = result.is_key.sum(axis=1).tolist()
    assert keys == timed[:-2] and frames >= often >= rarely >= timed[-1]
    assert set(result.confusion.sum(axis=(1, 2)).tolist()) == {frames * 32 * 48}
    assert not np.array_equal(result.confusion[study.runs.index(Run("copy", 6))], result.confusion[0])


def test_distances_from_the_key_frame_add_up_to_the_longest_interval(study, result):
    rows = [0, *(study.runs.index(Run(method, 6)) for method in study.methods)]
    assert np.array_equal(result.confusion_by_distance.sum(axis=1), result.confusion[rows])
    at_key_frames = result.confusion_by_distance[:, 0]
    assert all(np.array_equal(counts, at_key_frames[0]) for counts in at_key_frames)


def test_robustness_is_measured_on_every_fifth_frame(result, clips):
    height, width = result.frame_size
    measured_frames = -(-len(clips[0].frames) // 5)
    (counts,) = result.corrupted_confusion
    assert counts.sum(axis=(1, 2)).tolist() == [measured_frames * height * width] * (1 + len(CORRUPTIONS))


def test_random_corruptions_are_repeated_with_the_next_seeds(study, clips):
    clip = Clip("short", list(clips[0].frames)[:6])

    def measured(**settings):
        repeated = ClipStudy(model=study.model, config=StudyConfig(intervals=(2,), **settings))
        return repeated, repeated.measure(clip)

    thrice, result = measured(corruption_repeats=3, seed=1)
    _, once = measured(seed=2)
    assert len(result.corrupted_confusion) == 3
    assert np.array_equal(result.corrupted_confusion[1], once.corrupted_confusion[0])
    latency = measure_latency(thrice, list(clip.frames), pairs=1)
    figures = source_summary(thrice, [result], latency)
    for i, name in enumerate((NO_CORRUPTION, *CORRUPTIONS)):
        mious = [ConfusionMatrix(3) for _ in range(3)]
        for matrix, counts in zip(mious, result.corrupted_confusion[:, i], strict=True):
            matrix.counts += counts
        values = [matrix.miou for matrix in mious]
        assert figures.robustness[name] == pytest.approx(np.mean(values))
        assert figures.robustness_deviation[name] == pytest.approx(np.std(values, ddof=1))
        assert name in RANDOM_CORRUPTIONS or len(set(values)) == 1
    assert max(figures.robustness_deviation.values()) > 0


def test_a_clip_is_given_up_at_the_frame_where_it_is_stopped(study, clips):
    answers = iter([False, False, True])
    reads = []

    def counted(frame):
        return replace(frame, read_image=lambda: reads.append(frame) or frame.read_image())

    frames = [counted(frame) for frame in clips[0].frames]
    assert study.measure(Clip("stopped", frames), lambda: next(answers)) is None
    assert len(reads) == 2


def test_a_result_is_read_back_with_its_own_key_only(result, tmp_path):
    result.save(tmp_path / "0.npz", "key")
    again = ClipResult.load(tmp_path / "0.npz", "key")
    for name, value in vars(result).items():
        assert np.array_equal(getattr(again, name), value, equal_nan=value.dtype.kind == "f"), name
    assert ClipResult.load(tmp_path / "0.npz", "other key") is None
    assert ClipResult.load(tmp_path / "1.npz", "key") is None


def test_the_key_changes_with_frames_labels_weights_and_settings(study, clips, tiny_checkpoint):
    frames = list(clips[0].frames)
    relabelled = Frame(frames[0].stamp_ns, frames[0].read_image, lambda: frames[0].read_label() ^ 1)
    repainted = Frame(frames[0].stamp_ns, lambda: frames[0].read_image() ^ 1, frames[0].read_label)
    other_settings = ClipStudy(model=study.model, config=StudyConfig(intervals=(1, 2)))
    other_weights = ClipStudy(model=load_model(tiny_checkpoint, device=torch.device("cpu")), config=CONFIG)
    keys = [
        cache_key(clips[0], study.digest),
        cache_key(Clip("relabelled", [relabelled, *frames[1:]]), study.digest),
        cache_key(Clip("repainted", [repainted, *frames[1:]]), study.digest),
        cache_key(Clip("shorter", frames[:-1]), study.digest),
        cache_key(clips[0], other_settings.digest),
        cache_key(clips[0], other_weights.digest),
    ]
    assert len(set(keys)) == len(keys)
    assert cache_key(Clip("the same under another name", frames), study.digest) == keys[0]


def test_results_are_not_kept_for_another_program_or_other_image_statistics(study, monkeypatch):
    before = ClipStudy(model=study.model, config=study.config).digest
    assert before == study.digest
    monkeypatch.setattr(study.model.segmentor, "image_mean", (0.5, 0.5, 0.5))
    assert ClipStudy(model=study.model, config=study.config).digest != before
    monkeypatch.undo()
    monkeypatch.setattr("mpvss_model.evaluation.study.result.code_digest", lambda: b"another program")
    assert ClipStudy(model=study.model, config=study.config).digest != before


def test_the_programs_digest_changes_with_its_sources_and_libraries(tmp_path, monkeypatch):
    (tmp_path / "training").mkdir()
    sources = {"warp.py": "a = 1", "motion.py": "b = 2", "training/losses.py": "c = 3"}
    for name, text in sources.items():
        (tmp_path / name).write_text(text)
    before = sources_digest(tmp_path)
    (tmp_path / "training" / "losses.py").write_text("c = 4")
    assert sources_digest(tmp_path) == before
    (tmp_path / "warp.py").write_text("a = 2")
    assert sources_digest(tmp_path) != before
    (tmp_path / "warp.py").rename(tmp_path / "flow.py")
    (tmp_path / "flow.py").write_text("a = 1")
    assert sources_digest(tmp_path) != before
    program = code_digest()
    monkeypatch.setattr(torch, "__version__", "0.0")
    assert code_digest.__wrapped__() != program


def test_two_workers_find_what_one_finds_and_nothing_is_measured_again(tiny_motion_checkpoint, clips, tmp_path):
    settings = WorkerSettings(location=tiny_motion_checkpoint, device="cpu", threads=1, config=CONFIG)
    short_clips = [Clip(clip.name, list(clip.frames)[:3]) for clip in clips]

    def measure(folder, workers, is_kept=False):
        jobs = [ClipJob(clip, tmp_path / folder / f"{i}.npz") for i, clip in enumerate(short_clips)]
        measurements = list(measure_clips(jobs, settings=settings, fleet=FleetConfig(workers=workers)))
        results = {measurement.job.file.name: measurement.result for measurement in measurements}
        assert [measurement.is_kept for measurement in measurements] == [is_kept] * len(jobs)
        return results, {job.file: job.file.stat().st_mtime_ns for job in jobs}

    (one, _), (two, written) = measure("one", 1), measure("two", 2)
    again, unchanged = measure("two", 1, is_kept=True)
    assert written == unchanged
    for results in (two, again):
        assert results.keys() == one.keys()
        for name in one:
            for field, value in vars(one[name]).items():
                assert np.array_equal(getattr(results[name], field), value, equal_nan=value.dtype.kind == "f"), field


def test_clips_that_cannot_be_measured_are_named_with_the_reason_and_all_others_are_measured(
    tiny_motion_checkpoint, clips, tmp_path
):
    settings = WorkerSettings(location=tiny_motion_checkpoint, device="cpu", threads=1, config=CONFIG)
    frame = clips[0].frames[0]

    def label_of_class_9():
        return np.full_like(frame.read_label(), 9)

    def defect():
        return 1 // 0

    odd = Clip("odd", [frame, Frame(66_666_667, frame.read_image, label_of_class_9)])
    small_label = Clip("small label", [Frame(0, frame.read_image, lambda: frame.read_label()[:16])])
    broken = Clip("broken", [Frame(0, defect)])
    whole = Clip("whole", [frame])
    jobs = [ClipJob(clip, tmp_path / f"{clip.name}.npz", "day") for clip in (odd, small_label, broken, whole)]
    failures = []
    (measured,) = measure_clips(
        jobs, settings=settings, fleet=FleetConfig(), on_failure=lambda job, failure: failures.append((job, failure))
    )
    assert measured.job is jobs[-1] and [file.name for file in tmp_path.iterdir()] == ["whole.npz"]
    assert [job for job, _ in failures] == jobs[:-1]
    first, second, third = (failure for _, failure in failures)
    assert re.fullmatch(r"day, odd: failed: .*labels \[9\].*", str(first)) and not first.details
    assert re.fullmatch(r"day, small label: failed: .*16.*32.*|day, small label: failed: .*32.*16.*", str(second))
    assert str(third) == "day, broken: failed: ZeroDivisionError: integer division or modulo by zero"
    assert "1 // 0" in third.details


def test_costs_and_times_are_averages_over_key_frames_and_others(study, result, clips):
    latency = measure_latency(study, list(clips[0].frames)[:3], pairs=1)
    assert min(latency.key_ms.values()) > 0
    assert set(latency.propagated_ms) == {"copy", "dense", "tracked", "fine", "pixel", "segment", "segment, with history"}
    summary = source_summary(study, [result, result], latency)
    assert summary.frames == 2 * len(clips[0].frames) == summary.labelled_frames
    of = {(run.way, run.interval): run for run in summary.grid}
    assert of["copy", 1].ms_per_frame == pytest.approx(latency.key_ms["copy"])
    assert of["copy", 2].ms_per_frame == pytest.approx((latency.key_ms["copy"] + latency.propagated_ms["copy"]) / 2)
    assert of["copy", 2].gflops_per_frame < of["segment", 2].gflops_per_frame < of[PER_FRAME, 1].gflops_per_frame
    assert of["segment, with history", 1].gflops_per_frame > of["segment", 1].gflops_per_frame
    assert of[PER_FRAME, 1].miou == source_summary(study, [result], latency).grid[0].miou


@pytest.mark.parametrize(("setting", "value"), [("corruption_every_frames", 0), ("corruption_repeats", 0), ("seed", -1)])
def test_repeats_and_seeds_that_measure_nothing_are_refused(setting, value):
    with pytest.raises(ConfigError, match=rf"{setting} must be at least [01], got {value}"):
        StudyConfig(**{setting: value})


@pytest.mark.parametrize("threshold", [0.0, -0.1, 1.5, float("nan")])
def test_motion_thresholds_that_measure_nothing_are_refused(threshold):
    with pytest.raises(ConfigError, match="motion_thresholds must be above 0 and at most 1"):
        StudyConfig(motion_thresholds=(threshold,))


@pytest.mark.parametrize("weight", [0.0, -0.5, 11.0, float("nan")])
def test_a_history_of_no_weight_is_refused(weight):
    with pytest.raises(ConfigError, match="history_weight must be above 0 and at most 10"):
        StudyConfig(history_weight=weight)


@pytest.mark.parametrize("intervals", [(), (0, 2), (5, 3), (3, 3)])
def test_intervals_that_make_no_grid_are_refused(intervals):
    with pytest.raises(ConfigError, match="intervals must be increasing"):
        StudyConfig(intervals=intervals)


def test_frames_are_resized_for_all_ways_and_segmented_once(tiny_checkpoint, small_clips, clips):
    """Small clips, enlarged; the labels that are compared with have the clips' size."""
    model = load_model(tiny_checkpoint, device=torch.device("cpu"))
    config = StudyConfig(intervals=(2,), motion_thresholds=(), corruption_every_frames=1000, inference_size=64)
    study = ClipStudy(model=model, config=config)
    segment, seen = model.segmentor.segment, []
    model.segmentor.segment = lambda frame, stamp_s: seen.append(frame.shape) or segment(frame, stamp_s)
    clip = replace(clips[0], frames=[clips[0].frames[i] for i in range(4)])
    found = study.measure(clip)
    # One frame, the first, is segmented again for each corruption.
    assert seen == [(64, 96, 3)] * (4 + 1 + len(CORRUPTIONS))
    labelled = [frame.read_label() for frame in clip.frames]
    assert (found.confusion.sum(axis=(1, 2)) == sum(label.size for label in labelled)).all()
    figures = source_summary(study, [found], measure_latency(study, clip.frames, pairs=1))
    assert (figures.frame_sizes, figures.inference_sizes) == ([[32, 48]], [[64, 96]])
    at_own_size = ClipStudy(model=model, config=replace(config, inference_size=0))
    assert figures.grid[0].gflops_per_frame > 2 * at_own_size.cost(PER_FRAME, (32, 48)).key_frame_gflops
    assert study.digest != at_own_size.digest


def test_a_study_of_an_impossible_size_is_refused():
    with pytest.raises(ConfigError, match="inference_size must be -1, 0 or a whole number of at least 32 .*, got 5"):
        StudyConfig(inference_size=5)
