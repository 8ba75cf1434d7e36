"""A bag with labels beside its camera's images."""

import os
import signal

import cv2
import numpy as np
import pytest
from mcap.reader import make_reader
from rosbags.highlevel import AnyReader

from mpvss_model import DataError
from mpvss_model.data import open_clips
from mpvss_model.labelling import LabellingConfig
from mpvss_model.runtime.interruption import Interrupted
from mpvss_ros.bags.bag import CONFIDENCE_TOPIC, LABELS_TOPIC, Bag, BagWriter
from mpvss_ros.bags.labelled_bag import LABEL_INFO_TOPIC, label_source
from mpvss_ros.bags.labelled_source import open_labelled_source
from mpvss_ros.messages.conversions import stamp_ns

from .. import recordings

CAMERA = "/camera/image_raw"
HEADER = slice(0, 23)  # of a message with the frame id "camera"


@pytest.fixture
def bag(tmp_path):
    """Twelve frames, one twice and one broken; recorded later than their stamps."""
    images = [recordings.image(i) for i in range(recordings.FRAMES)]
    images.insert(4, images[3])
    images.insert(8, recordings.image(50, encoding="bogus"))
    messages = [(stamp_ns(image) + 12_345, image) for image in images]
    return recordings.write_bag(tmp_path / "drive", {CAMERA: messages})


@pytest.fixture
def label(bag, tmp_path, tiny_checkpoint):
    def call(out, source=bag, config=None, **settings):
        config = config or LabellingConfig()
        return label_source(source, tmp_path / out, model=tiny_checkpoint, config=config, **settings)

    return call


def stop_at(frame):
    return lambda done, total: os.kill(os.getpid(), signal.SIGINT) if done == frame else None


def test_images_stay_as_they_are_and_labels_come_under_their_headers(label, bag, tmp_path):
    label("folder")
    label("out/labelled.mcap", as_bag=True, config=LabellingConfig())
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["labelled.mcap"]
    with Bag(bag) as before, Bag(tmp_path / "out/labelled.mcap") as after:
        assert after.image_topic() == CAMERA
        assert list(after.raw_messages([CAMERA])) == list(before.raw_messages([CAMERA]))
        headers = {raw.data[HEADER] for raw in after.raw_messages([CAMERA])}
        for topic, kind in ((LABELS_TOPIC, "labels"), (CONFIDENCE_TOPIC, "confidence")):
            files = sorted((tmp_path / "folder/drive" / kind).iterdir())
            messages = list(after.messages(topic))
            assert len(messages) == len(files) == recordings.FRAMES
            assert [stamp_ns(message) for message in messages] == [
                recordings.START_NS + i * recordings.PERIOD_NS for i in range(recordings.FRAMES)
            ]
            assert {message.format for message in messages} == {"png"}
            assert all(bytes(m.data) == file.read_bytes() for m, file in zip(messages, files, strict=True))
            raws = list(after.raw_messages([topic]))
            assert {raw.data[HEADER] for raw in raws} <= headers
            assert [raw.time_ns - stamp_ns(message) for raw, message in zip(raws, messages, strict=True)] == [12_345] * 12


def test_the_classes_are_in_the_bag_with_their_definition_and_latched(label, tmp_path):
    label("labelled", as_bag=True, config=LabellingConfig(min_confidence=0.25))
    assert (tmp_path / "labelled/metadata.yaml").is_file()
    with AnyReader([tmp_path / "labelled"]) as reader:  # knows nothing but what the bag says
        (connection,) = [c for c in reader.connections if c.topic == LABEL_INFO_TOPIC]
        ((_, _, data),) = reader.messages([connection])
        info = reader.deserialize(data, connection.msgtype)
    assert [(c.class_id, c.class_name) for c in info.class_map] == [(0, "background"), (1, "robot"), (2, "wall")]
    assert info.threshold == 0.25
    with Bag(tmp_path / "labelled") as bag:
        assert [offered.latched for offered in bag.topics[LABEL_INFO_TOPIC].offered_qos] == [True]
    with (tmp_path / "labelled/labelled.mcap").open("rb") as file:
        schemas = make_reader(file).get_summary().schemas.values()
    (schema,) = [s for s in schemas if s.name == "vision_msgs/msg/LabelInfo"]
    assert b"uint16 class_id" in schema.data


