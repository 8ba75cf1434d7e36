"""Plain statistics of a running node: counters, rates and latencies over a sliding window."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock

__all__ = ["Latencies", "NodeStatistics", "Rate", "percentile"]

WINDOW_S = 5.0
WINDOW_SAMPLES = 500


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile of ``values``; NaN if there are none."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return ordered[max(1, math.ceil(percent / 100 * len(ordered))) - 1]


class Rate:
    """Events per second over the last five seconds of a steady clock."""

    def __init__(self) -> None:
        self._times_s: deque[float] = deque(maxlen=10_000)

    def tick(self) -> None:
        """Count one event, now."""
        self._times_s.append(time.monotonic())

    def per_second(self) -> float:
        """0 while there are fewer than two events in the window."""
        horizon_s = time.monotonic() - WINDOW_S
        while self._times_s and self._times_s[0] < horizon_s:
            self._times_s.popleft()
        if len(self._times_s) < 2:
            return 0.0
        return (len(self._times_s) - 1) / max(self._times_s[-1] - self._times_s[0], 1e-9)


class Latencies:
    """Percentiles of the last 500 durations."""

    def __init__(self) -> None:
        self._values_ms: deque[float] = deque(maxlen=WINDOW_SAMPLES)

    def add(self, seconds: float) -> None:
        """Record one duration."""
        self._values_ms.append(seconds * 1000)

    def percentile_ms(self, percent: float) -> float:
        """In milliseconds; NaN before the first value."""
        return percentile(list(self._values_ms), percent)


@dataclass
class NodeStatistics:
    """Everything the diagnostics report. Written by the executor and the inference thread, under ``lock``."""

    lock: Lock = field(default_factory=Lock)
    input_rate: Rate = field(default_factory=Rate)
    output_rate: Rate = field(default_factory=Rate)
    received: int = 0
    published: int = 0
    rejected: Counter = field(default_factory=Counter)
    last_rejection: str = ""
    failures: int = 0
    last_failure: str = ""
    failing: bool = False
    incompatible_qos: Counter = field(default_factory=Counter)
    key_frames: int = 0
    key_frame_reasons: Counter = field(default_factory=Counter)
    last_key_frame_reason: str = ""
    key_frame_age_s: float = float("nan")
    stamp_to_publish: Latencies = field(default_factory=Latencies)
    key_processing: Latencies = field(default_factory=Latencies)
    propagated_processing: Latencies = field(default_factory=Latencies)
