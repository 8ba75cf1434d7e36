"""Frames of a bag are what the node sees of its messages."""

import cv2
import numpy as np

from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.messages.conversions import reduced_rgb_from_message

from ..recordings import STORE, camera, header, image, write_bag

PERIOD_NS = 66_666_667


def jpeg(index):
    pixels = cv2.resize(image(index).data.reshape(48, 64, 3), (256, 192), interpolation=cv2.INTER_CUBIC)
    return STORE.types["sensor_msgs/msg/CompressedImage"](
        header=header(PERIOD_NS * (index + 1)), format="jpeg", data=cv2.imencode(".jpg", pixels)[1].ravel()
    )


def needed_size(size):
    return 48, 64


def test_jpegs_are_reduced_as_by_the_node_and_whole_where_the_whole_is_asked_for(tmp_path):
    path = write_bag(tmp_path / "bag", camera(jpeg, frames=3, topic="/camera/image_raw/compressed"))
    with Bag(path) as bag:
        messages = list(bag.messages(bag.image_topic()))
        for frame, message in zip(bag_frames(bag, bag.image_topic()), messages, strict=True):
            reduced, seen = frame.reduced_image(needed_size), reduced_rgb_from_message(message, needed_size=needed_size)
            assert (reduced.reduction, reduced.size) == (4, (192, 256))
            np.testing.assert_array_equal(reduced.pixels, seen.pixels)
            assert frame.read_image().shape == (192, 256, 3)
            assert frame.reduced_image(lambda size: size).reduction == 1


def test_raw_images_are_always_whole(tmp_path):
    with Bag(write_bag(tmp_path / "bag", camera(frames=1))) as bag:
        (frame,) = bag_frames(bag, bag.image_topic())
        assert frame.reduced_image(needed_size).pixels is frame.read_image()
