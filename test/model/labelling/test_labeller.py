"""Labels of whole data sets, and work that is stopped and goes on."""

import json
import os
import signal
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from mpvss_model import ConfigError, DataError, StreamConfig, VideoSegmentor
from mpvss_model.data import Clip, open_clips
from mpvss_model.data.plain_images import holds_images, open_images
from mpvss_model.labelling import ClassMapping, LabellingConfig, label_clips
from mpvss_model.labelling.config import View
from mpvss_model.runtime.interruption import Interrupted


@pytest.fixture(scope="module")
def clips(small_clips):
    """Two clips of eight and seven frames."""
    clips = open_clips(small_clips)
    first, second = ([clip.frames[i] for i in range(count)] for clip, count in zip(clips.clips, (8, 7), strict=True))
    return replace(clips, clips=(Clip("a", first), Clip("b", second)))


@pytest.fixture
def label(clips, tmp_path, tiny_motion_checkpoint):
    """Labels the small clips with the tiny model."""

    def call(out="labels", given=None, mapping=None, on_frame=lambda done, total: None, **settings):
        config = LabellingConfig(**settings)
        model = tiny_motion_checkpoint
        return label_clips(clips, tmp_path / out, model=model, config=config, given=given, mapping=mapping, on_frame=on_frame)

    return call


def images_of(folder: Path):
    return {str(path.relative_to(folder)): cv2.imread(str(path), 0) for path in sorted(folder.rglob("*.png"))}


def assert_same(folder, other):
    ours, theirs = images_of(folder), images_of(other)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    assert not list(folder.rglob(".unfinished*"))


def stop_at(frame, number=signal.SIGINT):
    return lambda done, total: os.kill(os.getpid(), number) if done == frame else None


def test_every_frame_gets_the_labels_of_the_model_itself(label, clips, tmp_path, tiny_motion_checkpoint):
    labelling = label()
    assert (labelling.frames, labelling.labelled_now, labelling.class_names) == (15, 15, ("background", "robot", "wall"))
    model = VideoSegmentor.from_pretrained(tiny_motion_checkpoint, config=StreamConfig(max_interval_frames=1))
    found = open_clips(tmp_path / "labels")
    assert found.class_names == labelling.class_names
    for clip, labelled in zip(clips.clips, found.clips, strict=True):
        model.reset()
        for frame, answer in zip(clip.frames, labelled.frames, strict=True):
            expected = model.step(frame.read_image(), stamp_ns=frame.stamp_ns)
            assert np.array_equal(answer.read_label(), expected.labels)
            assert np.array_equal(answer.read_image(), frame.read_image())
            path = answer.image_file.parents[1] / "confidence" / f"{answer.image_file.stem}.png"
            assert np.array_equal(cv2.imread(str(path), 0), np.rint(expected.confidence * 255))


def test_images_are_linked(label, clips, tmp_path):
    label()
    assert (tmp_path / "labels/a/images/0003.png").samefile(clips.clips[0].frames[3].image_file)


@pytest.mark.parametrize(
    ("settings", "number", "stopped"),
    [
        ({"views": (View(), View(1.5, True))}, signal.SIGTERM, 11),
        ({"interval": 5, "propagation": "segment"}, signal.SIGINT, 7),
        ({"interval": 5, "propagation": "tracked", "views": (View(), View(1.0, True))}, signal.SIGTERM, 7),
    ],
)
def test_what_was_stopped_goes_on_as_if_it_had_not_been(label, tmp_path, settings, number, stopped):
    label("whole", **settings)
    with pytest.raises(Interrupted, match=f"stopped by {number.name} after {stopped} of 15 frames, which stay") as caught:
        label("stopped", on_frame=stop_at(stopped, number), **settings)
    assert caught.value.signal_number == number
    assert label("stopped", **settings).labelled_now == 15 - stopped
    assert_same(tmp_path / "stopped", tmp_path / "whole")
    assert label("stopped", **settings).labelled_now == 0


@pytest.mark.parametrize("settings", [{}, {"interval": 3, "views": (View(), View(1.0, True))}])
def test_key_frames_that_depend_on_earlier_ones_go_on_as_if_nothing_had_stopped(
    clips, tmp_path, tiny_videomt_checkpoint, settings
):
    def label(out, on_frame=lambda done, total: None):
        config = LabellingConfig(**settings)
        return label_clips(clips, tmp_path / out, model=tiny_videomt_checkpoint, config=config, on_frame=on_frame)

    label("whole")
    with pytest.raises(Interrupted):
        label("stopped", on_frame=stop_at(5))
    assert label("stopped").labelled_now == 10
    assert_same(tmp_path / "stopped", tmp_path / "whole")
    assert label("stopped").labelled_now == 0


