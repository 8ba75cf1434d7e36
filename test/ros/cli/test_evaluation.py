"""``mpvss evaluate`` on bags and folders."""

import itertools
import json
import shutil
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from mpvss_model import ConfigError, DataError, StreamConfig, VideoSegmentor
from mpvss_model.config import DecodingConfig
from mpvss_model.data.image_files import FileFrames
from mpvss_model.data.source_counts import CountedFrames, SourceCounts
from mpvss_model.errors import PropagationError
from mpvss_model.evaluation.source_evaluation import evaluate_clips
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.semantics import best_labels, class_scores, label_map, relevant_queries
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, BagWriter
from mpvss_ros.bags.bag_frames import Bag, bag_frames
from mpvss_ros.bags.labelled_source import open_labelled_source
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.cli.common.tables import evaluation_table

from .. import recordings

FRAMES = 18


def evaluate_source(source, *, interval=5, **settings):
    config = StreamConfig(max_interval_frames=interval)
    return evaluate_clips(open_labelled_source(source), source=str(source), config=config, **settings)


@pytest.fixture(scope="module")
def small_bag(tmp_path_factory):
    """The beginning of the shipped clip at a quarter of its size, with one frame twice and one broken."""
    path = tmp_path_factory.mktemp("bags") / "small"
    with Bag(SAMPLE_BAG) as sample, BagWriter(path) as small:
        for i, frame in zip(range(FRAMES), bag_frames(sample, sample.image_topic()), strict=False):
            stamp = {"stamp_ns": i * 66_666_667, "frame_id": "camera"}
            image = cv2.resize(frame.read_image(), (160, 120), interpolation=cv2.INTER_AREA)
            label = np.ascontiguousarray(frame.read_label()[::2, ::2])
            for _ in range(2 if i == 3 else 1):
                small.write_image("/camera/image_raw", encoding="rgb8", image=image, **stamp)
            small.write_image(GROUND_TRUTH_TOPIC, encoding="mono8", image=label, **stamp)
        small.write_image("/camera/image_raw", stamp_ns=10**10, frame_id="", encoding="bogus", image=image)
    return path


@pytest.mark.parametrize(
    "propagation, key_frames",
    [("per-frame", 18), ("dense", 6), ("copy", 6), ("pixel", 6), ("segment", 6), ("auto", 6)],
)
def test_a_bag_is_measured_with_any_propagation(small_bag, propagation, key_frames):
    seen = []
    report = evaluate_source(
        small_bag, model="rooms-lite", propagation=propagation, interval=3, on_frame=lambda *progress: seen.append(progress)
    )
    assert (report.frames, report.key_frames, len(seen)) == (FRAMES, key_frames, FRAMES)
    assert 0.1 < report.miou < 1.0 and 0.1 < report.weighted_iou < 1.0 and 0.3 < report.mvc8 <= 1.0
    assert report.iou_per_class["floor"] > 0.5
    assert report.fps > 0
    assert evaluation_table(report).row_count == 10


def test_propagation_saves_computation(small_bag):
    costs = {
        name: evaluate_source(small_bag, model="rooms-lite", propagation=name, interval=3).gflops_per_frame
        for name in ("per-frame", "copy")
    }
    assert costs["copy"] < 0.5 * costs["per-frame"]


def test_frames_are_segmented_at_the_size_asked_for_and_compared_at_their_own(small_bag):
    config = StreamConfig(max_interval_frames=3, inference_size=64)
    clips = open_labelled_source(small_bag)
    small, per_frame = (
        evaluate_clips(clips, source="", model="rooms-lite", propagation=name, config=config)
        for name in ("tracked", "per-frame")
    )
    assert small.settings == {"max_interval_frames": 3, "inference_size": 64} and per_frame.key_frames == FRAMES
    for report in (small, per_frame):
        assert report.labelled_frames == FRAMES and report.iou_per_class["floor"] > 0.5
        assert "frames of 160 x 120 pixels were segmented at 85 x 64" in report.notes
    own_size = evaluate_source(small_bag, model="rooms-lite", propagation="tracked", interval=3)
    assert small.gflops_per_frame < 0.5 * own_size.gflops_per_frame
    assert not any("were segmented at" in note for note in own_size.notes)


