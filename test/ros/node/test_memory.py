"""A segmentor with a memory in the node."""

import numpy as np
from sensor_msgs.msg import Image

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_ros.messages.conversions import image_message, labels_from_message

from ..conftest import header


def test_a_camera_s_key_frames_go_on_from_those_before_them(start_node, peer, frames, tiny_videomt_checkpoint):
    start_node(model=tiny_videomt_checkpoint, max_interval_frames=1)
    camera = peer.connect(Image, "/camera/image_raw")
    answers = peer.send(camera, [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames[:4])])
    stream = VideoSegmentor.from_pretrained(tiny_videomt_checkpoint, device="cpu", config=StreamConfig(max_interval_frames=1))
    alone = stream.new_stream()
    differ = False
    for i, (frame, answer) in enumerate(zip(frames, answers, strict=False)):
        alone.reset()
        expected = stream.step(frame, stamp_ns=i * 10**8).labels
        assert np.array_equal(labels_from_message(answer), expected)
        differ |= not np.array_equal(alone.step(frame, stamp_ns=i * 10**8).labels, expected)
    assert differ, "a frame segmented alone has other labels"
