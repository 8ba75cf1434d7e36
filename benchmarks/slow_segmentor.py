"""A segmentor of one second per key frame and a camera of 15 Hz: is every frame answered, and how soon?

    python -m benchmarks.slow_segmentor --seconds 30

Runs the node twice: with key frames that never come due, for the latency of propagation alone, and with slow ones in the
background. The slow segmentor waits rather than computes, so that the figures show what the node does and not how two
computations share a processor.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

import numpy as np
import rclpy
import torch
from builtin_interfaces.msg import Time
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image, TimeReference
from std_msgs.msg import Header

from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node, wait_for_node
from mpvss_model import VideoSegmentor
from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.messages.conversions import image_message, stamp_ns

CAMERA_HZ = 15


class SlowSegmentor:
    """Takes so much longer for each key frame."""

    def __init__(self, working: KeyFrameSegmentor, slow_s: float) -> None:
        self._working, self._slow_s = working, slow_s

    def __getattr__(self, name: str) -> object:
        return getattr(self._working, name)

    def segment(self, frame: np.ndarray, stamp_s: float, **memory: torch.Tensor) -> KeyFrame:
        """Wait, then work."""
        time.sleep(self._slow_s)
        return self._working.segment(frame, stamp_s, **memory)


class Robot(rclpy.node.Node):
    """A camera of drifting noise, and whoever wants its labels."""

    def __init__(self, width: int, height: int) -> None:
        super().__init__("robot")
        self.latencies_ms: list[float] = []
        self.key_stamps: set[int] = set()
        self._noise = np.random.default_rng(0).integers(0, 255, (height // 16, width // 16, 3), np.uint8)
        self._noise = self._noise.repeat(16, axis=0).repeat(16, axis=1)
        self.camera = self.create_publisher(Image, "/image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
        self.create_subscription(Image, "/mpvss/labels", self._on_labels, 100)
        self.create_subscription(TimeReference, "/mpvss/key_frame", self._on_key_frame, 100)

    def drive(self, seconds: float) -> int:
        """Send so many seconds of frames; returns their number."""
        wait_for_node(self, self.camera)
        frames, started_s = round(seconds * CAMERA_HZ), time.monotonic()
        for i in range(frames):
            frame = np.roll(self._noise, i, axis=1)
            self.camera.publish(image_message(frame, "rgb8", Header(stamp=self.get_clock().now().to_msg())))
            self._spin_until(started_s + (i + 1) / CAMERA_HZ)
        self._spin_until(time.monotonic() + 2.0)
        return frames

    def _spin_until(self, deadline_s: float) -> None:
        while (left_s := deadline_s - time.monotonic()) > 0.0:
            rclpy.spin_once(self, timeout_sec=left_s)

    def _on_labels(self, message: Image) -> None:
        self.latencies_ms.append((self.get_clock().now().nanoseconds - stamp_ns(message)) * 1e-6)

    def _on_key_frame(self, message: TimeReference) -> None:
        stamp: Time = message.time_ref
        self.key_stamps.add(stamp.sec * 10**9 + stamp.nanosec)


def drive(options: argparse.Namespace, *, slow_s: float, interval_frames: int) -> Row:
    """One run; latencies are without the first frame's."""

    def load_model(*args, **kwargs) -> VideoSegmentor:
        model = VideoSegmentor.from_pretrained(*args, **kwargs)
        model.segmentor = SlowSegmentor(model.segmentor, slow_s)
        return model

    values = {"model": options.model, "threads": 1, "max_interval_frames": interval_frames, "max_key_age_s": 3600.0}
    robot = Robot(options.width, options.height)
    with running_node(load_model=load_model, **values):
        frames = robot.drive(options.seconds)
    robot.destroy_node()
    # Those that came while the very first key frame was made could not be answered in time.
    after_first = robot.latencies_ms[1:]
    waited = round(robot.latencies_ms[0] / 1000 * CAMERA_HZ)
    return {
        "segmentor": f"{slow_s:g} s slower" if slow_s else "never due",
        "frames": frames,
        "unanswered after the first key frame": max(0, frames - len(robot.latencies_ms) - waited),
        "key frames": len(robot.key_stamps),
        "p50 ms": percentile(after_first, 50),
        "p99 ms": percentile(after_first, 99),
    }


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Of propagation alone, and of a slow segmentor, with how many times as large its 99th percentile is."""
    with ros():
        alone = drive(options, slow_s=0.0, interval_frames=100_000)
        yield {**alone, "p99 of alone": 1.0}
        slow = drive(options, slow_s=options.slow_s, interval_frames=5)
        yield {**slow, "p99 of alone": slow["p99 ms"] / alone["p99 ms"]}


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--slow-s", type=float, default=1.0)
    options.add_argument("--width", type=int, default=320)
    options.add_argument("--height", type=int, default=240)
    options.add_argument("--model", default="rooms-lite")
    return options


if __name__ == "__main__":
    list(printed(measure(parser().parse_args())))
