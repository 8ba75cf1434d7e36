"""Where the time of a large JPEG camera's frame goes, without the node and its messages' way.

    python -m benchmarks.large_frame
    python -m benchmarks.large_frame --size 3840x2160 --inference-size 240 --model rooms-lite

Frames of the shipped clip, cut to the camera's shape and enlarged, are decoded as the node does, no larger than the network
needs, and labelled on one thread at the camera's size. Milliseconds are of that thread's processor time, so that others who
use the machine count little; each the median of its part: ``decoding``, optical ``flow``, ``graph`` (the segmentor in a key
frame, the warp in others), ``labels``, ``message`` (the label image), and the ``rest``, most of it resizing. ``all`` is the
median of whole frames, ``least`` the fastest of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator

import cv2
import numpy as np
from std_msgs.msg import Header

from benchmarks.clip_camera import JPEG_QUALITY, clip_images
from benchmarks.rows import Row, printed
from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.runtime.frame_parts import REST, FrameParts, frame_part
from mpvss_model.runtime.threads import use_threads
from mpvss_ros.messages.conversions import compressed_message, image_message, reduced_rgb_from_message

PARTS = ("decoding", "flow", "graph", "labels", "message", REST)
FRAME_PERIOD_NS = 33_333_333
# The first ones pay one-time costs.
WARM_UP_FRAMES = 3


def enlarged(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """The middle of an image, uint8 RGB ``[H, W, 3]``, at some width and height, its shape kept."""
    (width, height), (own_height, own_width) = size, image.shape[:2]
    kept_height, kept_width = min(own_height, own_width * height // width), min(own_width, own_height * width // height)
    top, left = (own_height - kept_height) // 2, (own_width - kept_width) // 2
    return cv2.resize(image[top : top + kept_height, left : left + kept_width], size, interpolation=cv2.INTER_CUBIC)


def timed_frames(stream: VideoSegmentor, options: argparse.Namespace) -> Iterator[tuple[str, dict[str, float]]]:
    """What each frame is, and the seconds of its parts."""
    size = tuple(map(int, options.size.split("x")))
    for i, image in zip(range(options.frames + WARM_UP_FRAMES), clip_images(), strict=False):
        message = compressed_message(enlarged(image, size), "jpeg", Header(), quality=JPEG_QUALITY)
        with FrameParts(stream.segmentor.device, time.thread_time) as parts:
            with frame_part("decoding"):
                frame = reduced_rgb_from_message(message, needed_size=stream.inference_size)
            answer = stream.step(frame.pixels, stamp_ns=i * FRAME_PERIOD_NS, frame_size=frame.size)
            with frame_part("message"):
                image_message(answer.labels, "mono8", message.header)
        if i >= WARM_UP_FRAMES:
            yield "key frame" if answer.is_key_frame else "propagated", parts.seconds


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for key frames, and one for those in between."""
    use_threads(1)
    config = StreamConfig(max_interval_frames=options.interval, inference_size=options.inference_size)
    stream = VideoSegmentor.from_pretrained(options.model, config=config, device="cpu")
    seconds: dict[str, list[dict[str, float]]] = {}
    for kind, parts in timed_frames(stream, options):
        seconds.setdefault(kind, []).append(parts)
    for kind, frames in sorted(seconds.items()):
        totals_s = [sum(parts.values()) for parts in frames]
        row: Row = {"frame": kind, "frames": len(frames)}
        row |= {f"{name} ms": 1e3 * statistics.median(parts.get(name, 0.0) for parts in frames) for name in PARTS}
        yield row | {"all ms": 1e3 * statistics.median(totals_s), "least ms": 1e3 * min(totals_s)}


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--size", default="1920x1080", help="width x height of the camera")
    options.add_argument("--inference-size", type=int, default=-1)
    options.add_argument("--frames", type=int, default=60)
    options.add_argument("--interval", type=int, default=10)
    options.add_argument("--model", default=DEFAULT_MODEL)
    return options


if __name__ == "__main__":
    list(printed(measure(parser().parse_args())))