def test_a_bag_goes_on_where_it_was_stopped(label, tmp_path):
    label("whole.mcap", as_bag=True)
    with pytest.raises(Interrupted):
        label("stopped.mcap", as_bag=True, on_frame=stop_at(5))
    assert not (tmp_path / "stopped.mcap").exists()
    assert label("stopped.mcap", as_bag=True).labelled_now == recordings.FRAMES - 5
    with Bag(tmp_path / "whole.mcap") as whole, Bag(tmp_path / "stopped.mcap") as stopped:
        assert list(stopped.raw_messages(whole.topics)) == list(whole.raw_messages(whole.topics))
    assert not list(tmp_path.glob(".*"))


def test_a_folder_from_a_bag_says_what_was_left_out_and_is_a_data_set(label, bag, tmp_path):
    labelling = label("folder")
    assert labelling.counts.left_out == {"duplicate stamp": 1, "unknown encoding": 1}
    (clip,) = open_clips(tmp_path / "folder").clips
    (recorded,) = open_labelled_source(bag).clips
    for frame, original in zip(clip.frames, recorded.frames, strict=True):
        assert np.array_equal(frame.read_image(), original.read_image())
        assert frame.is_labelled


@pytest.mark.parametrize(("file_format", "suffix"), [("jpeg", ".jpg"), ("png", ".png")])
def test_compressed_images_become_files_as_they_are(label, tmp_path, file_format, suffix):
    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    data = cv2.imencode(suffix, pixels)[1].tobytes()
    with BagWriter(tmp_path / "compressed") as writer:
        writer.write_compressed_image(CAMERA, stamp_ns=1, frame_id="", file_format=file_format, data=data)
    label("folder", source=tmp_path / "compressed")
    assert (tmp_path / f"folder/compressed/images/000000{suffix}").read_bytes() == data


def test_a_mosaic_that_was_compressed_becomes_a_file_of_what_was_seen(label, tmp_path):
    mosaic = np.random.default_rng(0).integers(0, 255, (48, 64), np.uint8)
    data = cv2.imencode(".png", mosaic)[1].tobytes()
    with BagWriter(tmp_path / "bayer") as writer:
        file_format = "bayer_rggb8; png compressed"
        writer.write_compressed_image(CAMERA, stamp_ns=1, frame_id="", file_format=file_format, data=data)
    label("folder", source=tmp_path / "bayer")
    (frame,) = open_labelled_source(tmp_path / "bayer").clips[0].frames
    assert np.array_equal(open_clips(tmp_path / "folder").clips[0].frames[0].read_image(), frame.read_image())


def test_what_cannot_be_a_labelled_bag_is_refused_before_anything_is_labelled(label, bag, small_clips, tmp_path):
    with pytest.raises(DataError, match="is no bag, whose images and headers a bag of labels has: give a folder"):
        label("labelled.mcap", source=small_clips, as_bag=True)
    (tmp_path / "there.mcap").write_bytes(b"mine")
    with pytest.raises(DataError, match="exists already: choose another path"):
        label("there.mcap", as_bag=True)
    with BagWriter(tmp_path / "blind") as writer:
        writer.write("/chatter", "std_msgs/msg/String", 1, data="hello")
    with pytest.raises(DataError, match=r"has no image topic: its topics are /chatter"):
        label("folder", source=tmp_path / "blind")
    assert not (tmp_path / "folder").exists()


def test_a_folder_of_images_is_labelled_too(label, tmp_path):
    (tmp_path / "photos").mkdir()
    for name in ("9.jpg", "10.jpg"):
        cv2.imwrite(str(tmp_path / "photos" / name), np.full((48, 64, 3), 99, np.uint8))
    label("folder", source=tmp_path / "photos")
    assert [path.name for path in sorted((tmp_path / "folder/photos/labels").iterdir())] == ["10.png", "9.png"]
