"""Interrupts the node at random moments of its start and of its work, and looks at how it ends.

    python -m benchmarks.random_kills --times 50

The moments are drawn from the time at which the node's first line has run (before that Python itself starts, which no
program can change) to some seconds after it answers frames. Exit code 1 if any end is not clean within two seconds.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import numpy as np
import rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from benchmarks.rows import Row, printed
from benchmarks.running_node import ros
from mpvss_ros.messages.conversions import image_message

MAX_SECONDS = 2.0
STAGES = {"waiting for Image": "at work", "model": "activating"}


def publish_camera(stop: Event) -> None:
    """A camera of 15 Hz."""
    node = rclpy.create_node("camera")
    camera = node.create_publisher(Image, "/image", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    frame = np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8)
    while not stop.wait(1 / 15):
        camera.publish(image_message(frame, "rgb8", Header(stamp=node.get_clock().now().to_msg())))


def catches_sigterm(pid: int) -> bool:
    """Python catches SIGINT by itself, SIGTERM only once the node's handlers are there."""
    with open(f"/proc/{pid}/status") as status:
        caught = next(line for line in status if line.startswith("SigCgt"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


def seconds_until(condition: Callable[[], bool]) -> float:
    """Wait for it, at most two minutes."""
    started_s = time.monotonic()
    while not condition():
        assert time.monotonic() - started_s < 120.0
        time.sleep(0.001)
    return time.monotonic() - started_s


def run_once(command: list[str], delay_s: float | None) -> tuple[int, float, str, float]:
    """Start the node, interrupt it after that delay (or when it is at work), and return code, seconds, log and delay."""
    with tempfile.TemporaryFile("w+") as log:

        def text() -> str:
            log.seek(0)
            return log.read()

        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        seconds_until(lambda: catches_sigterm(process.pid))
        started_s = time.monotonic()
        if delay_s is None:
            seconds_until(lambda: "waiting for Image" in text())
        else:
            time.sleep(delay_s)
        delay_s, sent_s = time.monotonic() - started_s, time.monotonic()
        process.send_signal(signal.SIGINT)
        code = process.wait(60)
        return code, time.monotonic() - sent_s, text(), delay_s


def measure(options: argparse.Namespace) -> list[Row]:
    """One row: how the node was interrupted and ended. Says at once how an end was not clean."""
    command = [sys.executable, "-m", "mpvss_ros.node.main", "--ros-args", "-p", f"model:={options.model}"]
    command += ["-p", "threads:=1", "-r", "image:=/image"]
    generator = random.Random(options.seed)
    ends, stages, slowest_s, failures = Counter(), Counter(), 0.0, 0
    with ros(), camera_at_work():
        _, _, _, start_s = run_once(command, None)
        for _ in range(options.times):
            code, seconds, log, delay_s = run_once(command, generator.uniform(0.0, start_s + options.work_s))
            ends[code] += 1
            stages[next((stage for text, stage in STAGES.items() if text in log), "starting")] += 1
            slowest_s = max(slowest_s, seconds)
            if code != 0 or seconds > MAX_SECONDS or "Traceback" in log:
                failures += 1
                print(f"signal after {delay_s:.2f} s: exit code {code} after {seconds:.2f} s\n{log[-2000:]}")
    row: Row = {"interrupts": options.times, "within s of the start": start_s + options.work_s}
    row |= {stage: stages[stage] for stage in ("starting", *reversed(STAGES.values()))}
    row |= {"exit codes": ", ".join(f"{code}: {count}" for code, count in sorted(ends.items()))}
    return [row | {"slowest end s": slowest_s, "not clean": failures}]


@contextmanager
def camera_at_work() -> Iterator[None]:
    """A camera publishes until the block ends."""
    stop = Event()
    camera = Thread(target=publish_camera, args=(stop,))
    camera.start()
    try:
        yield
    finally:
        stop.set()
        camera.join()


def trouble(rows: list[Row]) -> str:
    """What is wrong with the figures; empty if nothing is."""
    not_clean = sum(row["not clean"] for row in rows)
    return f"{not_clean} ends were not clean" if not_clean else ""


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--times", type=int, default=50)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--work-s", type=float, default=3.0, help="how long after the start the last moment is")
    options.add_argument("--model", default="rooms-lite")
    return options


if __name__ == "__main__":
    sys.exit(trouble(list(printed(measure(parser().parse_args())))))
