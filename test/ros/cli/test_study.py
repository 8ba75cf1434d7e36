"""``mpvss study`` on folders and bags."""

import io
import json
import os
import re
import shutil
import signal
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from mpvss_model import ConfigError, DataError, StreamConfig
from mpvss_model.data import Clip
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_model.evaluation.study import StudyConfig
from mpvss_model.evaluation.study.report.command import StudyInterrupted, run_study
from mpvss_model.evaluation.study.report.markdown import markdown
from mpvss_model.evaluation.study.report.pictures import worst_frames
from mpvss_model.fleet import FleetConfig
from mpvss_model.overlay import PALETTE
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag, BagWriter
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.bags.labelled_source import open_labelled_source, open_sources

CONFIG = StudyConfig(intervals=(2, 5))
PLOTS = {"miou_over_interval.png", "miou_over_distance.png", "robustness.png"}


@pytest.fixture(scope="module")
def small_bag(small_clips, tmp_path_factory):
    """The first of the small clips as a bag."""
    path = tmp_path_factory.mktemp("bags") / "small"
    with BagWriter(path) as bag:
        for i, image in enumerate(sorted((small_clips / "a" / "images").iterdir())):
            stamp = {"stamp_ns": i * 66_666_667, "frame_id": "camera"}
            label = np.array(Image.open(small_clips / "a" / "labels" / image.name))
            bag.write_image("/camera/image_raw", encoding="rgb8", image=np.array(Image.open(image)), **stamp)
            bag.write_image(GROUND_TRUTH_TOPIC, encoding="mono8", image=label, **stamp)
    return path


@pytest.fixture(scope="module")
def told():
    """Where that study tells how it goes, as where there is no terminal."""
    return Console(file=io.StringIO(), soft_wrap=True)


@pytest.fixture(scope="module")
def written(small_clips, small_bag, tiny_motion_checkpoint, tmp_path_factory, told):
    """A study of one of the clips, of both, and of a bag with the first: its report and folder."""
    out = tmp_path_factory.mktemp("study") / "out"
    report = run_study(
        open_sources([f"{small_clips}:first", str(small_clips), str(small_bag)], names=["first clip", "both clips", "bag"]),
        out,
        model=tiny_motion_checkpoint,
        device="cpu",
        config=CONFIG,
        command="mpvss study",
        console=told,
    )
    return report, out


def test_the_figures_are_those_of_mpvss_evaluate(written, small_clips, small_bag, tiny_motion_checkpoint):
    report, _ = written
    for source, location, method, interval, weight in (
        (1, small_clips, "per-frame", 1, 0.0),
        (2, small_bag, "segment", 2, 0.0),
        (2, small_bag, "segment", 5, 0.5),
    ):
        expected = evaluate_clips(
            open_labelled_source(location),
            source=str(location),
            model=tiny_motion_checkpoint,
            propagation=method,
            config=StreamConfig(max_interval_frames=interval, history_weight=weight),
            device="cpu",
        )
        grid = report.sources[source].figures.grid
        runs = {(r.method, r.interval, r.history_weight): r for r in grid if not r.motion_threshold}
        run = runs[method, interval, weight]
        for name in ("key_frames", "miou", "weighted_iou", "iou_per_class"):
            assert getattr(run, name) == getattr(expected, name), (method, name)
        for name in ("mvc8", "mvc16", "gflops_per_frame"):
            assert getattr(run, name) == pytest.approx(getattr(expected, name), rel=1e-12), (method, name)


def test_a_bag_and_the_same_frames_in_a_folder_differ_in_nothing(written):
    folder, _, bag = (source.figures for source in written[0].sources)
    for name in ("frames", "miou_by_distance", "robustness"):
        assert getattr(folder, name) == getattr(bag, name)
    assert [run.miou for run in folder.grid] == [run.miou for run in bag.grid]


def test_the_page_says_what_the_model_cannot_do(written):
    report, out = written
    assert "Left out" not in (out / "README.md").read_text()
    assert "no motion module" in markdown(replace(report, has_motion_module=False))


