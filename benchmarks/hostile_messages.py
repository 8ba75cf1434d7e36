"""Messages of a camera gone mad: is every image among them answered, and does the node live?

    python -m benchmarks.hostile_messages --messages 100000

Nineteen of twenty messages are wrong in some way: short, of absurd sizes, of unknown encodings, with impossible steps. The
others are images of unusual encodings, sizes, padding, stamps and frame ids, and must be answered under their very headers.
Exit code 1 if one was not, or something was answered that is no image.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter

import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image

from benchmarks.hostile_camera import HostileCamera, rejection
from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node, wait_for_node
from mpvss_ros.diagnostics.statuses import resident_mb
from mpvss_ros.messages.conversions import stamp_ns

BURST = 50
BROKEN_SHARE = 0.95
ANSWER_TIMEOUT_S = 60.0
QOS = QoSProfile(depth=4 * BURST, reliability=ReliabilityPolicy.RELIABLE)


def measure(options: argparse.Namespace) -> list[Row]:
    """One row: what was sent, what came back, and the memory that it took."""
    values = {"model": options.model, "mode": "lossless", "queue_size": 4 * BURST, "threads": 1}
    with ros(), running_node(**values):
        return [bombard(options)]


def bombard(options: argparse.Namespace) -> Row:
    """Send the messages to a running node, in bursts that end with an image; returns the row."""
    peer = rclpy.create_node("camera")
    answers: list[tuple] = []
    camera = peer.create_publisher(Image, "/image", QOS)
    peer.create_subscription(Image, "/mpvss/labels", lambda m: answers.append((m.header, m.width, m.height)), QOS)
    wait_for_node(peer, camera)
    mad, chance = HostileCamera(options.seed), random.Random(options.seed)
    expected, refused, last_stamp_ns, warm_mb = [], Counter(), None, 0.0
    started_s = time.monotonic()
    for index in range(options.messages):
        is_last = index % BURST == BURST - 1 or index == options.messages - 1
        message = mad.broken() if chance.random() < BROKEN_SHARE and not is_last else mad.good()
        while is_last and stamp_ns(message) == last_stamp_ns:
            message = mad.good()
        reason = rejection(message)
        if reason is None and stamp_ns(message) == last_stamp_ns:
            reason = "duplicate stamp"
        if reason is None:
            last_stamp_ns = stamp_ns(message)
            expected.append((message.header, message.width, message.height))
        else:
            refused[reason] += 1
        camera.publish(message)
        if is_last:
            wait_for(peer, answers, len(expected))
            warm_mb = warm_mb or resident_mb()
    seconds = time.monotonic() - started_s
    row: Row = {"messages": options.messages, "images among them": len(expected), "answered": len(answers)}
    row |= {"wrong answers": sum(found != wanted for found, wanted in zip(answers, expected, strict=False))}
    row |= {"messages/s": options.messages / seconds, "memory growth MB": resident_mb() - warm_mb}
    return row | {"refused": ", ".join(f"{reason}: {count}" for reason, count in sorted(refused.items()))}


def wait_for(peer: rclpy.node.Node, answers: list, count: int) -> None:
    """Handle the peer's messages until so many answers have come, or a minute has passed."""
    deadline_s = time.monotonic() + ANSWER_TIMEOUT_S
    while len(answers) < count and time.monotonic() < deadline_s:
        rclpy.spin_once(peer, timeout_sec=0.1)


def trouble(rows: list[Row]) -> str:
    """What is wrong with the figures; empty if nothing is."""
    (row,) = rows
    if row["answered"] == row["images among them"] and not row["wrong answers"]:
        return ""
    return f"{row['answered']} of {row['images among them']} images were answered, {row['wrong answers']} of them wrongly"


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--messages", type=int, default=100_000)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--model", default="rooms-lite")
    return options


if __name__ == "__main__":
    sys.exit(trouble(list(printed(measure(parser().parse_args())))))
