"""The whole node, from a camera's images over DDS to their labels over DDS: frames per second, and latency of a live camera.

    python -m benchmarks.node_throughput                                       # as fast as the node answers
    python -m benchmarks.node_throughput --live-hz 15 [--reliable]             # a camera of 15 Hz
    python -m benchmarks.node_throughput --size 320x240 --threads 2 --key-frames sync
    python -m benchmarks.node_throughput --size 1920x1080 --compressed --inference-size 240 --live-hz 30 --watch overlay

The node runs in this process; the camera, which shows the shipped clip, and the receiver of the labels in another one. Without
``--live-hz`` the node is lossless, and the camera sends a frame whenever fewer than ``--window`` are unanswered. With it, the
node is in realtime mode, and camera and node are best effort unless ``--reliable``: images that are lost on the way count as
not answered. ``--watch`` names other topics of images that somebody subscribes to; their rates are printed.

``frames/s`` counts the labels that arrive. Milliseconds are means per frame: ``model`` is `VideoSegmentor.step`, ``rest`` all
else that the inference thread does with the frame, ``CPU`` the processor time of the node's process with its executor, its
pictures and its key frames in the background. ``per key`` is the number of frames to each key frame: asynchronous ones come as
often as one core can make them, when that is less often than the interval says. On a machine with other work only the CPU time
means something.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor

from rclpy.qos import ReliabilityPolicy

from benchmarks.clip_camera import Answers, ClipCamera
from benchmarks.rows import Row, printed
from benchmarks.running_node import ros, running_node
from mpvss_model import VideoSegmentor
from mpvss_model.evaluation.timing import Stopwatch, timed_method
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.node.camera import Camera

WARM_UP_FRAMES = 20


def drive(options: argparse.Namespace, size: str, frames: int) -> tuple[Answers, dict[str, int]]:
    """Send frames to the node; runs in the camera's process. Returns what came on watched topics, too, by their names."""
    width, height = map(int, size.split("x"))
    reliable = options.reliable or not options.live_hz
    with ros():
        camera = ClipCamera(
            width,
            height,
            ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
            compressed=options.compressed,
            watch=tuple(options.watch),
        )
        if options.live_hz:
            return camera.send_live(frames, options.live_hz), camera.watched
        return camera.send_as_answered(frames, options.window), camera.watched


def measured_run(options: argparse.Namespace, camera: Executor, *, size: str, threads: int, key_frames: str) -> Row:
    """One run; returns its row of the table."""

    def run(frames: int) -> tuple[Answers, dict[str, int]]:
        return camera.submit(drive, options, size, frames).result()

    parameters = {"model": options.model, "threads": threads, "key_frames": key_frames}
    parameters["inference_size"] = options.inference_size
    parameters["image_transport"] = "compressed" if options.compressed else "raw"
    parameters["max_interval_frames"] = options.interval
    parameters["mode"] = "realtime" if options.live_hz else "lossless"
    # The camera pauses between warm-up and measurement.
    parameters["max_key_age_s"] = 3600.0
    if options.reliable:
        topic = "/image/compressed" if options.compressed else "/image"
        parameters[f"qos_overrides.{topic}.subscription.reliability"] = "reliable"
    with (
        timed_method(VideoSegmentor, "step") as step_s,
        timed_method(Camera, "process") as process_s,
        timed_method(Mask2FormerSegmentor, "segment") as key_frames_s,
        running_node(**parameters),
    ):
        run(WARM_UP_FRAMES)
        step_s.clear()
        process_s.clear()
        key_frames_s.clear()
        with Stopwatch(time.process_time) as processor:
            answers, watched = run(options.frames)
    latencies_ms = answers.latencies_ms
    model_ms, inside_ms, cpu_ms = (
        1000 * total_s / len(latencies_ms) for total_s in (sum(step_s), sum(process_s), processor.total_s)
    )
    frames_per_key = len(latencies_ms) / max(1, len(key_frames_s))
    row: Row = {"camera": f"{size}{' jpeg' if options.compressed else ''}", "threads": threads, "key frames": key_frames}
    row |= {"frames/s": len(latencies_ms) / answers.seconds, "model ms": model_ms, "rest ms": inside_ms - model_ms}
    row |= {"CPU ms": cpu_ms, "per key": frames_per_key}
    if options.live_hz:
        row |= {"live Hz": options.live_hz, "answered %": 100 * len(latencies_ms) / answers.frames}
        row |= {"p50 ms": percentile(latencies_ms, 50), "p99 ms": percentile(latencies_ms, 99)}
    return row | {f"{name}/s": count / answers.seconds for name, count in watched.items()}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each size, number of threads and way to make key frames."""
    with ros(), ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as camera:
        for size, threads, key_frames in itertools.product(options.size, options.threads, options.key_frames):
            yield measured_run(options, camera, size=size, threads=threads, key_frames=key_frames)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", nargs="+", default=["320x240", "640x480"], help="width x height")
    options.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    options.add_argument("--key-frames", nargs="+", default=["sync", "async"], choices=("sync", "async"))
    options.add_argument("--live-hz", type=float, default=0.0, help="a camera that waits for no answers")
    options.add_argument("--reliable", action="store_true", help="a live camera whose images are repeated when they are lost")
    options.add_argument("--compressed", action="store_true", help="a camera that sends JPEG")
    options.add_argument("--inference-size", type=int, default=-1)
    options.add_argument("--watch", nargs="+", default=[], metavar="TOPIC", help="such as overlay or labels/compressed")
    options.add_argument("--frames", type=int, default=300)
    options.add_argument("--window", type=int, default=4)
    options.add_argument("--interval", type=int, default=5)
    options.add_argument("--model", default="rooms-lite")
    return options


if __name__ == "__main__":
    list(printed(measure(parser().parse_args())))