def test_the_page_shows_every_file_and_all_files_are_whole(written):
    report, out = written
    pictures = {file for source in report.sources for file in source.pictures.values()}
    assert {path.name for path in out.iterdir()} == {".cache", "README.md", "study.json"} | PLOTS | pictures
    assert json.loads((out / "study.json").read_text()) == report.as_dict()
    page = (out / "README.md").read_text()
    for name in PLOTS | pictures:
        assert f"({name})" in page
        with Image.open(out / name) as picture:
            picture.verify()
    assert "| segment-aware flow | 5 |" in page and "`mpvss study`" in page and "### first clip" in page


def test_a_study_tells_what_it_measures_and_what_came_of_each_part(written, told, small_clips):
    report, _ = written
    model, first, both, bag, *lines = told.file.getvalue().splitlines()
    ways = "copy, dense, tracked, fine, pixel, segment"
    assert re.fullmatch(rf"model .*: 3 classes, ways of propagation {ways}, a key frame every 2, 5 frames, 1 process", model)
    assert first == f"first clip ({small_clips}:first): 1 clip, 18 of 18 frames labelled"
    assert both.endswith("2 clips, 35 of 35 frames labelled") and bag.endswith("1 clip, 18 of 18 frames labelled")
    clips, sources = lines[:4], lines[4:]
    right = r"[\d.]+ % right per frame, [\d.]+ % with .* at interval 5; [\d.]+ frames/s"
    for i, (line, name) in enumerate(
        zip(clips, ("first clip, a", "both clips, a", "both clips, b", "bag, small"), strict=True)
    ):
        assert re.fullmatch(rf"clip {i + 1}/4, {name}: {right}{'' if i == 3 else r', .* left'}", line), line
    for line, source in zip(sources, report.sources, strict=True):
        grid = source.figures.grid
        miou = {r.method: r.miou for r in grid if r.interval == 5 and not r.motion_threshold and not r.history_weight}
        methods = ", ".join(f"{method} {100 * value:.1f}" for method, value in miou.items())
        assert line.startswith(f"{source.name}: mIoU {100 * grid[0].miou:.1f} per frame, at interval 5 {methods}; key frame ")


def test_a_study_says_what_it_was_computed_with(written):
    report, out = written
    assert report.versions.keys() == {"Python", "opencv", "numpy", "torch", "transformers"}
    assert (report.seed, report.corruption_repeats) == (0, 1)
    assert f"numpy {np.__version__}" in (out / "README.md").read_text()
    for source in report.sources:
        figures = source.figures
        assert figures.key_ms_deviation.keys() == figures.key_ms.keys() and min(figures.key_ms_deviation.values()) > 0
        assert set(figures.robustness_deviation.values()) == {None}


def test_pictures_show_the_classes_in_their_own_colors(written):
    report, out = written
    picture = np.array(Image.open(out / report.sources[0].pictures["segmentation"]).convert("RGB"))
    for color in PALETTE[:2]:
        assert (abs(picture.astype(int) - color).max(axis=-1) <= 4).any()


def test_a_study_that_is_repeated_takes_up_its_results(written, small_clips, small_bag, tiny_motion_checkpoint):
    report, out = written
    written_ns = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    again = run_study(
        open_sources([str(small_clips)], names=["both clips"]), out, model=tiny_motion_checkpoint, device="cpu", config=CONFIG
    )
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")} == written_ns and len(written_ns) == 4
    for first, second in zip(report.sources[1].figures.grid, again.sources[0].figures.grid, strict=True):
        assert replace(first, ms_per_frame=0.0) == replace(second, ms_per_frame=0.0)
    pictures = {file for source in again.sources for file in source.pictures.values()}
    assert {path.name for path in out.iterdir()} == {".cache", "README.md", "study.json"} | PLOTS | pictures


class SignallingFile(io.StringIO):
    """Sends a signal to this process when a text is written for the first time."""

    def __init__(self, text: str, number: signal.Signals) -> None:
        super().__init__()
        self._text, self._number = text, number

    def write(self, text: str) -> int:
        if self._text in text and self._number is not None:
            number, self._number = self._number, None
            os.kill(os.getpid(), number)
        return super().write(text)