@pytest.fixture
def folder(tmp_path):
    """One clip of the folder layout with three classes."""
    (tmp_path / "clip" / "images").mkdir(parents=True)
    (tmp_path / "clip" / "labels").mkdir()
    (tmp_path / "classes.txt").write_text("background\nrobot\nwall\n")
    for i in range(4):
        cv2.imwrite(str(tmp_path / "clip" / "images" / f"{i:04d}.png"), np.full((32, 48, 3), 60 * i, np.uint8))
        cv2.imwrite(str(tmp_path / "clip" / "labels" / f"{i:04d}.png"), np.full((32, 48), i % 3, np.uint8))
    return tmp_path


def test_a_folder_of_frames_is_measured(folder, tiny_checkpoint):
    report = evaluate_source(folder, model=tiny_checkpoint, propagation="dense", interval=2)
    assert (report.frames, report.key_frames) == (4, 2)
    assert report.miou is not None and report.mvc8 is None
    assert set(report.iou_per_class) == {"background", "robot", "wall"}


def test_a_model_with_other_classes_is_refused_before_anything_is_segmented(folder):
    with pytest.raises(DataError, match=r"3 classes .*'rooms-lite' has 12"):
        evaluate_source(folder, model="rooms-lite", propagation="dense", interval=2)


def test_an_unknown_propagation_is_refused(small_bag):
    with pytest.raises(ConfigError, match="per-frame, auto, segment, pixel, fine, tracked, dense, copy, got 'magic'"):
        evaluate_source(small_bag, model="rooms-lite", propagation="magic", interval=5)


def test_learned_flow_needs_a_model_that_has_it(small_bag, tiny_checkpoint):
    with pytest.raises(ConfigError, match="needs a model with a trained motion module"):
        evaluate_source(small_bag, model=tiny_checkpoint, propagation="segment", interval=5)


START_NS, PERIOD_NS = 1_700_000_000_000_000_000, 66_666_667
NOISE = np.random.default_rng(0).integers(0, 255, (48, 64, 3)).astype(np.uint8)


def write_bag(path, frames, ground_truth=()):
    """A bag of ``(stamp in ns, encoding or (format, bytes))`` and of label images ``(stamp in ns, array)``."""
    with BagWriter(path) as bag:
        for stamp_ns, what in frames:
            stamp = {"stamp_ns": stamp_ns, "frame_id": "camera"}
            if isinstance(what, tuple):
                bag.write_compressed_image("/image/compressed", file_format=what[0], data=what[1], **stamp)
            else:
                image = NOISE if what in ("rgb8", "8UC2") else NOISE[..., 0]
                bag.write_image("/image_raw", encoding=what, image=image, **stamp)
        for stamp_ns, labels in ground_truth:
            encoding = "mono8" if labels.ndim == 2 else "rgb8"
            bag.write_image(GROUND_TRUTH_TOPIC, encoding=encoding, image=labels, stamp_ns=stamp_ns, frame_id="")
    return path


def stamped(*encodings):
    return [(START_NS + i * PERIOD_NS, encoding) for i, encoding in enumerate(encodings)]


def evaluate(source, model, **settings):
    return evaluate_source(source, model=model, propagation="copy", interval=5, **settings)


def test_frames_that_the_node_would_refuse_are_counted_by_reason(tmp_path, tiny_checkpoint):
    jpeg = cv2.imencode(".jpg", NOISE)[1].tobytes()
    frames = stamped(*[("jpeg", jpeg)] * 3, ("jpeg", b"no image"), ("jpeg", b""), ("png", b"\x89PNG"))
    frames.insert(2, frames[1])
    report = evaluate(write_bag(tmp_path / "bag", frames), tiny_checkpoint)
    assert report.frames == 3 and report.counts.encodings == {"jpeg (compressed)": 3}
    assert report.counts.left_out == {"broken image": 3, "duplicate stamp": 1}
    assert report.counts.details["duplicate stamp"] == f"two frames in a row are stamped {frames[1][0]} ns"
    assert "4 frames left out: 3 broken image (format 'jpeg', 8 bytes with no header of an image); 1 dup" in report.notes[1]
    json.dumps(report.as_dict())


