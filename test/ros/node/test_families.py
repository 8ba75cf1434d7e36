"""The real node with models of other families than the shipped ones'."""

import numpy as np
import pytest
from sensor_msgs.msg import Image

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_ros.messages.conversions import image_message, labels_from_message
from test.tiny_families import CLASSES, busy_frame, lively

from ..conftest import header


@pytest.mark.parametrize("model_type", ["segformer", "oneformer"])
def test_a_camera_gets_the_labels_of_a_network_that_classifies_pixels_or_queries(model_type, start_node, peer, tmp_path):
    lively(model_type).save_pretrained(tmp_path)
    start_node(model=str(tmp_path), mode="lossless", max_interval_frames=3)
    camera = peer.connect(Image, "/camera/image_raw")
    frames = [busy_frame(64, 96 + i)[:, i:].copy() for i in range(5)]
    stream = VideoSegmentor.from_pretrained(str(tmp_path), device="cpu", config=StreamConfig(max_interval_frames=3))
    headers = [header(i) for i in range(len(frames))]
    answers = peer.send(camera, [image_message(frame, "rgb8", headers[i]) for i, frame in enumerate(frames)])
    assert [answer.header for answer in answers] == headers
    seen = set()
    for answer, frame, stamped in zip(answers, frames, headers, strict=True):
        stamp_ns = stamped.stamp.sec * 10**9 + stamped.stamp.nanosec
        expected = stream.step(frame, stamp_ns=stamp_ns).labels
        assert np.array_equal(labels_from_message(answer), expected)
        seen |= {*expected.flatten().tolist()}
    assert 1 < len(seen) <= len(CLASSES)
    assert stream.class_names == CLASSES
