"""Somebody who listens to labels or clouds, as a program of its own.

    python -m benchmarks.listener --topic /mpvss/points --type PointCloud2 --window 450

It takes the messages as they are, without looking into them but for the stamp, and reports on ``/diagnostics`` how many came,
and how long after their stamps.
"""

from __future__ import annotations

import argparse
import struct
from contextlib import suppress

import rclpy
from rclpy.executors import ExternalShutdownException
from sensor_msgs import msg

from benchmarks.count_report import CountReport
from benchmarks.running_node import ros

__all__ = ["main"]

DEPTH = 2
# Seconds and nanoseconds of the header, which begins behind the four bytes that tell the encoding.
STAMP, STAMP_OFFSET = struct.Struct("<iI"), 4


def main(args: list[str] | None = None) -> None:
    """Listen until somebody interrupts it."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--topic", required=True)
    options.add_argument("--type", required=True, help="of sensor_msgs")
    options.add_argument("--window", type=int, default=500, help="messages that the percentiles are of")
    given = options.parse_args(args)
    with ros():
        node = rclpy.create_node("listener_of_" + given.topic.rpartition("/")[2])
        report = CountReport(node, given.window)

        def take(data: bytes) -> None:
            seconds, nanoseconds = STAMP.unpack_from(data, STAMP_OFFSET)
            report.count(seconds + nanoseconds * 1e-9)

        node.create_subscription(getattr(msg, given.type), given.topic, take, DEPTH, raw=True)
        with suppress(KeyboardInterrupt, ExternalShutdownException):
            rclpy.spin(node)


if __name__ == "__main__":
    main()