def test_encodings_are_told(tmp_path, tiny_checkpoint):
    report = evaluate(write_bag(tmp_path / "bag", stamped("rgb8", "mono8", "bogus", "rgb8")), tiny_checkpoint)
    assert report.notes[0] == "frames by encoding: 2 rgb8, 1 mono8"
    assert report.counts.left_out == {"unknown encoding": 1}
    assert report.counts.details["unknown encoding"].startswith("'bogus' is not one of")
    assert report.notes[-1] == "no frame has ground truth to compare with"


def test_stamps_that_are_all_zero_are_named(tmp_path, tiny_checkpoint):
    report = evaluate(write_bag(tmp_path / "bag", [(0, "rgb8")] * 4), tiny_checkpoint)
    assert report.frames == 1 and report.counts.left_out == {"zero stamp": 3}
    assert "by a camera driver that sets no stamps" in report.notes[1]


def test_nothing_left_is_an_error_with_the_reasons(tmp_path, tiny_checkpoint):
    bag = write_bag(tmp_path / "bag", stamped(*["bogus"] * 5))
    with pytest.raises(
        DataError, match=r"bag has no frame that can be evaluated: 5 frames left out: 5 unknown encoding \('bog"
    ):
        evaluate(bag, tiny_checkpoint)


def test_frames_that_the_metadata_lists_but_no_file_has_are_an_error(tmp_path, tiny_checkpoint, monkeypatch):
    bag = write_bag(tmp_path / "bag", stamped(*["rgb8"] * 5))
    monkeypatch.setattr(Bag, "messages", lambda self, *_: iter(()))
    with pytest.raises(DataError, match="5 frames left out: 5 listed in the bag, but not in its files: try 'ros2 bag reindex"):
        evaluate(bag, tiny_checkpoint)


def test_frames_that_are_too_few_pixels_are_left_out_one_by_one(tmp_path, tiny_checkpoint):
    with BagWriter(tmp_path / "bag") as bag:
        for stamp_ns, side in ((1, 48), (2, 1), (3, 48)):
            bag.write_image("/image_raw", stamp_ns=stamp_ns, frame_id="", encoding="rgb8", image=NOISE[:side, :side])
    report = evaluate(tmp_path / "bag", tiny_checkpoint)
    assert report.frames + sum(report.counts.left_out.values()) == 3 and report.frames >= 2


def test_ground_truth_beside_the_frames_stamps_is_counted_with_its_distance(tmp_path, tiny_checkpoint):
    frames = stamped(*["rgb8"] * 6)
    zeros = np.zeros((48, 64), np.uint8)
    truth = [(stamp_ns + (1000, -3000)[i % 2] * (i > 1), zeros) for i, (stamp_ns, _) in enumerate(frames)]
    report = evaluate(write_bag(tmp_path / "bag", frames, truth), tiny_checkpoint)
    assert (report.labelled_frames, report.counts.ground_truth) == (2, 6)
    assert report.counts.ground_truth_left_out == {"no camera frame of that stamp": 4}
    assert report.counts.nearest_ns == 1000
    notes = "\n".join(report.notes)
    assert (
        "4 of 6 label images of the ground truth left out: 4 no camera frame of that stamp; the nearest frame is 1 us off"
        in notes
    )
    assert "2 of 6 frames have ground truth" in notes and "has no class names" in notes


def test_ground_truth_that_cannot_be_used_is_counted(tmp_path, tiny_checkpoint):
    frames = stamped(*["rgb8"] * 3)
    truth = [
        (stamp_ns, np.zeros(shape, np.uint8))
        for (stamp_ns, _), shape in zip(frames, ((48, 64), (24, 32), (48, 64, 3)), strict=True)
    ]
    report = evaluate(write_bag(tmp_path / "bag", frames, truth), tiny_checkpoint)
    assert report.labelled_frames == 1 and report.counts.ground_truth_left_out == {"unusable": 2}
    assert "is of size (24, 32), its image of (48, 64)" in report.counts.details["unusable"]


