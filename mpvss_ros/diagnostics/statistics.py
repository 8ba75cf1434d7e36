"""Plain statistics of one camera: counters, rates and latencies over a sliding window."""

from __future__ import annotations

import math
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mpvss_model import Segmentation

__all__ = ["CameraStatistics", "Latencies", "Rate", "percentile", "shortened"]

WINDOW_S = 5.0
WINDOW_SAMPLES = 500
# Hostile messages may hold texts of any length.
MAX_TEXT, MORE = 300, " ..."


def shortened(text: str) -> str:
    """At most 300 characters of a text, cut between two words where that is possible; dots say that there is more."""
    if len(text) <= MAX_TEXT:
        return text
    kept = text[: MAX_TEXT - len(MORE)]
    whole_words, _, _ = kept.rpartition(" ")
    return (whole_words or kept) + MORE


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

    def in_window(self) -> int:
        """Events of the last five seconds."""
        horizon_s = time.monotonic() - WINDOW_S
        while self._times_s and self._times_s[0] < horizon_s:
            self._times_s.popleft()
        return len(self._times_s)

    def per_second(self) -> float:
        """0 while there are fewer than two events in the window."""
        if self.in_window() < 2:
            return 0.0
        return (len(self._times_s) - 1) / max(self._times_s[-1] - self._times_s[0], 1e-9)


class Latencies:
    """Percentiles of the last durations.

    Args:
        samples: So many of them.
    """

    def __init__(self, samples: int = WINDOW_SAMPLES) -> None:
        self._values_ms: deque[float] = deque(maxlen=samples)

    def add(self, seconds: float) -> None:
        """Record one duration."""
        self._values_ms.append(seconds * 1000)

    def percentile_ms(self, percent: float) -> float:
        """In milliseconds; NaN before the first value."""
        return percentile(list(self._values_ms), percent)


@dataclass
class CameraStatistics:
    """Everything the diagnostics report of a camera. Written by the executor and the inference thread, under ``lock``.

    Attributes:
        image: Size and encoding of the newest frame that could be used, such as ``640 x 480 bgr8``; empty before the first.
        rejected: Frames that could not be used, by reason.
        unanswered: Frames without labels although they were fine, by reason: the segmentor failed, or its masks are too old.
        discarded: Frames that were fine and are not answered because somebody asked for that, by reason.
        began_s: When the inference thread began the frame at hand, on the steady clock; None while it waits for one.
        problem: What is wrong with the last frame or with its next key frame; empty while all is well.
        faults: Key frames that failed, as far as frames were answered all the same.
        last_fault: Of the newest of them.
        pictures_dropped: Frames with labels whose pictures, such as the overlay, were given up for a newer frame's.
        restart_reasons: How often the stream began anew before an answered frame, by reason.
    """

    lock: Lock = field(default_factory=Lock)
    input_rate: Rate = field(default_factory=Rate)
    output_rate: Rate = field(default_factory=Rate)
    key_frame_rate: Rate = field(default_factory=Rate)
    received: int = 0
    image: str = ""
    published: int = 0
    enabled: bool = True
    discarded: Counter = field(default_factory=Counter)
    began_s: float | None = None
    rejected: Counter = field(default_factory=Counter)
    rejection_rate: Rate = field(default_factory=Rate)
    last_rejection: str = ""
    unanswered: Counter = field(default_factory=Counter)
    problem: str = ""
    faults: int = 0
    last_fault: str = ""
    pictures_dropped: int = 0
    key_frames: int = 0
    key_frame_reasons: Counter = field(default_factory=Counter)
    last_key_frame_reason: str = ""
    restart_reasons: Counter = field(default_factory=Counter)
    key_stamp_ns: int | None = None
    label_stamp_ns: int | None = None
    stamp_to_publish: Latencies = field(default_factory=Latencies)
    key_processing: Latencies = field(default_factory=Latencies)
    propagated_processing: Latencies = field(default_factory=Latencies)

    def count_input(self) -> None:
        """A message came from the camera."""
        with self.lock:
            self.received += 1
            self.input_rate.tick()
            if not self.enabled:
                self.discarded["disabled"] += 1

    def note_image(self, *, width: int, height: int, encoding: str) -> None:
        """What the camera sends, as far as it can be used."""
        with self.lock:
            self.image = f"{width} x {height} {encoding}"

    def count_discarded(self, reason: str, frames: int = 1) -> None:
        """Frames are not answered any more, since somebody asked for that."""
        with self.lock:
            self.discarded[reason] += frames

    def count_rejection(self, reason: str, text: str) -> None:
        """A frame could not be used."""
        with self.lock:
            self.rejected[reason] += 1
            self.rejection_rate.tick()
            self.last_rejection = shortened(text)

    def begin(self) -> None:
        """The inference thread has taken a frame."""
        self.began_s = time.monotonic()

    def end(self) -> None:
        """The inference thread waits for the next frame."""
        self.began_s = None

    def count_unanswered(self, reason: str, text: str) -> None:
        """A frame that was fine gets no labels."""
        with self.lock:
            self.unanswered[reason] += 1
            self.problem = shortened(text)

    def note_pictures_dropped(self, frames: int) -> None:
        """So many frames' pictures have been given up until now."""
        with self.lock:
            self.pictures_dropped = frames

    def count_output(self, segmentation: Segmentation, *, processing_s: float, latency_s: float) -> None:
        """A frame's labels were published."""
        with self.lock:
            self.published += 1
            self.output_rate.tick()
            self.stamp_to_publish.add(latency_s)
            self.key_stamp_ns, self.label_stamp_ns = segmentation.key_stamp_ns, segmentation.stamp_ns
            self._count_fault(shortened(segmentation.fault or ""))
            if segmentation.is_from_new_key_frame:
                self.key_frames += 1
                self.key_frame_rate.tick()
                self.last_key_frame_reason = segmentation.key_frame_reason.value
                self.key_frame_reasons[self.last_key_frame_reason] += 1
                # A key frame that was made in the background cost nobody's frame that time.
                self.key_processing.add(processing_s if segmentation.is_key_frame else segmentation.segmentor_s)
            if segmentation.restart_reason is not None:
                self.restart_reasons[segmentation.restart_reason.value] += 1
            if not segmentation.is_key_frame:
                self.propagated_processing.add(processing_s)

    def _count_fault(self, fault: str) -> None:
        if fault and fault != self.last_fault:
            self.faults += 1
        self.last_fault = fault or self.last_fault
        self.problem = fault
