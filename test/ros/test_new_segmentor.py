"""A segmentor in one file of an installed package works wherever models do."""

import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from sensor_msgs.msg import Image

from mpvss_model import CheckpointError
from mpvss_model.checkpoints.starting_model import load_start
from mpvss_model.evaluation.study import StudyConfig
from mpvss_model.evaluation.study.report.command import run_study
from mpvss_model.fleet.config import FleetConfig
from mpvss_model.segmentor.registry import load_model
from mpvss_ros.bags.labelled_source import open_sources
from mpvss_ros.cli.app import main
from mpvss_ros.messages.conversions import image_message, labels_from_message

from .conftest import header

CPU = torch.device("cpu")
CLASSES = ["background", "robot", "wall"]
NEW_SEGMENTOR = Path(__file__).parents[1] / "new_segmentor.py"


def install(site: Path, loader: str, monkeypatch):
    """A package with a new segmentor, for this process and those that it starts."""
    information = site / "bright_robots-1.0.dist-info"
    information.mkdir()
    shutil.copy(NEW_SEGMENTOR, site / "bright_robots.py")
    (information / "METADATA").write_text("Metadata-Version: 2.1\nName: bright-robots\nVersion: 1.0\n")
    (information / "entry_points.txt").write_text(f"[mpvss_model.segmentors]\nbright-robots = {loader}\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(site), os.environ.get("PYTHONPATH")))))


@pytest.fixture
def model(tmp_path, monkeypatch) -> str:
    """The directory of a model of the new kind, whose package is installed."""
    site = tmp_path / "site"
    site.mkdir()
    install(site, "bright_robots:load", monkeypatch)
    directory = tmp_path / "robots-of-mine"
    directory.mkdir()
    config = {"model_type": "bright-robots", "id2label": dict(enumerate(CLASSES)), "threshold": 170}
    (directory / "config.json").write_text(json.dumps(config))
    return str(directory)


def test_evaluate_measures_all_but_its_unknown_cost(model, small_clips, tmp_path, monkeypatch):
    report = tmp_path / "report.json"
    command = ["mpvss", "evaluate", small_clips, "--model", model, "--split", "first", "--interval", "3", "--out", report]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    figures = json.loads(report.read_text())
    assert (figures["model"], figures["frames"], figures["key_frames"]) == ("robots-of-mine", 18, 6)
    assert figures["miou"] > 0.8 and list(figures["iou_per_class"]) == CLASSES
    assert figures["gflops_per_frame"] is None


def test_a_study_finds_the_same_with_one_worker_and_with_two(model, small_clips, tmp_path):
    reports = [
        run_study(
            open_sources([str(small_clips)], names=[]),
            tmp_path / str(workers),
            model=model,
            device="cpu",
            fleet=FleetConfig(workers=workers),
            config=StudyConfig(intervals=(2,)),
        )
        for workers in (1, 2)
    ]
    for report in reports:
        assert (report.model, report.parameters, report.class_names) == ("robots-of-mine", 0, CLASSES)
    alone, shared = ([{**vars(run), "ms_per_frame": None} for run in report.sources[0].figures.grid] for report in reports)
    assert alone == shared and alone[0]["miou"] > 0.8
    assert all(run["gflops_per_frame"] is None for run in alone)
    row = next(line for line in (tmp_path / "2" / "README.md").read_text().splitlines() if "| tracked" in line)
    assert row.split("|")[-3].strip() == "-"
    kept = [np.load(tmp_path / name / ".cache" / small_clips.name / "0000.npz")["key"] for name in "12"]
    assert kept[0] == kept[1], "a digest is the same in all processes"


def test_the_node_labels_a_camera_with_it(model, start_process, peer):
    node = start_process("-r", "image:=/camera/image_raw", model=model, mode="lossless", max_interval_frames=2)
    camera = peer.connect(Image, "/camera/image_raw")
    frames = [np.full((48, 64, 3), 40, np.uint8) for _ in range(4)]
    expected = [np.zeros((48, 64), np.uint8) for _ in frames]
    for frame, labels in zip(frames[::2], expected[::2], strict=True):  # key frames
        frame[16:32, 16:40], labels[16:32, 16:40] = 250, 1
    answers = peer.send(camera, [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames)])
    assert [answer.header for answer in answers] == [header(i) for i in range(len(frames))]
    for answer, labels in zip(answers[::2], expected[::2], strict=True):
        assert (labels_from_message(answer) == labels).mean() > 0.95
    exit_code, _ = node.end()
    assert exit_code == 0, node.log()
    assert "model robots-of-mine with 3 classes and tracked propagation" in node.log()


def test_it_cannot_be_trained(model):
    with pytest.raises(CheckpointError, match="robots-of-mine' is no Mask2Former: only those"):
        load_start(model)


def test_a_type_that_nobody_loads_is_named_beside_those_that_are_known(model):
    (Path(model) / "config.json").write_text('{"model_type": "dark-robots"}')
    with pytest.raises(CheckpointError, match="is of type 'dark-robots'; known are beit, bright-robots, dpt, "):
        load_model(model, device=CPU)


@pytest.mark.parametrize("module", ["registry", "key_frame", "__init__", "..checkpoints.load"])
def test_only_a_module_that_loads_models_makes_a_type(model, module):
    (Path(model) / "config.json").write_text(json.dumps({"model_type": module}))
    with pytest.raises(CheckpointError, match="is of type .*; known are .*bright-robots"):
        load_model(model, device=CPU)


def test_a_package_whose_loader_is_not_there_is_named(model, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.mkdir()
    install(other, "bright_robots:lode", monkeypatch)
    with pytest.raises(CheckpointError, match="'bright-robots' are loaded by 'bright_robots:lode', which fails: .*'lode'"):
        load_model(model, device=CPU)
