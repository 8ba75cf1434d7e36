"""Labels of a data set in the order of a model's classes."""

import pickle

import numpy as np
import pytest

from mpvss_model import DataError
from mpvss_model.data import Clip, ClipSet, Frame, in_classes_of, open_clips

MODEL = ("background", "robot", "traffic light")
LABEL = np.array([[0, 1, 2, 255]], np.uint8)


def label():
    return LABEL


def clip_set(class_names) -> ClipSet:
    frames = [Frame(0.0, read_image=lambda: None, read_label=label), Frame(0.1, read_image=lambda: None)]
    return ClipSet("data", class_names, (Clip("a", frames),))


def labels_of(clips: ClipSet) -> list:
    return clips.clips[0].frames[0].read_label()[0].tolist()


def test_labels_are_translated_by_name():
    clips = in_classes_of(clip_set(("traffic light", "background", "robot")), MODEL, "model")
    assert labels_of(clips) == [2, 0, 1, 255]
    assert clips.class_names == MODEL
    assert len(clips.clips[0].frames) == 2 and not clips.clips[0].frames[1].is_labelled
    assert LABEL.tolist() == [[0, 1, 2, 255]]


def test_spelling_makes_no_difference():
    clips = in_classes_of(clip_set(("Robot", "traffic_light ", "BACKGROUND")), MODEL, "model")
    assert labels_of(clips) == [1, 2, 0, 255]


@pytest.mark.parametrize(
    ("data", "model"),
    [(MODEL, MODEL), (None, MODEL), (MODEL[::-1], ("LABEL_0", "LABEL_1", "LABEL_2")), (("a", "b", "a"), ("a", "b", "a"))],
)
def test_labels_stay_where_the_order_is_the_same_or_there_are_no_names(data, model):
    assert labels_of(in_classes_of(clip_set(data), model, "model")) == [0, 1, 2, 255]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (("background", "robot", "car"), r"\(background, robot, car\) and \(background, robot, traffic light\)"),
        (("robot", "robot", "background"), r"\(robot, robot, background\) and "),
        (("background", "robot"), "data has 2 classes .* but model 'model' has 3"),
        ((*MODEL, "car"), "data has 4 classes .* but model 'model' has 3"),
    ],
)
def test_other_classes_are_refused_and_shown(data, message):
    with pytest.raises(DataError, match=message):
        in_classes_of(clip_set(data), MODEL, "model")


@pytest.mark.parametrize(
    "content", [b"\xef\xbb\xbfwall\r\n\r\nrobot\r\n background \r\n\r\n", b"wall\nrobot\nbackground"], ids=["windows", "plain"]
)
def test_files_of_classes_may_have_a_byte_order_mark_and_blank_lines(small_clips, tmp_path, content):
    root = tmp_path / "clips"
    root.mkdir()
    (root / "a").symlink_to(small_clips / "a")
    (root / "classes.txt").write_bytes(content)
    clips = in_classes_of(open_clips(root), ("background", "robot", "wall"), "model")
    frames = pickle.loads(pickle.dumps(clips.clips[0].frames))  # as for another process
    ours, theirs = frames[0].read_label(), open_clips(small_clips).clips[0].frames[0].read_label()
    assert (ours == np.array([2, 1, 0], np.uint8)[theirs]).all()


def test_files_that_are_not_utf8_are_named(small_clips, tmp_path):
    (tmp_path / "a").symlink_to(small_clips / "a")
    (tmp_path / "val.txt").write_bytes(b"t\xfcr\n")
    with pytest.raises(DataError, match="val.txt' is not UTF-8 text: byte 0xfc in line 1"):
        open_clips(tmp_path, split="val")
    (tmp_path / "classes.txt").write_bytes(b"wall\nt\xfcr\n")
    with pytest.raises(DataError, match="classes.txt' is not UTF-8 text: byte 0xfc in line 2"):
        open_clips(tmp_path)
