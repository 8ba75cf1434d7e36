"""The whole node, from a camera's images over DDS to their labels over DDS: frames per second, and latency of a live camera.

    python -m benchmarks.node_throughput                                       # as fast as the node answers
    python -m benchmarks.node_throughput --live-hz 15 [--reliable]             # a camera of 15 Hz
    python -m benchmarks.node_throughput --size 320x240 --threads 2 --key-frames sync

The node runs in this process; the camera, which shows the shipped clip, and the receiver of the labels in another one. Without
``--live-hz`` the node is lossless, and the camera sends a frame whenever fewer than ``--window`` are unanswered. With it, the
node is in realtime mode, and camera and node are best effort unless ``--reliable``: images that are lost on the way count as
not answered.

``frames/s`` counts the labels that arrive. Milliseconds are means per frame: ``model`` is `VideoSegmentor.step`, ``rest`` all
else that the inference thread does with the frame, ``CPU`` the processor time of the node's process with its executor and its
key frames in the background. ``per key`` is the number of frames to each key frame: asynchronous ones come as often as one
core can make them, when that is less often than the interval says. On a machine with other work only the CPU time means
something.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import time
from concurrent.futures import Executor, ProcessPoolExecutor

import rclpy
from rclpy.qos import ReliabilityPolicy

from benchmarks.clip_camera import Answers, ClipCamera
from benchmarks.running_node import running_node
from mpvss_model import VideoSegmentor
from mpvss_model.evaluation.timing import Stopwatch, timed_method
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.node.camera import Camera

WARM_UP_FRAMES = 20


def drive(options: argparse.Namespace, size: str, frames: int) -> Answers:
    """Send frames to the node; runs in the camera's process."""
    width, height = map(int, size.split("x"))
    reliable = options.reliable or not options.live_hz
    rclpy.init(args=[])
    try:
        camera = ClipCamera(width, height, ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT)
        if options.live_hz:
            return camera.send_live(frames, options.live_hz)
        return camera.send_as_answered(frames, options.window)
    finally:
        rclpy.shutdown()


def measure(options: argparse.Namespace, camera: Executor, *, size: str, threads: int, key_frames: str) -> str:
    """One run; returns its row of the table."""

    def run(frames: int) -> Answers:
        return camera.submit(drive, options, size, frames).result()

    parameters = {"model": options.model, "threads": threads, "key_frames": key_frames}
    parameters["max_interval_frames"] = options.interval
    parameters["mode"] = "realtime" if options.live_hz else "lossless"
    # The camera pauses between warm-up and measurement.
    parameters["max_key_age_s"] = 3600.0
    if options.reliable:
        parameters["qos_overrides./image.subscription.reliability"] = "reliable"
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
            answers = run(options.frames)
    latencies_ms = answers.latencies_ms
    model_ms, inside_ms, cpu_ms = (
        1000 * total_s / len(latencies_ms) for total_s in (sum(step_s), sum(process_s), processor.total_s)
    )
    frames_per_key = len(latencies_ms) / max(1, len(key_frames_s))
    figures = [len(latencies_ms) / answers.seconds, model_ms, inside_ms - model_ms, cpu_ms, frames_per_key]
    if options.live_hz:
        figures += [100 * len(latencies_ms) / answers.frames, percentile(latencies_ms, 50), percentile(latencies_ms, 99)]
    return f"{size:>9}{threads:9}{key_frames:>12}" + "".join(f"{figure:11.1f}" for figure in figures)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", nargs="+", default=["320x240", "640x480"], help="width x height")
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--key-frames", nargs="+", default=["sync", "async"], choices=("sync", "async"))
    parser.add_argument("--live-hz", type=float, default=0.0, help="a camera that waits for no answers")
    parser.add_argument("--reliable", action="store_true", help="a live camera whose images are repeated when they are lost")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--window", type=int, default=4)
    parser.add_argument("--interval", type=int, default=5)
    parser.add_argument("--model", default="rooms-lite")
    options = parser.parse_args()
    columns = ["frames/s", "model", "rest", "CPU", "per key"] + ["answered %", "p50 ms", "p99 ms"] * bool(options.live_hz)
    rclpy.init(args=[])
    with ProcessPoolExecutor(max_workers=1, mp_context=multiprocessing.get_context("spawn")) as camera:
        print(f"{'size':>9}{'threads':>9}{'key frames':>12}" + "".join(f"{column:>11}" for column in columns), flush=True)
        for size, threads, key_frames in itertools.product(options.size, options.threads, options.key_frames):
            print(measure(options, camera, size=size, threads=threads, key_frames=key_frames), flush=True)
    rclpy.shutdown()


if __name__ == "__main__":
    main()
