"""What of a teacher's labels teaches, and what is held back."""

import math

import cv2
import numpy as np
import pytest

from mpvss_model import DataError
from mpvss_model.adaptation.agreement import agrees, carried_labels, is_video
from mpvss_model.adaptation.mixed_folder import check_mixed, write_mixed_folder
from mpvss_model.adaptation.split import split_frames, split_names
from mpvss_model.adaptation.thinning import thinned
from mpvss_model.adaptation.verdict import Measured, Verdict
from mpvss_model.data import Clip, Frame, open_clips
from mpvss_model.data.source_counts import CountedFrames, SourceCounts


def scene(shift_px, size=(96, 128)):
    """A box that moves over a textured wall, and its labels."""
    rng = np.random.default_rng(0)
    wall = cv2.resize(rng.integers(60, 160, (12, 16, 3)).astype(np.uint8), size[::-1], interpolation=cv2.INTER_CUBIC)
    box = cv2.resize(rng.integers(120, 255, (5, 5, 3)).astype(np.uint8), (40, 40), interpolation=cv2.INTER_CUBIC)
    image, labels = wall.copy(), np.zeros(size, np.uint8)
    place = np.s_[30:70, 20 + shift_px : 60 + shift_px]
    image[place], labels[place] = box, 1
    return image, labels


@pytest.mark.parametrize("frames", [(0, 1, 2), (2, 1, 0)])
def test_labels_are_carried_along_with_what_they_are_of(frames):
    images = [scene(4 * i)[0] for i in frames]
    truth = scene(4 * frames[-1])[1]
    carried = carried_labels(images, scene(4 * frames[0])[1])
    known = carried != 255
    assert known.mean() > 0.9
    assert (carried == truth)[known].mean() > 0.97
    inside = cv2.erode(truth, np.ones((9, 9), np.uint8)) == 1
    assert (carried[inside] == 1).mean() > 0.95


def test_what_came_into_view_has_no_label():
    images = [scene(0)[0][:, 16 - shift : 112 - shift] for shift in (0, 5, 10)]  # what was at the left comes in
    carried = carried_labels(images, np.ones(images[0].shape[:2], np.uint8))
    assert (carried[:, :4] == 255).mean() > 0.5
    assert (carried[:, 30:] == 1).all()


def test_frames_agree_where_all_say_the_same_and_something():
    labels = np.array([0, 1, 1, 255, 2], np.uint8)
    others = [np.array([0, 1, 2, 255, 2], np.uint8), np.array([0, 1, 1, 255, 255], np.uint8)]
    assert agrees(labels, others).tolist() == [True, True, False, False, False]
    assert not agrees(labels, []).any()


def test_a_video_is_told_from_photographs():
    video = [scene(2 * i)[0] for i in range(4)]
    photographs = [np.random.default_rng(i).integers(0, 255, (96, 128, 3), np.uint8) for i in range(4)]
    assert is_video(video)
    assert not is_video(photographs)
    assert not is_video([video[0], video[1][:64]])


def test_of_few_clips_the_ends_are_held_back_with_a_gap_between():
    (parts,) = split_frames([100])
    assert parts == ["train"] * 75 + [None] * 5 + ["val"] * 20
    parts = split_frames([10, 4])
    assert parts == [["train"] * 7 + [None] + ["val"] * 2, ["train"] * 4]


def test_of_many_clips_whole_ones_are_held_back():
    parts = split_frames([3] * 10)
    assert [part[0] for part in parts] == ["train", "train", "val", "train", "train"] * 2
    assert all(len(set(part)) == 1 for part in parts)


def test_too_few_frames_are_refused():
    with pytest.raises(DataError, match="12 frames are too few .*: give 10 frames in a row, or 5 clips"):
        split_frames([6, 6])


def test_every_tenth_clip_of_the_mixed_in_data_is_held_back():
    names = [f"{i}" for i in range(20)]
    assert split_names(names) == ([name for name in names if name not in ("5", "15")], ["5", "15"])
    assert split_names(["a", "b"]) == (["a"], ["b"])
    with pytest.raises(DataError, match="has 1 labelled clips: it needs two"):
        split_names(["a"])


def test_mixed_in_data_is_linked_and_divided(small_clips, tmp_path):
    clips = check_mixed(small_clips, ("wall", "background", "robot"), "student")
    write_mixed_folder(small_clips, clips, tmp_path / "mix")
    parts = [open_clips(tmp_path / "mix", split=part).clips for part in ("train", "val")]
    assert [[clip.name for clip in part] for part in parts] == [["a"], ["b"]]
    for part in ("train", "val"):  # lists of its own count
        (small_clips / f"{part}.txt").write_text({"train": "b\n", "val": "a\n"}[part])
    try:
        write_mixed_folder(small_clips, clips, tmp_path / "mix")
    finally:
        for part in ("train", "val"):
            (small_clips / f"{part}.txt").unlink()
    assert (tmp_path / "mix/train.txt").read_text() == "b\n"


def test_images_without_labels_cannot_be_mixed_in(tmp_path):
    (tmp_path / "rooms/a/images").mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "rooms/a/images/0.png"), np.zeros((32, 32, 3), np.uint8))
    with pytest.raises(DataError, match="rooms' has images without labels: mix in a labelled folder"):
        check_mixed(tmp_path / "rooms", ("wall",), "student")


def verdict(held_back, mixed=None):
    def of(pair):
        return Measured(frames=1, miou=pair, iou_per_class={}, agreement=np.zeros((2, 1)))

    return Verdict(of(held_back), None if mixed is None else of(mixed), min_gain=0.005, max_loss=0.02)


@pytest.mark.parametrize(
    ("held_back", "mixed", "is_taken", "why"),
    [
        ((0.3, 0.4), None, True, "the adapted model is taken: held-back frames 0.300 -> 0.400 mIoU"),
        ((0.3, 0.4), (0.5, 0.485), True, "mixed-in data 0.500 -> 0.485 mIoU"),
        ((0.3, 0.4), (0.5, 0.47), False, "lost more than 2 points on the mixed-in data"),
        ((0.3, 0.302), (0.5, 0.6), False, "gained less than 0.5 points"),
        ((0.3, math.nan), None, False, "the old model is kept"),
        ((0.3, 0.4), (0.5, math.nan), False, "lost more than"),
    ],
)
def test_the_result_is_taken_if_it_is_better_and_has_not_forgotten(held_back, mixed, is_taken, why):
    found = verdict(held_back, mixed)
    assert found.is_taken is is_taken
    assert why in found.reason


class Recorded:
    """Seven frames that are read anew at each iteration, of which one more is listed."""

    listed = 8

    def __init__(self):
        self.counts = SourceCounts()

    def __iter__(self):
        self.counts = SourceCounts()
        yield from (Frame(stamp_ns=i, read_image=lambda: np.zeros((32, 32, 3), np.uint8)) for i in range(7))
        self.counts.left_out["broken message"] += 1


def test_each_third_frame_of_a_recording_is_read_as_it_is_asked_for():
    frames = thinned(Clip("drive", Recorded()), 3).frames
    assert isinstance(frames, CountedFrames)
    for _ in range(2):
        assert [frame.stamp_ns for frame in frames] == [0, 3, 6]
        assert frames.counts.left_out == {"broken message": 1}
    assert frames.listed == 3
    assert [frame.stamp_ns for frame in thinned(Clip("files", list(Recorded())), 2).frames] == [0, 2, 4, 6]
