"""Replay through the real node, against the evaluation straight from the file."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_ros.bags.bag import Bag, BagWriter
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.messages.conversions import labels_from_message, stamp_ns
from mpvss_ros.replay.replay_session import SessionError, run_session
from mpvss_ros.replay.report import write_report
from mpvss_ros.replay.run_result import RunSettings

FRAMES = 24
INTERVAL = 4


@pytest.fixture(scope="module")
def short_recording(tmp_path_factory):
    """The first frames of the shipped clip."""
    path = tmp_path_factory.mktemp("recording") / "short"
    with Bag(SAMPLE_BAG) as sample, BagWriter(path) as short:
        for topic, type_name in sample.types_by_topic.items():
            if type_name != "sensor_msgs/msg/CompressedImage":  # depth, calibration and poses are not evaluated
                continue
            for _, message in zip(range(FRAMES), sample.messages(topic), strict=False):
                stamp = message.header.stamp
                short.write_compressed_image(
                    topic,
                    stamp_ns=stamp.sec * 10**9 + stamp.nanosec,
                    frame_id=message.header.frame_id,
                    file_format=message.format,
                    data=message.data.tobytes(),
                )
    return path


@pytest.fixture(scope="module")
def replayed(short_recording):
    progress = []
    with Bag(short_recording) as bag:
        result = run_session(
            bag=bag,
            topic=bag.image_topic(),
            node_parameters={"model": "rooms-lite", "threads": 1, "max_interval_frames": INTERVAL},
            rate=0.0,
            on_progress=lambda p: progress.append((p.frames_in, p.labels_out, p.key_frames)),
        )
    return result, progress


@pytest.fixture(scope="module")
def offline(short_recording):
    """What the model makes of the recording without any ROS."""
    config = StreamConfig(max_interval_frames=INTERVAL)
    segmentor = VideoSegmentor.from_pretrained("rooms-lite", device="cpu", config=config)
    with Bag(short_recording) as bag:
        return [segmentor.step(frame.read_image(), stamp_ns=frame.stamp_ns) for frame in bag_frames(bag, bag.image_topic())]


def test_every_frame_of_a_replay_is_answered_in_order(replayed):
    result, progress = replayed
    stamps = list(result.answers)
    assert len(stamps) == FRAMES and stamps == sorted(stamps)
    assert [a.is_key_frame for a in result.answers.values()] == [i % 4 == 0 for i in range(FRAMES)]
    assert all(a.latency_ms > 0 for a in result.answers.values())
    assert progress[-1] == (FRAMES, FRAMES, FRAMES // 4) and progress == sorted(progress)
    assert result.model == "rooms-lite" and result.class_names[0] == "wall"


def test_the_node_and_the_file_give_the_same_labels_bit_for_bit(replayed, offline):
    assert len(replayed[0].answers) == len(offline) == FRAMES
    for answer, segmentation in zip(replayed[0].answers.values(), offline, strict=True):
        assert answer.stamp_ns == segmentation.stamp_ns
        assert answer.is_key_frame == segmentation.is_key_frame
        np.testing.assert_array_equal(answer.labels, segmentation.labels)


@pytest.mark.parametrize("rate", [0.5, 4.0])
def test_the_labels_depend_neither_on_the_replay_s_speed_nor_on_simulated_time(
    start_node, start_process, peer, short_recording, offline, rate
):
    start_node(
        *("-r", "image/compressed:=/camera/image_raw/compressed"),
        model="rooms-lite",
        image_transport="compressed",
        max_interval_frames=INTERVAL,
        use_sim_time=True,
    )
    replay = start_process(
        *("-r", "__ns:=/mpvss"),
        module="replay.main",
        bag=short_recording,
        topics="[/camera/image_raw/compressed]",
        image_topic="/camera/image_raw/compressed",
        rate=rate,
        publish_clock=True,
    )
    peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == FRAMES)
    assert replay.process.wait(60) == 0
    for message, segmentation in zip(peer.received["/mpvss/labels"], offline, strict=True):
        assert stamp_ns(message) == segmentation.stamp_ns
        np.testing.assert_array_equal(labels_from_message(message), segmentation.labels)
    # The first frame comes at the recording's time, the last one within its length.
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == str(FRAMES))
    assert abs(peer.received["/diagnostics"][-1].header.stamp.sec - offline[-1].stamp_s) < 2.0


def settings(model):
    return RunSettings(model=model, interval=INTERVAL, bag="short", topic="/camera", rate=0.0, settings={})


def test_a_report_holds_the_figures_a_video_and_a_plot(replayed, short_recording, tmp_path):
    result, _ = replayed
    answers = dict(list(result.answers.items())[:-2])
    with Bag(short_recording) as bag:
        report = write_report(
            tmp_path / "new" / "out",
            bag=bag,
            topic=bag.image_topic(),
            answers=answers,
            class_names=result.class_names,
            settings=settings(result.model),
        )
    out = tmp_path / "new" / "out"
    assert sorted(path.name for path in out.iterdir()) == ["overlay.mp4", "report.json", "report.png"]
    assert json.loads((out / "report.json").read_text()) == report.as_dict()
    assert (report.frames_in, report.labels_out, report.dropped, report.key_frames) == (FRAMES, FRAMES - 2, 2, 6)
    assert 0.3 < report.miou < 1.0 and 0 < report.latency_p50_ms <= report.latency_p99_ms
    video = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert video.get(cv2.CAP_PROP_FRAME_COUNT) == FRAMES and video.get(cv2.CAP_PROP_FRAME_WIDTH) == 640
    assert cv2.imread(str(out / "report.png")).shape[1] > 800


def test_ground_truth_of_other_classes_is_not_compared_with(replayed, short_recording, tmp_path):
    answers = {s: replace(a, labels=np.minimum(a.labels, 2)) for s, a in replayed[0].answers.items()}
    with Bag(short_recording) as bag:
        report = write_report(
            tmp_path,
            bag=bag,
            topic=bag.image_topic(),
            answers=answers,
            class_names=("sky", "road", "car"),
            settings=settings("other"),
        )
    assert report.miou is None and report.iou_per_class == {"sky": None, "road": None, "car": None}
    assert report.labels_out == FRAMES
    assert any("beyond the model's classes" in note for note in report.notes)


def test_a_node_that_does_not_start_gives_its_reason(short_recording):
    with Bag(short_recording) as bag, pytest.raises(SessionError, match="^no model at '/no/such/model'"):
        run_session(
            bag=bag,
            topic=bag.image_topic(),
            node_parameters={"model": "/no/such/model"},
            rate=0.0,
            on_progress=lambda _: None,
        )


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"bag": "/no/such/bag"}, "no bag at '/no/such/bag'"),
        ({"bag": SAMPLE_BAG, "topics": "[/nope]"}, "topic '/nope' is not in the bag"),
        ({"bag": SAMPLE_BAG, "rate": -1.0}, "rate and window must not be negative"),
        ({"bag": SAMPLE_BAG, "wait_timeout_s": 0.2}, "only 0 of 1 subscriptions on /camera/image_raw/compressed"),
    ],
)
def test_a_replay_that_cannot_start_says_why(start_process, parameters, message):
    node = start_process(module="replay.main", **parameters)
    assert node.process.wait(60) == 2
    assert message in node.log() and "Traceback" not in node.log()
