"""What ``mpvss evaluate`` makes of its options."""

import csv
import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.data import open_clips
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_ros.bags.labelled_source import open_sources
from mpvss_ros.cli.app import main
from mpvss_ros.cli.common.options import SAMPLE_BAG


@pytest.fixture
def data(small_clips, tmp_path):
    """The small clips as a data set with splits: 18 frames to train on and 17 to validate on."""
    root = tmp_path / "data"
    root.mkdir()
    for name in ("a", "b", "classes.txt"):
        (root / name).symlink_to(small_clips / name)
    (root / "train.txt").write_text("a\n")
    (root / "val.txt").write_text("b\n")
    return root


@pytest.fixture
def evaluate(tiny_checkpoint, tmp_path, monkeypatch, capfd):
    """The command in this process: its exit code, what it printed, and its JSON file."""

    def call(source, *arguments, model=tiny_checkpoint):
        out = tmp_path / "report.json"
        monkeypatch.setenv("COLUMNS", "80")
        options = ("--model", model, "--device", "cpu", "--out", out, *arguments)
        monkeypatch.setattr(sys, "argv", ["mpvss", "evaluate", *map(str, (source, *options))])
        with pytest.raises(SystemExit) as end:
            main()
        printed = capfd.readouterr()
        report = json.loads(out.read_text()) if end.value.code == 0 else None
        return SimpleNamespace(code=end.value.code, report=report, out=printed.out, err=printed.err)

    return call


@pytest.mark.parametrize(
    ("suffix", "options", "split", "frames"),
    [
        ("", [], "val", 17),
        (":train", [], "train", 18),
        ("", ["--split", "train"], "train", 18),
        ("", ["--split", "all"], "all", 35),
    ],
)
def test_the_validation_part_is_the_default_and_the_split_stands_in_title_and_json(
    evaluate, data, suffix, options, split, frames
):
    done = evaluate(f"{data}{suffix}", *options)
    assert (done.report["split"], done.report["frames"], done.report["source"]) == (split, frames, str(data))
    assert f"on data {split}," in " ".join(done.out.split())


def test_a_study_names_splits_in_the_same_ways_and_has_the_same_default(data, tmp_path):
    (default,) = open_sources([str(data)])
    (train,) = open_sources([f"{data}:train"])
    assert (default.name, default.location) == ("data", f"{data}:val")
    assert (train.name, train.location) == ("train", f"{data}:train")
    assert [clip.name for clip in open_sources([str(data)], split="train")[0].clips] == ["a"]


def test_lists_of_ways_and_intervals_are_one_table(evaluate, data, tiny_checkpoint):
    done = evaluate(data, "--propagation", "per-frame, copy,dense", "--interval", "2,5,2", "--per-class")
    runs = done.report["runs"]
    expected = [("per-frame", 1), *((way, interval) for way in ("copy", "dense") for interval in (2, 5))]
    assert [(run["propagation"], run["interval"]) for run in runs] == expected
    for run in runs[1:]:
        alone = evaluate_clips(
            open_clips(data, split="val"),
            source="s",
            model=tiny_checkpoint,
            propagation=run["propagation"],
            config=StreamConfig(max_interval_frames=run["interval"]),
            device="cpu",
        )
        assert (run["miou"], run["boundary_miou"], run["key_frames"]) == (alone.miou, alone.boundary_miou, alone.key_frames)
        row = f"{run['propagation']} {run['interval']} {run['miou']:.3f} {run['weighted_iou']:.3f}"
        assert row in " ".join(done.out.split())
    assert max(map(len, done.out.splitlines())) <= 80 and "copy 5" in done.out
    assert all(f"│ {name} " in done.out for name in ("background", "robot", "wall"))  # whole, in a table as wide as it may be


def test_repeats_are_told_with_their_deviation(evaluate, data):
    done = evaluate(data, "--propagation", "copy", "--interval", "3,2", "--repeats", 3)
    first, second = done.report["runs"]
    assert (first["first_intervals"], second["first_intervals"]) == ([3, 2, 1], [2, 1])
    assert f"±{first['deviation']['miou']:.3f}" in done.out and first["frames"] == 3 * 17
    done = evaluate(data, "--propagation", "copy", "--interval", 2, "--repeats", 2)
    assert f"{done.report['miou']:.3f} ±{done.report['deviation']['miou']:.3f}" in done.out
    assert "on data val, copy, interval 2, 2 repeats" in " ".join(done.out.split())
    assert done.report["miou"] == second["miou"]


