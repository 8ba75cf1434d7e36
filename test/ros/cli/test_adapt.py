"""``mpvss adapt`` on the command line."""

import cv2
import numpy as np
import pytest


def test_a_folder_of_images_adapts_a_model_without_any_labels(mpvss, tiny_checkpoint, tmp_path):
    (tmp_path / "photos").mkdir()
    for i in range(20):
        pixels = np.random.default_rng(i).integers(0, 255, (48, 64, 3), np.uint8)
        cv2.imwrite(str(tmp_path / f"photos/{i}.jpg"), pixels)
    options = ("--teacher", tiny_checkpoint, "--student", tiny_checkpoint, "--steps", "1", "--every", "2")
    code, said, progress = mpvss("adapt", tmp_path / "photos", *options, "--out", tmp_path / "out")
    assert code == 0
    # A model that is its own teacher has nothing to learn.
    assert said.startswith("the old model is kept, since the adapted one gained less than 0.5 points: held-back frames 1.000")
    assert "mpvss: Nothing was mixed in" in progress and "labelling photos: 10 of 10" in progress
    assert not (tmp_path / "out/config.json").exists() and (tmp_path / "out/report.md").is_file()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--teacher", "{empty}"), "has no config.json"),
        (("--teacher", "{tiny}", "--student", "{empty}"), "has no config.json"),
        (("--teacher", "{tiny}"), "has other classes (background, robot, wall) than student 'rooms' (wall, floor, "),
        (("--teacher", "{tiny}", "--classes", "ade20k-rooms"), "class map 'ade20k-rooms' names "),
        (("--teacher", "{tiny}", "--student", "{tiny}", "--mix", "{empty}"), "holds no <clip>/images"),
        (("--teacher", "{tiny}", "--student", "{tiny}", "--steps", "0"), "steps must be at least 1, got 0"),
        (("--teacher", "{tiny}", "--student", "{tiny}", "--names", "a,b"), "got 2 names (a, b) for 1 sources"),
    ],
)
def test_bad_input_gets_one_line_and_leaves_nothing(mpvss, small_clips, tiny_checkpoint, tmp_path, options, message):
    (tmp_path / "empty").mkdir()
    options = [option.format(empty=tmp_path / "empty", tiny=tiny_checkpoint) for option in options]
    code, _, said = mpvss("adapt", small_clips, *options, "--out", tmp_path / "out")
    line = [line for line in said.splitlines() if not line.startswith("mpvss: Nothing was mixed in")]
    assert code == 2 and len(line) == 1
    assert message in line[0]
    assert not (tmp_path / "out").exists()
