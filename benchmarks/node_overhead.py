"""What the node adds to the model: the time of everything but `VideoSegmentor.step`, per frame.

    python -m benchmarks.node_overhead --frames 500

A camera sends images over DDS, one at a time, to a node in the same process. ``inside`` is from taking the message from the
mailbox to having published its labels, ``round trip`` from the camera's publish to the labels' arrival, both less the model's
time. ``inside (CPU)`` is the processor time of the first, which a busy machine does not blur.

Then what the other outputs cost: ``inside (CPU)`` of frames in turn as the node publishes them, and with nothing but the label
image; and of frames of which somebody reads every output.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle

import numpy as np
import rclpy
import sensor_msgs.msg
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmarks.running_node import running_node, wait_for_node
from mpvss_model import VideoSegmentor
from mpvss_model.evaluation.timing import Stopwatch, timed_method
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.camera import Camera
from mpvss_ros.node.label_outputs import resized
from mpvss_ros.node.outputs import Outputs

WARM_UP_FRAMES = 20
PARAMETERS = {"propagation": "copy", "max_interval_frames": 100_000, "max_key_age_s": 3600.0, "mode": "lossless", "threads": 1}


def round_trips(node: rclpy.node.Node, encoding: str, frames: int, size: tuple[int, int]) -> list[float]:
    """Send frames and wait for the labels of each; returns the seconds."""
    answers = []
    camera = node.create_publisher(Image, "/image", 1)
    labels = node.create_subscription(Image, "/mpvss/labels", answers.append, 1)
    wait_for_node(node, camera)
    image = np.random.default_rng(0).integers(0, 255, (size[1], size[0], 3), np.uint8)
    watch = Stopwatch()
    for _ in range(frames + WARM_UP_FRAMES):
        message = image_message(image, encoding, Header(stamp=node.get_clock().now().to_msg()))
        answers.clear()
        with watch:
            camera.publish(message)
            while not answers:
                rclpy.spin_once(node, timeout_sec=1.0)
    node.destroy_publisher(camera)
    node.destroy_subscription(labels)
    return watch.laps_s


def only_labels(outputs: Outputs, header, frame, segmentation, *, camera_info, config) -> None:
    """What `Outputs.publish` would be if there were no output but the label images."""
    found = outputs._labels
    labels = resized(outputs._class_map(segmentation.labels), config.label_size)
    found._labels.publish(image_message(found._label_ids(labels), found._label_ids.encoding, header))


@contextmanager
def in_turn(first: Callable[..., None], second: Callable[..., None]) -> Iterator[None]:
    """Have every other frame published by another function until the block ends."""
    publish, functions = Outputs.publish, cycle((first, second))
    Outputs.publish = lambda *arguments, **named: next(functions)(*arguments, **named)
    try:
        yield
    finally:
        Outputs.publish = publish


@contextmanager
def everything_read(node: rclpy.node.Node) -> Iterator[int]:
    """Subscribe to all that the segmentation node publishes of a frame; gives their number."""
    found = node.get_publisher_names_and_types_by_node("segmentation", "/mpvss")
    kinds = {name: types[0].rpartition("/") for name, types in found if name != "/mpvss/labels"}
    topics = {
        name: getattr(sensor_msgs.msg, kind) for name, (package, _, kind) in kinds.items() if package == "sensor_msgs/msg"
    }
    subscriptions = [node.create_subscription(kind, name, lambda data: None, 1, raw=True) for name, kind in topics.items()]
    try:
        yield len(subscriptions)
    finally:
        for subscription in subscriptions:
            node.destroy_subscription(subscription)


def row(title: str, seconds: Sequence[float], model_s: Sequence[float]) -> None:
    """Print the time that is not the model's."""
    # Labels arrive a moment before `process` has returned: its last frame may be missing.
    rest_ms = [1000 * (whole - model) for whole, model in zip(seconds, model_s, strict=False)]
    print(f"  {title:35}{percentile(rest_ms, 50):15.2f} {percentile(rest_ms, 99):8.2f}", flush=True)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=500)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--model", default="rooms-lite")
    options = parser.parse_args()
    rclpy.init(args=[])
    camera = rclpy.create_node("camera")
    print(f"{options.width}x{options.height}, {options.frames} frames, ms:                 median      p99")
    with (
        timed_method(Camera, "process") as process_s,
        timed_method(Camera, "process", time.thread_time) as process_cpu_s,
        running_node(model=options.model, **PARAMETERS),
        # Only now: the node's start calls it, too.
        timed_method(VideoSegmentor, "step") as step_s,
        timed_method(VideoSegmentor, "step", time.thread_time) as step_cpu_s,
    ):
        for encoding in ("rgb8", "bgr8"):
            for seconds in (step_s, process_s, step_cpu_s, process_cpu_s):
                seconds.clear()
            trips_s = round_trips(camera, encoding, options.frames, (options.width, options.height))
            for name, whole_s, model_s in (
                ("inside", process_s, step_s),
                ("inside (CPU)", process_cpu_s, step_cpu_s),
                ("round trip", trips_s, step_s),
            ):
                row(f"{encoding}  {name}", whole_s[WARM_UP_FRAMES:], model_s[WARM_UP_FRAMES:])
        for seconds in (step_cpu_s, process_cpu_s):
            seconds.clear()
        with in_turn(Outputs.publish, only_labels):
            round_trips(camera, "rgb8", 2 * options.frames, (options.width, options.height))
        for title, first in (("all outputs, only labels are read", 0), ("no output but labels", 1)):
            chosen = slice(WARM_UP_FRAMES + first, None, 2)
            row(title, process_cpu_s[chosen], step_cpu_s[chosen])
        for seconds in (step_cpu_s, process_cpu_s):
            seconds.clear()
        with everything_read(camera) as count:
            round_trips(camera, "rgb8", options.frames, (options.width, options.height))
        row(f"all outputs, {count} others are read", process_cpu_s[WARM_UP_FRAMES:], step_cpu_s[WARM_UP_FRAMES:])
    rclpy.shutdown()


if __name__ == "__main__":
    main()
