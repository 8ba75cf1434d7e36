"""``mpvss study`` on folders and bags."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from mpvss_model import ConfigError, DataError, StreamConfig
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_model.evaluation.study import StudyConfig
from mpvss_model.evaluation.study.report.command import run_study
from mpvss_model.evaluation.study.report.markdown import markdown
from mpvss_model.evaluation.study.report.pictures import worst_frames
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
def written(small_clips, small_bag, tiny_motion_checkpoint, tmp_path_factory):
    """A study of one of the clips, of both, and of a bag with the first: its report and folder."""
    out = tmp_path_factory.mktemp("study") / "out"
    report = run_study(
        open_sources([f"{small_clips}:first", str(small_clips), str(small_bag)], names=["first clip", "both clips", "bag"]),
        out,
        model=tiny_motion_checkpoint,
        device="cpu",
        config=CONFIG,
        command="mpvss study",
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