def test_classes_and_confusions_are_those_of_the_labels(evaluate, data, tmp_path):
    labels, matrix = tmp_path / "labels", tmp_path / "matrix.csv"
    done = evaluate(
        data, "--propagation", "per-frame", "--per-class", "--confusion", matrix, "--export", labels, "--ids", "index"
    )
    (clip,) = open_clips(data, split="val").clips
    counts = np.zeros((3, 3), int)
    for frame in clip.frames:
        with Image.open(labels / "b" / f"{frame.name}.png") as image:
            np.add.at(counts, (frame.read_label(), np.array(image)), 1)
    assert np.array_equal(np.array(done.report["confusion_matrix"])[:, :3], counts)
    with matrix.open(newline="") as file:
        assert [row[1:4] for row in csv.reader(file)][1:] == [[str(count) for count in row] for row in counts]
    in_truth, right = counts.sum(axis=1), np.diag(counts)
    union = in_truth + counts.sum(axis=0) - right
    for index, name in enumerate(("background", "robot", "wall")):
        share = done.report["pixel_share_per_class"][name]
        assert share == pytest.approx(in_truth[index] / counts.sum())
        iou = right[index] / union[index] if union[index] else None
        assert done.report["iou_per_class"][name] == (None if iou is None else pytest.approx(iou))
        assert f"{share:.2%}" in done.out
    assert done.report["pixel_accuracy"] == pytest.approx(right.sum() / counts.sum())


def test_labels_are_those_that_the_stream_gives(evaluate, data, tiny_checkpoint, tmp_path):
    evaluate(data, "--propagation", "copy", "--interval", 4, "--export", tmp_path / "labels")
    config = StreamConfig(max_interval_frames=4)
    segmentor = VideoSegmentor.from_pretrained(tiny_checkpoint, device="cpu", propagation="copy", config=config)
    (clip,) = open_clips(data, split="val").clips
    for frame in clip.frames:
        with Image.open(tmp_path / "labels" / "b" / f"{frame.name}.png") as image:
            expected = segmentor.step(frame.read_image(), stamp_ns=frame.stamp_ns).labels
            np.testing.assert_array_equal(np.array(image), expected)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--interval", "3,x"], "'3,x' is not a whole number, nor several separated by commas"),
        (["--interval", "3,0"], "max_interval_frames must be a whole number of at least 1, got 0"),
        (["--propagation", "copy,segment"], "propagation 'segment' needs a model with a trained motion module"),
        (["--propagation", "copy,magic"], "propagation must be one of per-frame, auto"),
        (["--propagation", "copy,dense", "--export", "out"], "--export takes the labels of one way"),
        (["--repeats", "2", "--export", "out"], "--export takes the labels of one way"),
        (["--export", "out", "--ids", "ade"], "ids must be one of index, vspw, cityscapes, got 'ade'"),
        (["--export", "out", "--ids", "vspw"], "other classes than vspw"),
        (["--export", "data"], "'data' is there already"),
        (["--interval", "2,3", "--confusion", "m.csv"], "--confusion takes one way and one interval"),
        (["--confusion", "m.txt"], "a confusion matrix is written as .csv or .png, got 'm.txt'"),
        (["--split", "none"], "none.txt is missing"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_segmented(evaluate, data, monkeypatch, options, message):
    monkeypatch.chdir(data.parent)
    monkeypatch.setattr(VideoSegmentor, "step", lambda *_, **__: pytest.fail("a frame was segmented"))
    failed = evaluate(data, *options)
    assert failed.code == 2 and message in failed.err, failed.err
    assert [path.name for path in data.parent.iterdir()] == ["data"]


def test_splits_that_contradict_or_cannot_be_are_refused(evaluate, data):
    assert "give one" in evaluate(f"{data}:val", "--split", "train").err
    failed = evaluate(SAMPLE_BAG, "--split", "val")
    assert failed.code == 2 and "has no splits, got 'val'" in failed.err


def test_things_are_measured_where_the_model_finds_and_the_ground_truth_shows_them(evaluate, small_clips, tmp_path):
    root = tmp_path / "things"
    shutil.copytree(small_clips, root)
    for clip in ("a", "b"):
        (root / clip / "instances").mkdir()
        for label in (root / clip / "labels").iterdir():
            Image.fromarray((np.array(Image.open(label)) == 1).astype(np.uint16) * 300).save(
                root / clip / "instances" / label.name
            )
    done = evaluate(root, "--split", "all", "--thing-classes", "robot, wall", "--interval", "2,5")
    for run in done.report["runs"]:
        found = run["panoptic"]
        assert set(found["vpq_by_window"]) == {"1", "5", "10", "15"} and found["vpq_by_window"]["1"] == found["pq"]
        assert 0 <= found["pq_stuff"] <= 1 and found["tracks"] <= 2
    assert "PQ" in done.out and "id switches" in done.out and max(map(len, done.out.splitlines())) <= 80
    without_things = evaluate(root, "--split", "all")
    assert without_things.report["panoptic"] is None and "PQ" not in without_things.out
    without_instances = evaluate(small_clips, "--thing-classes", "robot")
    assert without_instances.report["panoptic"] is None
    refused = evaluate(root, "--thing-classes", "lamp")
    assert refused.code == 2 and "names the class 'lamp'" in refused.err
