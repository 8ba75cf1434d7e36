"""What docs/own_data.md says works: each of its commands and settings files is run, in its order, on a tiny set."""

import json
import re
import shlex
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from safetensors.torch import load_file

from mpvss_model.data import open_clips
from mpvss_ros.cli.app import main

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "own_data.md").read_text(encoding="utf-8")
FRAMES = 10
# So that a run takes seconds; everything else is the page's.
TINY = {
    "steps": 2,
    "batch_size": 2,
    "workers": 0,
    "warmup_steps": 0,
    "validation_interval": 2,
    "loss": {"train_num_points": 64},
    "augmentation": {"short_sides_px": [64], "crop_height_px": 64, "crop_width_px": 64},
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = (line for block in blocks("sh") for line in block.splitlines())
    return [words for words in (shlex.split(line, comments=True) for line in lines) if words]


def frame(i: int) -> tuple[np.ndarray, np.ndarray]:
    """BGR image and label (0 floor, 7 robot, 255) of a box that moves over noise."""
    image = np.random.default_rng(0).integers(0, 128, (64, 96, 3)).astype(np.uint8)
    label = np.zeros((64, 96), np.uint8)
    image[16:48, 4 * i : 4 * i + 32], label[16:48, 4 * i : 4 * i + 32] = 220, 7
    label[:4] = 255
    return image, label


@pytest.fixture(scope="module")
def work(tmp_path_factory) -> Path:
    """A folder with what the page's commands are given: exports of three tools, all frames, and a video."""
    work = tmp_path_factory.mktemp("own-data")
    for folder in ("export/images", "frames", "labelme", "masks/images", "masks/masks"):
        (work / folder).mkdir(parents=True)
    video = cv2.VideoWriter(str(work / "drive.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (96, 64))
    coco = {"categories": [{"id": 5, "name": "robot"}], "images": [], "annotations": []}
    for i in range(FRAMES):
        image, label = frame(i)
        name = f"frame_{i:04d}.png"
        for folder in ("frames", "labelme", "masks/images", *(["export/images"] if i % 2 else [])):
            cv2.imwrite(str(work / folder / name), image)
        cv2.imwrite(str(work / "masks/masks" / name), label)
        video.write(image)
        left, right = 4 * i, 4 * i + 32
        polygon = [left, 16, right, 16, right, 48, left, 48]
        if i % 2:
            coco["images"].append({"id": i, "file_name": name, "height": 64, "width": 96})
            coco["annotations"].append({"id": i, "image_id": i, "category_id": 5, "segmentation": [polygon]})
        points = [[left, 16], [right - 1, 47]]
        shapes = [{"label": "robot", "points": points, "shape_type": "rectangle"}]
        (work / "labelme" / name).with_suffix(".json").write_text(json.dumps({"imagePath": name, "shapes": shapes}))
    video.release()
    (work / "export/annotations.json").write_text(json.dumps(coco))
    for block in blocks("yaml"):
        settings = yaml.safe_load(block)
        settings |= {
            name: {**settings.get(name, {}), **value} if isinstance(value, dict) else value for name, value in TINY.items()
        }
        (work / f"own-{settings['stage']}.yaml").write_text(yaml.safe_dump(settings))
    return work


@pytest.fixture
def run_mpvss(work, monkeypatch):
    """An ``mpvss`` command of the page, in this process, which has torch and ROS loaded already."""

    def run(words):
        monkeypatch.chdir(work)
        extra = {
            "run": ["--rate", "0", "--device", "cpu", "--threads", "1"],
            "evaluate": ["--device", "cpu", "--threads", "1"],
        }
        monkeypatch.setattr(sys, "argv", [*words, *extra.get(words[1], [])])
        with pytest.raises(SystemExit) as end:
            main()
        assert not end.value.code, words

    return run


def test_the_page_s_own_commands_lead_from_annotations_to_a_model_in_the_node(work, run_mpvss):
    ours = [words for words in commands() if words[0] == "mpvss"]
    assert {words[1] for words in ours} == {"import-labels", "train", "evaluate", "import-video", "run"}
    for words in ours:
        run_mpvss(words)
    for name, labelled in (("own", 5), ("labelme", 10), ("masks", 10), ("sparse", 5)):
        clips = open_clips(work / "data" / name).clips
        labels = [clip_frame.read_label() for clip in clips for clip_frame in clip.frames if clip_frame.is_labelled]
        assert len(labels) == labelled
        robot = (labels[0] == 1).astype(np.uint8)
        assert cv2.boundingRect(robot)[2:] == (32, 32) and robot.sum() == 32 * 32
    assert sum(len(clip.frames) for clip in open_clips(work / "data/sparse").clips) == FRAMES
    config = json.loads((work / "runs/own/config.json").read_text())
    assert config["propagation"] in ("segment", "tracked")
    report = json.loads((work / "out/own/report.json").read_text())
    assert (report["frames_in"], report["labels_out"], report["model"]) == (FRAMES, FRAMES, "own")


def test_the_segmentor_stage_keeps_the_motion_module_and_the_motion_stage_trains_it(work, run_mpvss):
    if not (work / "runs/own").exists():
        pytest.skip("the test above makes the models")
    shipped, kept, trained = (
        load_file(path / "model.safetensors")
        for path in (ROOT / "mpvss_model/weights/rooms-lite", work / "runs/own-segmentor", work / "runs/own")
    )
    motion = [name for name in kept if name.startswith("motion")]
    assert motion and all((kept[name] == shipped[name]).all() for name in motion)
    assert any((trained[name] != kept[name]).any() for name in motion)


def test_the_page_s_other_commands_name_what_exists():
    (pip,) = (words for words in commands() if "pip" in words)
    assert (ROOT / pip[-1]).is_file()
    (launch,) = (words for words in commands() if words[0] == "ros2")
    text = (ROOT / "launch" / launch[3]).read_text(encoding="utf-8")
    assert all(f'"{argument.partition(":=")[0]}"' in text for argument in launch[4:])
