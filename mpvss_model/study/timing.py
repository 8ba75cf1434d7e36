"""How long key frames and propagated frames take, measured one after the other in one process."""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from mpvss_model.data import Frame
from mpvss_model.study.clip_study import ClipStudy
from mpvss_model.study.config import Run
from mpvss_model.video_segmentor import VideoSegmentor

__all__ = ["Latency", "measure_latency"]

FRAME_INTERVAL_S = 1 / 15


@dataclass(frozen=True)
class Latency:
    """Median time from an image in memory to its labels.

    Attributes:
        key_ms: Of a key frame.
        propagated_ms: Of a propagated frame, by method.
    """

    key_ms: float
    propagated_ms: dict[str, float]

    def mean_ms(self, method: str, key_share: float) -> float:
        """Per frame, if this share of the frames are key frames; `PER_FRAME` has no others."""
        return key_share * self.key_ms + (1 - key_share) * self.propagated_ms.get(method, 0.0)


def measure_latency(study: ClipStudy, frames: Iterable[Frame], pairs: int = 12) -> Latency:
    """Time pairs of a key frame and a propagated frame, with all methods in turn, so that a busy machine slows all alike.

    Args:
        study: Model and methods.
        frames: Of one clip; the first are used.
        pairs: Besides one that pays the one-time costs.
    """
    images = [frame.read_image() for frame in itertools.islice(frames, 2 * (pairs + 1))]
    streams = {method: study.stream(Run(method, 2)) for method in study.methods}
    key_s: list[float] = []
    propagated_s: dict[str, list[float]] = {method: [] for method in streams}
    for number in range(pairs + 1):
        for method, stream in streams.items():
            stream.reset()
            # A clip that is too short starts over.
            elapsed_s = [_timed_step(stream, images[(2 * number + i) % len(images)], i * FRAME_INTERVAL_S) for i in range(2)]
            if number > 0:
                key_s.append(elapsed_s[0])
                propagated_s[method].append(elapsed_s[1])
    return Latency(
        key_ms=1000 * statistics.median(key_s),
        propagated_ms={method: 1000 * statistics.median(values) for method, values in propagated_s.items()},
    )


def _timed_step(stream: VideoSegmentor, image: np.ndarray, stamp_s: float) -> float:
    started_s = time.perf_counter()
    stream.step(image, stamp_s)
    return time.perf_counter() - started_s