@pytest.mark.parametrize(("number", "workers"), [(signal.SIGINT, 1), (signal.SIGTERM, 2)])
def test_a_study_that_is_stopped_keeps_what_it_measured_and_goes_on(small_clips, tiny_checkpoint, tmp_path, number, workers):
    (both,) = open_sources([str(small_clips)])
    short, long = both.clips
    # Would take minutes if it was not stopped.
    clips = (Clip(short.name, list(short.frames)[:6]), Clip(long.name, list(long.frames) * 100))
    settings = {"model": tiny_checkpoint, "device": "cpu", "config": StudyConfig(intervals=(2,))}
    handler = signal.getsignal(number)
    console = Console(file=SignallingFile("clip 1/2", number), soft_wrap=True)
    source = replace(both, clip_set=replace(both.clip_set, clips=clips))
    with pytest.raises(StudyInterrupted, match=rf"stopped by {number.name}: 1 of 2 clips are measured") as caught:
        run_study([source], tmp_path, fleet=FleetConfig(workers=workers), console=console, **settings)
    assert caught.value.signal_number == number and signal.getsignal(number) is handler
    (kept,) = tmp_path.rglob("*.npz")
    assert not (tmp_path / "README.md").exists()
    if workers > 1:  # how it goes on depends on nothing but the files
        return
    before, told = kept.stat().st_mtime_ns, io.StringIO()
    source = replace(both, clip_set=replace(both.clip_set, clips=(clips[0], Clip(long.name, list(long.frames)[:6]))))
    report = run_study([source], tmp_path, console=Console(file=told, soft_wrap=True), **settings)
    assert kept.stat().st_mtime_ns == before and report.sources[0].figures.frames == 12
    assert re.search(r"clip 1/2, .*; measured before\n.*clip 2/2, .* frames/s\n", told.getvalue())
    # Other settings take up nothing.
    changed = settings | {"config": StudyConfig(intervals=(3,), corruption_repeats=2)}
    report = run_study([replace(source, clip_set=replace(source.clip_set, clips=clips[:1]))], tmp_path, **changed)
    assert kept.stat().st_mtime_ns != before and {run.interval for run in report.sources[0].figures.grid} == {1, 3}
    assert report.corruption_repeats == 2 and "the mean of 2 repeats" in (tmp_path / "README.md").read_text()


@pytest.fixture
def partly_broken(small_clips, tmp_path):
    """Of the small clips 5 frames, an image of ``b`` cut off, and a clip ``c`` whose second label image is too small."""
    data = tmp_path / "drives"
    shutil.copytree(small_clips, data, ignore=shutil.ignore_patterns("000[5-9].png", "001?.png"))
    cut = data / "b" / "images" / "0002.png"
    cut.write_bytes(cut.read_bytes()[:200])
    shutil.copytree(data / "a", data / "c")
    cv2.imwrite(str(data / "c" / "labels" / "0001.png"), np.zeros((16, 48), np.uint8))
    return data


