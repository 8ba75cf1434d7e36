"""Many frames through one node: does its memory grow?

    python -m benchmarks.soak --frames 20000

A camera in this process sends small images over DDS, one at a time, among them malformed ones, others sizes and requests for
key frames. Exit code 1 if the resident memory grows by more than one percent after the warm-up.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections.abc import Iterator

import numpy as np
import rclpy
from rclpy.time import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header
from std_srvs.srv import Trigger

from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node, wait_for_node
from mpvss_ros.diagnostics.statuses import resident_mb
from mpvss_ros.messages.conversions import image_message

MAX_GROWTH_PERCENT = 1.0
CAMERA_HZ = 15
REPORTS = 10
# Every so many frames something else than the next frame happens.
MALFORMED_EVERY, RESIZED_EVERY, REQUEST_EVERY = 17, 501, 97
SIZES = ((48, 64), (64, 48))


def header(index: int) -> Header:
    """Of a steady camera."""
    return Header(stamp=Time(nanoseconds=index * 10**9 // CAMERA_HZ).to_msg())


def soak(options: argparse.Namespace) -> Iterator[Row]:
    """Send the frames to a running node; a row for every tenth of them, with its memory since the warm-up."""
    peer = rclpy.create_node("camera")
    answers = []
    camera = peer.create_publisher(Image, "/image", 10)
    client = peer.create_client(Trigger, "/mpvss/segmentation/request_key_frame")
    for topic in ("labels", "confidence"):
        peer.create_subscription(Image, f"/mpvss/{topic}", answers.append, 10)
    wait_for_node(peer, camera)
    client.wait_for_service()
    noise = np.random.default_rng(0).integers(0, 255, (*SIZES[0], 3), np.uint8)
    warm_mb = 0.0
    for i in range(options.frames + options.warm_up):
        if i % MALFORMED_EVERY == 0:
            camera.publish(Image(header=header(i), width=640, height=480, encoding=f"unknown {i}"))
        if i % REQUEST_EVERY == 0:
            client.call_async(Trigger.Request())
        shape = (*SIZES[i // RESIZED_EVERY % len(SIZES)], 3)
        answers.clear()
        camera.publish(image_message(np.roll(noise, i, axis=1).reshape(shape), "rgb8", header(i)))
        while len(answers) < 2:
            rclpy.spin_once(peer, timeout_sec=1.0)
        if i >= options.warm_up and (i - options.warm_up) % (options.frames // REPORTS) == 0:
            gc.collect()
            warm_mb = warm_mb or resident_mb()
            yield memory_row(i - options.warm_up, warm_mb)
    gc.collect()
    yield memory_row(options.frames, warm_mb)


def memory_row(frames: int, warm_mb: float) -> Row:
    """What the process holds now."""
    now_mb = resident_mb()
    return {"frames": frames, "memory MB": now_mb, "growth %": 100 * (now_mb / warm_mb - 1)}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Rows of `soak`."""
    values = {"model": options.model, "mode": "lossless", "key_frames": options.key_frames, "threads": 1}
    # The stamps run faster than real time here, and masks must not get too old by them.
    values |= {"max_interval_frames": options.interval, "max_key_age_s": 3600.0}
    with ros(), running_node(**values):
        yield from soak(options)


def trouble(rows: list[Row]) -> str:
    """What is wrong with the figures; empty if nothing is."""
    growth = rows[-1]["growth %"]
    return f"memory grew by {growth:.1f} %" if growth > MAX_GROWTH_PERCENT else ""


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--frames", type=int, default=20_000)
    options.add_argument("--warm-up", type=int, default=2_000)
    options.add_argument("--interval", type=int, default=10)
    options.add_argument("--key-frames", default="async", choices=("sync", "async"))
    options.add_argument("--model", default="rooms-lite")
    return options


if __name__ == "__main__":
    sys.exit(trouble(list(printed(measure(parser().parse_args())))))