def test_a_message_that_cannot_be_deserialized_costs_that_frame_alone(tmp_path, tiny_checkpoint):
    records = b"".join(
        recordings.schema(number, "sensor_msgs/msg/Image") + recordings.channel(number, topic)
        for number, topic in ((1, "/image_raw"), (2, GROUND_TRUTH_TOPIC))
    )
    for i in range(5):
        image = recordings.cdr(recordings.image(i))
        label = recordings.cdr(recordings.image(i, encoding="mono8", shape=(48, 64), high=3))
        image = {1: image[:100], 3: image.replace(b"rgb8", b"rgb\xff")}.get(i, image)
        records += recordings.message(1, i, image) + recordings.message(2, i, label[: 100 if i == 2 else None])
    path = recordings.write_mcap(tmp_path / "a.mcap", records)
    report = evaluate(path, tiny_checkpoint)
    assert report.frames == 3 and report.counts.left_out == {"broken message": 2}
    assert report.counts.ground_truth_left_out == {"unusable": 1, "no camera frame of that stamp": 2}
    assert "a broken sensor_msgs/msg/Image on /image_raw" in report.counts.details["broken message"]


def test_ground_truth_of_a_recorded_loop_belongs_to_the_frame_of_its_round(tmp_path):
    truth = {"encoding": "mono8", "shape": (48, 64)}
    stamps = [START_NS + i % 3 * PERIOD_NS for i in range(7)]
    topics = {
        "/image_raw": [(i, recordings.image(i, stamp_ns=stamp_ns)) for i, stamp_ns in enumerate(stamps[:6])],
        GROUND_TRUTH_TOPIC: [(i, recordings.image(i, stamp_ns=stamp_ns, **truth)) for i, stamp_ns in enumerate(stamps)],
    }
    counts = SourceCounts()
    with Bag(recordings.write_bag(tmp_path / "bag", topics)) as bag:
        for i, frame in enumerate(bag_frames(bag, "/image_raw", counts)):
            np.testing.assert_array_equal(frame.read_label().ravel(), recordings.image(i, **truth).data)
    assert i == 5 and counts.left_out == {}
    assert counts.ground_truth_left_out == {"duplicate stamp": 1} and counts.nearest_ns is None


def test_labels_beyond_the_classes_are_an_error_that_names_the_frame(tmp_path, tiny_checkpoint):
    truth = [(START_NS + i * PERIOD_NS, np.full((48, 64), (0, 3)[i], np.uint8)) for i in range(2)]
    bag = write_bag(tmp_path / "bag", stamped("rgb8", "rgb8"), truth)
    with pytest.raises(DataError, match=r"frame at 1700000000\.066666667 s: ground truth holds the labels \[3\]"):
        evaluate(bag, tiny_checkpoint)


def test_labels_in_another_order_of_classes_are_those_of_the_names(folder, tiny_checkpoint):
    expected = evaluate(folder, tiny_checkpoint)
    (folder / "classes.txt").write_text("wall\nbackground\nrobot\n")
    for path in (folder / "clip" / "labels").iterdir():
        cv2.imwrite(str(path), np.array([1, 2, 0], np.uint8)[cv2.imread(str(path), cv2.IMREAD_UNCHANGED)])
    report = evaluate(folder, tiny_checkpoint)
    assert report.iou_per_class == expected.iou_per_class and report.miou == expected.miou


def test_images_that_are_missing_or_broken_in_a_folder_are_errors_that_name_them(folder, tiny_checkpoint):
    (folder / "clip" / "images" / "0002.png").write_bytes(b"no image")
    with pytest.raises(DataError, match="0002.png"):
        evaluate(folder, tiny_checkpoint)


