"""What the node adds to the model: the time of everything but `VideoSegmentor.step`, per frame.

    python -m benchmarks.node_overhead --frames 500
    python -m benchmarks.node_overhead --width 1920 --height 1080 --inference-size 240 --encodings rgb8 jpeg "jpeg, whole"

A camera sends images over DDS, one at a time, to a node in the same process. ``inside`` is from taking the message from the
mailbox to having published its labels, ``round trip`` from the camera's publish to the labels' arrival, both less the model's
time. ``inside, CPU`` is the processor time of the first, which a busy machine does not blur. ``jpeg`` is a compressed camera,
whose images are decoded no larger than ``--inference-size`` needs; of ``jpeg, whole`` all pixels are, as for the overlay.
With ``--watch`` somebody subscribes to other topics of images, too, which takes a part of the round trip.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from unittest import mock

import cv2
import numpy as np
import rclpy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from benchmarks.clip_camera import clip_images
from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node, wait_for_node
from mpvss_model import VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.evaluation.timing import Stopwatch, timed_method
from mpvss_model.images.reduced_image import ReducedImage
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.messages.conversions import compressed_message, image_message, rgb_from_message
from mpvss_ros.node import camera as node_camera
from mpvss_ros.node.camera import Camera

WARM_UP_FRAMES = 20
PARAMETERS = {"propagation": "copy", "max_interval_frames": 100_000, "max_key_age_s": 3600.0, "mode": "lossless", "threads": 1}
RAW = ("rgb8", "bgr8")
JPEG, WHOLE_JPEG = "jpeg", "jpeg, whole"


def whole_image(message: Image | CompressedImage, **options: object) -> ReducedImage:
    """As `reduced_rgb_from_message`, but never reduced."""
    del options["needed_size"]
    return ReducedImage(rgb_from_message(message, **options))


def round_trips(
    node: rclpy.node.Node, message: Image | CompressedImage, frames: int, watch: Sequence[str] = ()
) -> list[float]:
    """Send a message so often, each under the stamp of its time, and wait for the labels of each; returns the seconds.

    Args:
        node: The camera, and whoever wants its labels.
        message: With any stamp.
        frames: That count; some come before.
        watch: Topics of the node that somebody subscribes to, too.
    """
    answers = []
    is_raw = isinstance(message, Image)
    camera = node.create_publisher(type(message), "/image" if is_raw else "/image/compressed", 1)
    labels = node.create_subscription(Image, "/mpvss/labels", answers.append, 1)
    watched = [
        node.create_subscription(
            CompressedImage if name.endswith("compressed") else Image, f"/mpvss/{name}", lambda data: None, 1, raw=True
        )
        for name in watch
    ]
    wait_for_node(node, camera)
    trip = Stopwatch()
    for _ in range(frames + WARM_UP_FRAMES):
        message.header.stamp = node.get_clock().now().to_msg()
        answers.clear()
        with trip:
            camera.publish(message)
            while not answers:
                rclpy.spin_once(node, timeout_sec=1.0)
    node.destroy_publisher(camera)
    for subscription in (labels, *watched):
        node.destroy_subscription(subscription)
    return trip.laps_s


def camera_message(encoding: str, size: tuple[int, int]) -> Image | CompressedImage:
    """Noise as a raw image, or the clip's first image as a JPEG, whose decoding depends on what it shows."""
    width, height = size
    if encoding in RAW:
        return image_message(np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8), encoding, Header())
    first = next(clip_images())
    return compressed_message(cv2.resize(first, size, interpolation=cv2.INTER_CUBIC), "jpeg", Header(), quality=90)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each encoding: medians and 99th percentiles, in milliseconds."""
    with ros():
        camera = rclpy.create_node("camera")
        for encoding in options.encodings:
            yield measured_encoding(options, camera, encoding)


def measured_encoding(options: argparse.Namespace, camera: rclpy.node.Node, encoding: str) -> Row:
    """One encoding's row."""
    values = {**PARAMETERS, "model": options.model, "inference_size": options.inference_size}
    values["image_transport"] = "raw" if encoding in RAW else "compressed"
    decode = whole_image if encoding == WHOLE_JPEG else node_camera.reduced_rgb_from_message
    message = camera_message(encoding, (options.width, options.height))
    with (
        mock.patch.object(node_camera, "reduced_rgb_from_message", decode),
        timed_method(Camera, "process") as process_s,
        timed_method(Camera, "process", time.thread_time) as process_cpu_s,
        running_node(**values),
        # Only now: the node's start calls it, too.
        timed_method(VideoSegmentor, "step") as step_s,
        timed_method(VideoSegmentor, "step", time.thread_time) as step_cpu_s,
    ):
        trips_s = round_trips(camera, message, options.frames, options.watch)
    row: Row = {"size": f"{options.width}x{options.height}", "encoding": encoding, "watched": ", ".join(options.watch)}
    for name, whole_s, model_s in (
        ("inside", process_s, step_s),
        ("inside, CPU", process_cpu_s, step_cpu_s),
        ("round trip", trips_s, step_s),
    ):
        # Labels arrive a moment before `process` has returned: its last frame may be missing.
        pairs = zip(whole_s, model_s, strict=False)
        rest_ms = [1000 * (whole - model) for whole, model in pairs][WARM_UP_FRAMES:]
        row |= {f"{name} p50 ms": percentile(rest_ms, 50), f"{name} p99 ms": percentile(rest_ms, 99)}
    return row


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=500)
    options.add_argument("--width", type=int, default=640)
    options.add_argument("--height", type=int, default=480)
    options.add_argument("--encodings", nargs="+", default=list(RAW), choices=(*RAW, JPEG, WHOLE_JPEG))
    options.add_argument("--inference-size", type=int, default=-1)
    options.add_argument("--watch", nargs="+", default=[], metavar="TOPIC", help="such as overlay or labels/compressed")
    options.add_argument("--model", default=DEFAULT_MODEL)
    return options


if __name__ == "__main__":
    list(printed(measure(parser().parse_args())))
