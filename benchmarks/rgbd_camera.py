"""An RGB-D camera that shows the shipped clip, enlarged, at a fixed rate, as a program of its own.

    python -m benchmarks.rgbd_camera --size 640x480 --rate 15

It reports on ``/diagnostics`` how many frames it sent: on a machine that is too busy it sends fewer than it should.
"""

from __future__ import annotations

import argparse
from contextlib import suppress
from itertools import cycle

import cv2
import numpy as np
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from benchmarks.count_report import CountReport
from benchmarks.running_node import ros
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.bags.rooms_bag import CAMERA_INFO_TOPIC, DEPTH_TOPIC, FRAME_ID
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.messages.conversions import image_message, labels_from_message

__all__ = ["RgbdCamera", "main"]

FRAMES = 30
DEPTH = 5


class RgbdCamera(Node):
    """Publishes frames of the clip in turn on ``/image``, ``/depth`` and ``/camera_info``, reliably.

    Args:
        size: Width and height of all images.
        rate_hz: Frames that are sent a second, at most.
        labels: Whether the clip's own labels are sent, too.
    """

    def __init__(self, size: tuple[int, int], rate_hz: float, *, labels: bool) -> None:
        super().__init__("camera")
        with Bag(SAMPLE_BAG) as bag:
            images = [frame.read_image() for frame, _ in zip(bag_frames(bag, bag.image_topic()), range(FRAMES), strict=False)]
            depths = [_depth(m) for m, _ in zip(bag.messages(DEPTH_TOPIC), range(FRAMES), strict=False)]
            truths = [labels_from_message(m) for m, _ in zip(bag.messages(GROUND_TRUTH_TOPIC), range(FRAMES), strict=False)]
            info = next(iter(bag.messages(CAMERA_INFO_TOPIC)))
        self._shown = cycle(
            [
                (cv2.resize(image, size), *(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST) for values in pixels))
                for image, *pixels in zip(images, depths, truths, strict=True)
            ]
        )
        scale = np.array([size[0] / info.width, size[1] / info.height, 1.0])
        self._info = CameraInfo(width=size[0], height=size[1], k=(np.diag(scale) @ info.k.reshape(3, 3)).ravel())
        topics = {"image": Image, "depth": Image, "camera_info": CameraInfo}
        self._outputs = {topic: self.create_publisher(kind, f"/{topic}", DEPTH) for topic, kind in topics.items()}
        self._truths = self.create_publisher(Image, "/mpvss/labels", DEPTH) if labels else None
        self._report = CountReport(self, 1)
        self.create_timer(1.0 / rate_hz, self.send)

    def send(self) -> None:
        """One frame, stamped now."""
        image, depth, labels = next(self._shown)
        header = Header(stamp=self.get_clock().now().to_msg(), frame_id=FRAME_ID)
        self._info.header = header
        in_bytes = image_message(depth.view(np.uint8), "16UC1", header)
        in_bytes.width = depth.shape[1]
        self._outputs["camera_info"].publish(self._info)
        self._outputs["image"].publish(image_message(image, "rgb8", header))
        self._outputs["depth"].publish(in_bytes)
        if self._truths is not None:
            self._truths.publish(image_message(labels, "mono8", header))
        self._report.count()


def _depth(message) -> np.ndarray:
    return np.frombuffer(message.data, "<u2").reshape(message.height, message.width)


def main(args: list[str] | None = None) -> None:
    """Send until somebody interrupts it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="640x480")
    options.add_argument("--rate", type=float, default=15.0)
    options.add_argument("--labels", action="store_true", help="send the clip's labels, too")
    given = options.parse_args(args)
    width, height = map(int, given.size.split("x"))
    with ros(), suppress(KeyboardInterrupt, ExternalShutdownException):
        rclpy.spin(RgbdCamera((width, height), given.rate, labels=given.labels))


if __name__ == "__main__":
    main()