def test_a_clip_that_fails_stops_no_study_and_is_named_by_report_and_terminal(mpvss, partly_broken, tiny_checkpoint, tmp_path):
    out, options = tmp_path / "out", ("--model", tiny_checkpoint, "--device", "cpu")
    code, said, progress = mpvss("study", partly_broken, f"{partly_broken}:second", "--out", out, *options)
    assert code == 1
    study = json.loads((out / "study.json").read_text())
    failures = [f"{failure['source']}, {failure['clip']}: failed: {failure['error']}" for failure in study["failures"]]
    assert [failure["clip"] for failure in study["failures"]] == ["b", "c", "b"]
    assert f"{partly_broken / 'b' / 'images' / '0002.png'} cannot be read as an image" in failures[0]
    assert "frames of one clip must be of one size, but" in failures[1] and "48 x 16 pixels" in failures[1]
    page = (out / "README.md").read_text()
    assert "3 of 4 clips could not be measured" in page
    for number, failure in enumerate(failures):
        assert f"  {failure}" in said.splitlines() and f"- {failure}" in page.splitlines()
        assert f"clip {(2, 3, 4)[number]}/4, {failure}" in progress.splitlines()
    # A source without any clip is in no table; of the other the figures are those of its whole clip alone.
    (source,) = study["sources"]
    assert (source["name"], source["clips"], source["frames"]) == ("drives", 1, 5)
    assert source["notes"] == ["Left out, since they could not be measured: b, c"]
    whole = run_study(open_sources([f"{partly_broken}:first"]), tmp_path / "whole", model=tiny_checkpoint, device="cpu")
    assert [run["miou"] for run in source["grid"]] == [run.miou for run in whole.sources[0].figures.grid]
    assert whole.failures == [] and "Clips left out" not in (tmp_path / "whole" / "README.md").read_text()
    # Repaired, the same command measures what failed and nothing else.
    shutil.copy(partly_broken / "b" / "images" / "0003.png", partly_broken / "b" / "images" / "0002.png")
    shutil.rmtree(partly_broken / "c")
    code, _, progress = mpvss("study", partly_broken, "--out", out, *options)
    assert code == 0 and json.loads((out / "study.json").read_text())["failures"] == []
    assert [line.endswith("measured before") for line in progress.splitlines() if line.startswith("clip ")] == [True, False]


def test_a_study_writes_no_page_if_no_clip_can_be_measured(mpvss, partly_broken, tiny_checkpoint, tmp_path):
    out = tmp_path / "out"
    code, _, said = mpvss("study", f"{partly_broken}:second", "--model", tiny_checkpoint, "--device", "cpu", "--out", out)
    assert code == 2 and not (out / "README.md").exists()
    assert re.search(r"mpvss: no clip could be measured: second, b: failed: .*0002.png cannot be read as an image", said)


def test_a_recording_that_cannot_be_read_through_fails_when_it_is_measured(small_clips):
    class Torn(list):
        def __iter__(self):
            yield self[0]
            raise DataError("the file ends here")

    (source,) = open_sources([str(small_clips)])
    whole, clip = source.clips
    torn = replace(source, clip_set=replace(source.clip_set, clips=(whole, Clip("torn", Torn(clip.frames)))))
    names = source.clip_set.class_names
    assert torn.labelled_for(names, "m").frames_of_clips == (18, 0)
    alone = replace(torn, clip_set=replace(torn.clip_set, clips=torn.clips[1:]))
    assert alone.labelled_for(names, "m").frames_of_clips == (0,)


def test_sources_without_ground_truth_or_a_name_of_their_own_are_refused(small_clips, tiny_checkpoint, tmp_path):
    (tmp_path / "clip" / "images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "clip" / "images" / "0.png"), np.zeros((32, 48, 3), np.uint8))
    out = tmp_path / "out"
    for locations, names, error, message in (
        ([tmp_path], [], DataError, "has no frame with ground truth"),
        ([small_clips], ["a", "b"], ConfigError, r"got 2 names \(a, b\) for 1 sources"),
        ([small_clips, small_clips], ["same", "Same"], ConfigError, "give different --names"),
        ([f"{small_clips}:third"], [], DataError, "third.txt is missing"),
        ([small_clips / "nowhere"], [], DataError, "no bag at"),
    ):
        with pytest.raises(error, match=message):
            sources = open_sources([str(location) for location in locations], names=names)
            run_study(sources, out, model=tiny_checkpoint, config=CONFIG)
    assert not out.exists()


def test_a_bag_is_read_anew_each_time(small_bag):
    (source,) = open_sources([str(small_bag)])
    (clip,) = source.clips
    with Bag(small_bag) as bag:
        expected = len(list(bag_frames(bag, "/camera/image_raw")))
    assert [len(list(clip.frames)) for _ in range(2)] == [expected, expected]
    assert source.name == "small"


def test_the_worst_frames_come_from_different_clips_and_are_far_apart():
    badness = [np.linspace(0.0, 0.9, 40), np.full(40, 0.5), np.array([np.nan, -0.1])]
    assert worst_frames(badness) == [(0, 39), (1, 0)]
    assert worst_frames(badness[:1]) == [(0, 39), (0, 19)]
    assert worst_frames(badness[2:]) == []
