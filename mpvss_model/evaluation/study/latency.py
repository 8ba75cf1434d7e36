"""How long key frames and propagated frames take, measured one after the other in one process."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mpvss_model.data import Frame
from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import PER_FRAME
from mpvss_model.evaluation.timing import Stopwatch, Timings

__all__ = ["Latency", "measure_latency"]

FRAME_INTERVAL_NS = 66_666_667


@dataclass(frozen=True)
class Latency:
    """Median time from an image in memory to its labels.

    Attributes:
        key_ms: Of a key frame, by `Run.way`; also `PER_FRAME`.
        propagated_ms: Of a propagated frame, by `Run.way`.
        key_ms_deviation: Standard deviation of what ``key_ms`` is the median of.
        propagated_ms_deviation: Standard deviation of what ``propagated_ms`` is the median of.
    """

    key_ms: dict[str, float]
    propagated_ms: dict[str, float]
    key_ms_deviation: dict[str, float]
    propagated_ms_deviation: dict[str, float]

    def mean_ms(self, way: str, key_share: float) -> float:
        """Per frame, if this share of the frames are key frames; `PER_FRAME` has no others."""
        return key_share * self.key_ms[way] + (1 - key_share) * self.propagated_ms.get(way, 0.0)


def measure_latency(study: ClipStudy, frames: Iterable[Frame], pairs: int = 12) -> Latency:
    """Time pairs of a key frame and a propagated frame, in all ways in turn, so that a busy machine slows all alike.

    Args:
        study: Model and methods.
        frames: Of one clip; the first are used.
        pairs: Besides one that pays the one-time costs, and is the history of the next.
    """
    images = [frame.read_image() for frame in itertools.islice(frames, 2 * (pairs + 1))]
    ways = dict.fromkeys(replace(run, interval=2, motion_threshold=0.0) for run in study.runs[1:])
    streams = {run.way: study.stream(run) for run in ways}
    key_frames, propagated_frames = Timings(), Timings()
    for number in range(pairs + 1):
        for way, stream in streams.items():
            for timings, i in ((key_frames, 2 * number), (propagated_frames, 2 * number + 1)):
                with Stopwatch() as watch:
                    # A clip that is too short starts over.
                    stream.step(images[i % len(images)], stamp_ns=i * FRAME_INTERVAL_NS)
                if number > 0:
                    timings.add(way, watch.total_s)
    # Methods differ in what comes after a key frame.
    for method in study.methods:
        for duration_s in key_frames.seconds[method]:
            key_frames.add(PER_FRAME, duration_s)
    return Latency(
        key_ms=key_frames.medians_ms(),
        propagated_ms=propagated_frames.medians_ms(),
        key_ms_deviation=key_frames.deviations_ms(),
        propagated_ms_deviation=propagated_frames.deviations_ms(),
    )
