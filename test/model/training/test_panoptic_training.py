"""Training to find single things: targets, recipes, and what the model says of itself afterwards."""

import json

import cv2
import numpy as np
import pytest

from mpvss_model import ConfigError, DataError, VideoSegmentor
from mpvss_model.data import open_clips
from mpvss_model.training import TrainingConfig, train
from mpvss_model.training.samples.targets import MAX_TARGETS, panoptic_targets, present_targets

SIZE_PX = 64


def test_each_thing_and_each_class_of_stuff_is_a_target():
    label = np.array([[0, 0, 1, 1, 1, 255]], np.uint8)
    instances = np.array([[7, 8, 5, 9, 0, 5]], np.uint16)
    numbers, classes = panoptic_targets(label, instances, {1})
    # The larger ones first; a thing without a number is as good as unlabeled.
    assert numbers.tolist() == [[0, 0, 1, 2, 255, 255]] and classes.tolist() == [0, 1, 1]


def test_what_is_left_in_a_crop_is_numbered_anew():
    numbers = np.full((8, 8), 2, np.uint8)
    numbers[:3] = 0
    numbers[3, 0] = 1  # too small
    left, classes = present_targets(numbers, np.array([4, 5, 6]))
    assert left[0, 0] == 1 and left[3, 0] == 255 and left[4, 0] == 0
    assert classes.shape == (MAX_TARGETS,) and classes[:3].tolist() == [6, 4, -1]


@pytest.fixture
def robots(tmp_path):
    """A clip of two robots that pass each other, with instances."""
    root = tmp_path / "robots"
    for kind in ("images", "labels", "instances"):
        (root / "clip" / kind).mkdir(parents=True)
    for i in range(4):
        image = np.full((SIZE_PX, SIZE_PX, 3), 60, np.uint8)
        instances = np.zeros((SIZE_PX, SIZE_PX), np.uint16)
        for number, (x, y) in {3: (4 + 8 * i, 6), 700: (40 - 8 * i, 40)}.items():
            image[y : y + 18, x : x + 18], instances[y : y + 18, x : x + 18] = 220, number
        for kind, pixels in (("images", image), ("labels", (instances > 0).astype(np.uint8)), ("instances", instances)):
            cv2.imwrite(str(root / "clip" / kind / f"{i}.png"), pixels)
    (root / "classes.txt").write_text("background\nrobot\nwall\n")
    return root


def recipe(start, **model):
    sides = ("max_long_side_px", "crop_height_px", "crop_width_px")
    augmentation = {"short_sides_px": [SIZE_PX], **dict.fromkeys(sides, SIZE_PX)}
    return TrainingConfig.from_mapping(
        {
            "data": {"root": "unused", "layout": "folder", "train_split": "", "validation_split": ""},
            "model": {"start": start, "thing_classes": ["robot"], **model},
            "loss": {"train_num_points": 64},
            "augmentation": augmentation,
            "steps": 2,
            "batch_size": 2,
            "workers": 0,
        }
    )


def test_a_panoptic_model_says_which_classes_are_things(robots, tiny_checkpoint, tiny_motion_checkpoint, tmp_path):
    train(recipe(tiny_checkpoint), open_clips(robots), None, tmp_path / "out")
    assert json.loads((tmp_path / "out" / "config.json").read_text())["thing_classes"] == ["robot"]
    model = VideoSegmentor.from_pretrained(str(tmp_path / "out"))
    assert model.things == {1} and model.follows_things
    train(recipe(tiny_checkpoint, motion_from=tiny_motion_checkpoint), open_clips(robots), None, tmp_path / "with-motion")
    assert VideoSegmentor.from_pretrained(str(tmp_path / "with-motion")).things == {1}
    assert VideoSegmentor.from_pretrained(str(tmp_path / "out"), thing_classes=("wall",)).things == {2}


def test_what_cannot_be_trained_is_refused(robots, small_clips, tiny_checkpoint, tmp_path):
    with pytest.raises(DataError, match="a labelled frame with instances"):
        train(recipe(tiny_checkpoint), open_clips(small_clips), None, tmp_path / "out")
    with pytest.raises(ConfigError, match="names the class 'lamp'.* background, robot, wall"):
        train(recipe(tiny_checkpoint, thing_classes=["lamp"]), open_clips(robots), None, tmp_path / "out")
    with pytest.raises(ConfigError, match="must be a list of names, got"):
        recipe(tiny_checkpoint, thing_classes=[1])


def test_broken_instances_are_named(robots):
    cv2.imwrite(str(robots / "clip" / "instances" / "0.png"), np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8))
    first, second, *_ = open_clips(robots).clips[0].frames
    assert set(np.unique(second.read_instances())) == {0, 3, 700}
    with pytest.raises(DataError, match=r"instances.0\.png is of mode RGB; expected 8 or 16 bits"):
        first.read_instances()
    (robots / "clip" / "instances" / "9.png").write_bytes(b"")
    with pytest.raises(DataError, match=r"9\.png has no frame of that name"):
        open_clips(robots)