def test_a_line_that_a_dead_process_did_not_finish_is_labelled_again(label, tmp_path):
    label("whole")
    label("torn")
    table = tmp_path / "torn/b/frames.csv"
    table.write_text(table.read_text()[:-3])
    (tmp_path / "torn/.unfinished").write_bytes(b"half an image")
    assert label("torn").labelled_now == 1
    assert_same(tmp_path / "torn", tmp_path / "whole")


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"min_confidence": 0.5}, "min_confidence: 0.0, now 0.5"),
        ({"interval": 5}, "interval: 1, now 5"),
        ({"views": (View(), View(1.0, True))}, "views: .*, now .*mirrored"),
        ({"given": {"source": "elsewhere"}}, "source: None, now elsewhere"),
    ],
)
def test_other_settings_are_refused_by_name(label, change, named):
    with pytest.raises(Interrupted):
        label(on_frame=stop_at(1))
    with pytest.raises(ConfigError, match=f"made with other settings .*{named}.*: give those again, or choose another"):
        label(**change)


def test_a_full_disk_is_one_line_and_what_was_labelled_stays(label, tmp_path):
    def fill(done, total):
        if done == 4:
            os.symlink("/dev/full", tmp_path / "labels/.unfinished")

    with pytest.raises(DataError, match="no space is left on the disk of .*: free some, and the same command goes on"):
        label(on_frame=fill)
    (tmp_path / "labels/.unfinished").unlink()
    assert len(list((tmp_path / "labels").rglob("labels/*.png"))) == 4
    assert label().labelled_now == 11


def test_pixels_of_low_confidence_become_unlabeled(label, tmp_path):
    label("all")
    label("sure", min_confidence=0.4)
    labels, sure = images_of(tmp_path / "all"), images_of(tmp_path / "sure")
    for name in (name for name in labels if "/labels/" in name):
        is_low = labels[name.replace("labels", "confidence")] < 0.4 * 255
        assert np.array_equal(sure[name], np.where(is_low, 255, labels[name]))
    assert any((image == 255).any() for name, image in sure.items() if "/labels/" in name)


def test_classes_are_mapped_and_those_left_out_become_unlabeled(label, clips, tmp_path):
    mapping = ClassMapping("own", ("things", "walls"), {"robot": "things", "background": None, "wall": "walls"})
    assert label(mapping=mapping).class_names == ("things", "walls")
    assert open_clips(tmp_path / "labels").class_names == ("things", "walls")
    values = set(np.unique(np.stack([*(i for name, i in images_of(tmp_path / "labels").items() if "/labels/" in name)])))
    assert values <= {0, 1, 255} and 255 in values


def test_a_folder_that_holds_something_else_is_left_alone(label, tmp_path):
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="holds something else than labels"):
        label()
    assert [path.name for path in (tmp_path / "labels").iterdir()] == ["thesis.txt"]


def test_a_broken_image_is_one_line_and_what_was_labelled_stays(tmp_path, tiny_checkpoint):
    photos = tmp_path / "photos"
    photos.mkdir()
    for i in range(3):
        cv2.imwrite(str(photos / f"{i}.png"), np.full((48, 64, 3), 90 * i, np.uint8))
    (photos / "1.png").write_bytes(b"no image")
    assert holds_images(photos)
    with pytest.raises(DataError, match="1.png"):
        label_clips(open_images(photos), tmp_path / "labels", model=tiny_checkpoint)
    assert [path.name for path in (tmp_path / "labels/photos/labels").iterdir()] == ["0.png"]


def test_the_record_tells_what_labels_were_made_with(label, tmp_path):
    label(interval=5, propagation="copy", given={"source": "here"})
    record = json.loads((tmp_path / "labels/labelling.json").read_text())
    assert (record["source"], record["interval"], record["propagation"], record["views"]) == ("here", 5, "copy", ["1"])
    rows = (tmp_path / "labels/a/frames.csv").read_text().splitlines()
    assert rows[0] == "frame,stamp_ns,key_stamp_ns"
    assert [line.split(",")[1] == line.split(",")[2] for line in rows[1:7]] == [True, False, False, False, False, True]
