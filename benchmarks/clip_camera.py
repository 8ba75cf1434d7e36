"""A camera that shows the shipped clip again and again, and counts the labels that come back."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.time import Time
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from benchmarks.running_node import wait_for_node
from mpvss_ros.bags.bag import Bag
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.messages.conversions import compressed_message, image_message, rgb_from_message, stamp_ns

__all__ = ["Answers", "ClipCamera", "clip_images"]

CLIP_HZ = 15
PUBLISHER_DEPTH = 10
ANSWER_TIMEOUT_S = 60.0
JPEG_QUALITY = 90
LAST_ANSWERS_S = 1.0


@dataclass(frozen=True)
class Answers:
    """What came back.

    Attributes:
        frames: That were sent.
        seconds: From the first frame to the last labels.
        latencies_ms: From each answered frame to its labels.
    """

    frames: int
    seconds: float
    latencies_ms: list[float]


class ClipCamera(Node):
    """Sends frames on ``/image`` as ``rgb8``, or as JPEG on ``/image/compressed``, once the running node listens.

    Args:
        width: The clip's frames are scaled to this.
        height: Likewise.
        reliability: Of its publisher.
        compressed: Whether it sends JPEG.
        watch: Other topics of images that somebody subscribes to, such as ``overlay``.

    Attributes:
        watched: How many messages came on those.
    """

    def __init__(
        self,
        width: int,
        height: int,
        reliability: ReliabilityPolicy,
        *,
        compressed: bool = False,
        watch: tuple[str, ...] = (),
    ) -> None:
        super().__init__("camera")
        self._messages = [_message(image, (width, height), compressed) for image in clip_images()]
        self._sent_s: dict[int, float] = {}
        self._answered_s: dict[int, float] = {}
        topic = "/image/compressed" if compressed else "/image"
        qos = QoSProfile(depth=PUBLISHER_DEPTH, reliability=reliability)
        self._publisher = self.create_publisher(type(self._messages[0]), topic, qos)
        self.create_subscription(Image, "/mpvss/labels", self._on_labels, 100)
        self.watched = dict.fromkeys(watch, 0)
        for name in watch:
            kind = CompressedImage if name.endswith("compressed") else Image
            self.create_subscription(kind, f"/mpvss/{name}", lambda data, name=name: self._on_watched(name), 2, raw=True)
        wait_for_node(self, self._publisher)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self)

    def send_as_answered(self, frames: int, window: int) -> Answers:
        """Send frames with the stamps of the clip, never more than ``window`` of them unanswered.

        Raises:
            TimeoutError: If labels stay away.
        """
        for i in range(frames):
            self._wait_for_answers(window - 1)
            self._send(i, i * 10**9 // CLIP_HZ)
        self._wait_for_answers(0)
        return self._answers()

    def send_live(self, frames: int, rate_hz: float) -> Answers:
        """Send frames stamped with the time at that rate, answered or not.

        Raises:
            TimeoutError: If none is answered.
        """
        started_s = time.monotonic()
        for i in range(frames):
            self._spin_until(started_s + i / rate_hz)
            self._send(i, self.get_clock().now().nanoseconds)
        self._spin_until(time.monotonic() + LAST_ANSWERS_S)
        if not self._answered_s:
            raise TimeoutError(f"none of {frames} frames was answered")
        return self._answers()

    def _send(self, index: int, stamp_ns: int) -> None:
        message = self._messages[index % len(self._messages)]
        message.header.stamp = Time(nanoseconds=stamp_ns).to_msg()
        self._sent_s[stamp_ns] = time.monotonic()
        self._publisher.publish(message)

    def _on_labels(self, message: Image) -> None:
        self._answered_s[stamp_ns(message)] = time.monotonic()

    def _on_watched(self, name: str) -> None:
        self.watched[name] += 1

    def _wait_for_answers(self, allowed: int) -> None:
        deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
        while len(self._sent_s) - len(self._answered_s) > allowed:
            if time.monotonic() > deadline_s:
                raise TimeoutError(f"{len(self._answered_s)} of {len(self._sent_s)} frames answered, then none for a minute")
            self._executor.spin_once(timeout_sec=0.1)

    def _spin_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - time.monotonic()) > 0.0:
            self._executor.spin_once(timeout_sec=left_s)

    def _answers(self) -> Answers:
        latencies_ms = [1000 * (answered_s - self._sent_s[stamp]) for stamp, answered_s in self._answered_s.items()]
        seconds = max(self._answered_s.values()) - min(self._sent_s.values())
        return Answers(len(self._sent_s), seconds, latencies_ms)


def clip_images() -> Iterator[np.ndarray]:
    """Of the shipped clip, uint8 RGB ``[240, 320, 3]`` each."""
    with Bag(SAMPLE_BAG) as bag:
        yield from map(rgb_from_message, bag.messages(bag.image_topic()))


def _message(image: np.ndarray, size: tuple[int, int], compressed: bool) -> Image | CompressedImage:
    scaled = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return (
        compressed_message(scaled, "jpeg", Header(), quality=JPEG_QUALITY)
        if compressed
        else image_message(scaled, "rgb8", Header())
    )
