"""What the node's parameters of images do, live, in diagnostics and in the log."""

import numpy as np
from sensor_msgs.msg import Image

from mpvss_ros.messages.conversions import image_message

from ..conftest import header


def test_images_that_are_too_large_are_counted_and_the_limit_may_change_live(start_node, peer, frames):
    start_node()
    publisher = peer.connect(Image, "/camera/image_raw")
    peer.send(publisher, [image_message(frames[0], "rgb8", header(0))])
    assert peer.set_parameters(max_image_pixels=48 * 64 - 1).successful
    publisher.publish(image_message(frames[1], "rgb8", header(1)))
    peer.spin_until_diagnostics(lambda d: d["segmentation: input"]["malformed_by_reason"] == "too large: 1")
    assert peer.set_parameters(max_image_pixels=48 * 64).successful
    peer.send(publisher, [image_message(frames[2], "rgb8", header(2))])
    assert not peer.set_parameters(max_image_pixels=0).successful


def test_images_of_twelve_bits_are_as_bright_as_others_and_significant_bits_may_change_live(start_node, peer, frames):
    start_node(overlay_alpha=0.0)
    publisher = peer.connect(Image, "/camera/image_raw")
    peer.listen(Image, "/mpvss/overlay")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/overlay"))
    gray = [frame[..., 0] for frame in frames]

    def shown(index):
        values = gray[index].astype("<u2") * 16
        image = image_message(values.view(np.uint8), "mono16", header(index))
        image.width = 64
        (overlay,) = peer.send(publisher, [image], labels="/mpvss/overlay")
        return np.frombuffer(overlay.data, np.uint8).reshape(48, 64, 3)[..., 1]

    np.testing.assert_array_equal(shown(0), gray[0])
    assert peer.set_parameters(significant_bits=16).successful
    np.testing.assert_array_equal(shown(1), gray[1] // 16)
    refusal = peer.set_parameters(significant_bits=7)
    assert not refusal.successful and "'significant_bits' must be 0 or in 8 .. 16, got 7" in refusal.reason
