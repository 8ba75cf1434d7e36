"""What outputs cost that nobody reads: processor time of a frame in the node without the model's, in milliseconds.

    python -m benchmarks.unread_outputs --frames 500

A camera sends images over DDS, one at a time, to a node in the same process. Frames are published in turn as the node does it
and with nothing but the label image, while nobody reads anything else; then frames of which somebody reads every output.
``inside`` is what the thread takes that works on frames, from taking the message from the mailbox to having published its
labels; ``pictures`` what the one takes that draws and publishes the pictures after them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle
from unittest import mock

import rclpy
from rclpy.node import Node
from rclpy.publisher import Publisher

from benchmarks.node_overhead import PARAMETERS, WARM_UP_FRAMES, camera_message, round_trips
from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node
from mpvss_model import VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.evaluation.timing import timed_method
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.camera import Camera
from mpvss_ros.node.label_outputs import Picture, resized
from mpvss_ros.node.outputs import Outputs

LABELS = "/mpvss/labels"


def only_labels(outputs: Outputs, header, segmentation, *, config, **unused: object) -> list[Picture]:
    """What `Outputs.publish` would be if there were no output but the label images."""
    found = outputs._labels
    labels = resized(outputs._class_map(segmentation.labels), config.label_size)
    found._labels.publish(image_message(found._label_ids(labels), found._label_ids.encoding, header))
    return []


@contextmanager
def every_other_frame_with_only_labels() -> Iterator[None]:
    """The first frame is published as always, the second by `only_labels`, and so on until the block ends."""
    ways = cycle((Outputs.publish, only_labels))
    with mock.patch.object(Outputs, "publish", lambda *arguments, **named: next(ways)(*arguments, **named)):
        yield


@contextmanager
def everything_read(reader: Node, outputs: Sequence[Publisher]) -> Iterator[None]:
    """Somebody subscribes to these outputs until the block ends."""
    subscriptions = [
        reader.create_subscription(output.msg_type, output.topic_name, lambda data: None, 1, raw=True) for output in outputs
    ]
    while not all(output.get_subscription_count() for output in outputs):
        rclpy.spin_once(reader, timeout_sec=0.05)
    try:
        yield
    finally:
        for subscription in subscriptions:
            reader.destroy_subscription(subscription)


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each way to publish frames: medians and 99th percentiles, in milliseconds."""
    message = camera_message("rgb8", (options.width, options.height))
    values = {**PARAMETERS, "model": options.model, "inference_size": options.inference_size}
    with (
        ros(),
        timed_method(Camera, "process", time.thread_time) as process_s,
        timed_method(Camera, "draw", time.thread_time) as draw_s,
        running_node(**values) as node,
        # Only now: the node's start calls it, too.
        timed_method(VideoSegmentor, "step", time.thread_time) as step_s,
    ):
        camera = rclpy.create_node("camera")
        with every_other_frame_with_only_labels():
            round_trips(camera, message, 2 * options.frames)
        for title, first in (("all, only labels are read", 0), ("only labels", 1)):
            chosen = slice(WARM_UP_FRAMES + first, None, 2)
            yield row_of(options, title, process_s[chosen], step_s[chosen], draw_s)
        # Labels arrive a moment before `process` has returned, but after `step`: its frames are all there.
        chosen = slice(len(step_s) + WARM_UP_FRAMES, None)
        others = [
            output for output in node.publishers if output.topic_name.startswith("/mpvss/") and output.topic_name != LABELS
        ]
        with everything_read(camera, others):
            round_trips(camera, message, options.frames)
        title = f"all, {len(others)} others are read"
        yield row_of(options, title, process_s[chosen], step_s[chosen], draw_s[WARM_UP_FRAMES:])


def row_of(
    options: argparse.Namespace, title: str, process_s: Sequence[float], step_s: Sequence[float], draw_s: Sequence[float]
) -> Row:
    """A row of some frames; no time for pictures if none were drawn."""
    row: Row = {"size": f"{options.width}x{options.height}", "outputs": title}
    inside_s = [whole - model for whole, model in zip(process_s, step_s, strict=False)]
    for name, seconds in (("inside", inside_s), ("pictures", draw_s)):
        for q in (50, 99):
            row[f"{name} p{q} ms"] = 1000 * percentile(seconds, q) if seconds else None
    return row


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=500)
    options.add_argument("--width", type=int, default=640)
    options.add_argument("--height", type=int, default=480)
    options.add_argument("--inference-size", type=int, default=-1)
    options.add_argument("--model", default=DEFAULT_MODEL)
    return options


if __name__ == "__main__":
    list(printed(measure(parser().parse_args())))
