"""``mpvss evaluate`` on bags and folders."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from mpvss_model import ConfigError, DataError, StreamConfig
from mpvss_model.segmentor.loading import load_model
from mpvss_model.semantics import best_labels, class_scores, label_map, relevant_queries
from mpvss_model.video_segmentor import model_location
from mpvss_ros.bag import GROUND_TRUTH_TOPIC, BagWriter
from mpvss_ros.cli import SAMPLE_BAG
from mpvss_ros.evaluation import Bag, bag_frames
from mpvss_ros.offline import evaluate_source, evaluation_table

FRAMES = 18


@pytest.fixture(scope="module")
def small_bag(tmp_path_factory):
    """The beginning of the shipped clip at a quarter of its size, with one frame twice and one broken."""
    path = tmp_path_factory.mktemp("bags") / "small"
    with Bag(SAMPLE_BAG) as sample, BagWriter(path) as small:
        for i, frame in zip(range(FRAMES), bag_frames(sample, sample.image_topic())):
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
    assert (report["frames"], report["key_frames"], len(seen)) == (FRAMES, key_frames, FRAMES)
    assert 0.1 < report["miou"] < 1.0 and 0.1 < report["weighted_iou"] < 1.0 and 0.3 < report["mvc8"] <= 1.0
    assert report["iou_per_class"]["floor"] > 0.5
    assert report["fps"] > 0
    assert evaluation_table(report).row_count == 8


def test_propagation_saves_computation(small_bag):
    costs = {
        name: evaluate_source(small_bag, model="rooms-lite", propagation=name, interval=3)["gflops_per_frame"]
        for name in ("per-frame", "copy")
    }
    assert costs["copy"] < 0.5 * costs["per-frame"]


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
    assert (report["frames"], report["key_frames"]) == (4, 2)
    assert report["miou"] is not None and report["mvc8"] is None
    assert set(report["iou_per_class"]) == {"background", "robot", "wall"}


def test_a_model_with_other_classes_is_refused_before_anything_is_segmented(folder):
    with pytest.raises(DataError, match=r"3 classes .*'rooms-lite' has 12"):
        evaluate_source(folder, model="rooms-lite", propagation="dense", interval=2)


def test_an_unknown_propagation_is_refused(small_bag):
    with pytest.raises(ConfigError, match="per-frame, auto, segment, pixel, tracked, dense, copy, got 'magic'"):
        evaluate_source(small_bag, model="rooms-lite", propagation="magic", interval=5)


def test_learned_flow_needs_a_model_that_has_it(small_bag, tiny_checkpoint):
    with pytest.raises(ConfigError, match="needs a model with a trained motion module"):
        evaluate_source(small_bag, model=tiny_checkpoint, propagation="segment", interval=5)


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