def test_speed_is_that_of_the_model_without_reading(folder, tiny_checkpoint, monkeypatch):
    reading_s = 0.1
    monkeypatch.setattr(FileFrames, "_read_image", lambda self, path: time.sleep(reading_s) or NOISE[:32, :48])
    report = evaluate(folder, tiny_checkpoint)
    assert report.fps_with_reading < 1 / reading_s
    assert report.frames / report.fps < report.frames / report.fps_with_reading - 4 * reading_s + 1e-3


def test_frames_that_the_model_does_not_answer_are_counted(folder, tiny_checkpoint, monkeypatch):
    step = VideoSegmentor.step

    def failing(self, frame, **stamp):
        if frame[0, 0, 0] == 120:
            raise PropagationError("masks cannot be propagated: no reason")
        return step(self, frame, **stamp)

    monkeypatch.setattr(VideoSegmentor, "step", failing)
    report = evaluate(folder, tiny_checkpoint)
    assert report.frames == report.labelled_frames == 3 and report.counts.left_out == {"propagation failed": 1}


def test_classes_of_one_name_are_reported_apart(folder, tiny_checkpoint, tmp_path_factory):
    model = Path(shutil.copytree(tiny_checkpoint, tmp_path_factory.mktemp("models") / "model"))
    config = json.loads((model / "config.json").read_text())
    config["id2label"] = {"0": "door", "1": "wall", "2": "door"}
    (model / "config.json").write_text(json.dumps(config))
    (folder / "classes.txt").unlink()
    assert list(evaluate(folder, str(model)).iou_per_class) == ["door [0]", "wall", "door [2]"]


@torch.inference_mode()
def test_fast_key_frames_give_the_labels_of_the_plain_network_with_all_its_queries():
    with Bag(SAMPLE_BAG) as bag:
        images = [frame.read_image() for frame in itertools.islice(bag_frames(bag, bag.image_topic()), 0, 100, 25)]
    plain, fast = (load_model(model_location("rooms-lite"), device=torch.device("cpu")) for _ in range(2))
    fast.accelerate(torch.float32)
    for image in images:
        expected = plain.segmentor.segment(image, 0.0)
        found = fast.segmentor.segment(image, 0.0)
        labels = label_map(class_scores(expected.mask_logits, expected.class_logits, expected.padding))
        kept = relevant_queries(found.mask_logits, found.class_logits, StreamConfig.query_tolerance)
        found_labels = best_labels(found.mask_logits[kept], found.class_logits[kept], found.padding)
        assert (found_labels.numpy() == labels).mean() >= 0.9999


def test_a_bag_is_decoded_with_the_settings_that_it_was_opened_with(tmp_path):
    pngs = [cv2.imencode(".png", np.full((side, side), 1 << 11, np.uint16))[1].tobytes() for side in (32, 48)]
    bag = write_bag(tmp_path / "bag", stamped(*(("png", png) for png in pngs)))
    shown = {}
    for bits in (12, 16):
        decoding = DecodingConfig(significant_bits=bits, max_image_pixels=32 * 32)
        (clip,) = open_labelled_source(bag, decoding=decoding).clips
        shown[bits] = [frame.read_image() for frame in clip.frames]
        assert clip.frames.counts.left_out == {"too large": 1} and isinstance(clip.frames, CountedFrames)
    assert [image.shape for image in shown[12]] == [(32, 32, 3)]
    assert (shown[12][0].max(), shown[16][0].max()) == (1 << 7, 1 << 3)


def test_files_are_decoded_with_the_settings_that_they_were_opened_with(folder):
    for path in (folder / "clip" / "images").iterdir():
        cv2.imwrite(str(path), np.full((32, 48), 1 << 11, np.uint16))
    for bits, expected in ((12, 1 << 7), (16, 1 << 3)):
        (clip,) = open_labelled_source(folder, decoding=DecodingConfig(significant_bits=bits)).clips
        assert clip.frames[0].read_image().max() == expected
    (clip,) = open_labelled_source(folder, decoding=DecodingConfig(max_image_pixels=32 * 48 - 1)).clips
    for read in (clip.frames[0].read_image, clip.frames[0].read_label):
        with pytest.raises(DataError, match="max_image_pixels is 1535"):
            read()
