"""What became of a recording's camera frames and of its ground truth, to be told beside any figure made from them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from mpvss_model.data.clip import Clip, Frame
from mpvss_model.errors import FrameError, MPVSSError

__all__ = ["CountedFrames", "SourceCounts", "listed_frames"]


@dataclass
class SourceCounts:
    """Counts of what a source held, and of what could not be used, by reason.

    Attributes:
        encodings: Frames that were decoded, by encoding or format; empty for image files.
        left_out: Frames that were not evaluated, by reason.
        ground_truth: Label images that the source holds.
        ground_truth_left_out: Those of them that were not used, by reason.
        details: What was said of the first, by reason.
        nearest_ns: How far the nearest camera frame is from a label image that has none at its own stamp, in nanoseconds;
            None if each has one.
    """

    encodings: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    ground_truth: int = 0
    ground_truth_left_out: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    nearest_ns: int | None = None

    def leave_out(self, error: MPVSSError, reason: str | None = None) -> None:
        """Count a frame that cannot be used; ``reason`` is that of a `FrameError` unless given."""
        self._count(self.left_out, error, reason)

    def leave_out_ground_truth(self, error: MPVSSError, reason: str | None = None) -> None:
        """Count a label image that cannot be used; ``reason`` is that of a `FrameError` unless given."""
        self._count(self.ground_truth_left_out, error, reason)

    def match_ground_truth(self, frame_stamps_ns: Collection[int], unmatched_ns: Collection[int]) -> None:
        """Count the label images that no camera frame was left for, and say how far those of other stamps are off."""
        surplus = sum(stamp in frame_stamps_ns for stamp in unmatched_ns)
        if surplus:
            self.ground_truth_left_out["duplicate stamp"] += surplus
        unmatched_ns = [stamp for stamp in unmatched_ns if stamp not in frame_stamps_ns]
        if not unmatched_ns:
            return
        self.ground_truth_left_out["no camera frame of that stamp"] += len(unmatched_ns)
        frames = np.array(sorted(frame_stamps_ns), np.int64)
        if len(frames):
            labels = np.array(sorted(unmatched_ns), np.int64)
            after = np.searchsorted(frames, labels)
            self.nearest_ns = int(np.abs(frames.take([after - 1, after], mode="clip") - labels).min())

    def include(self, other: SourceCounts) -> None:
        """Add what another source of the same kind counted."""
        self.encodings += other.encodings
        self.left_out += other.left_out
        self.ground_truth += other.ground_truth
        self.ground_truth_left_out += other.ground_truth_left_out
        self.details = {**other.details, **self.details}
        distances = [distance for distance in (self.nearest_ns, other.nearest_ns) if distance is not None]
        self.nearest_ns = min(distances, default=None)

    def as_dict(self) -> dict[str, object]:
        """For JSON: counts by reason, and what was said of the first of each."""
        return {
            "encodings": dict(self.encodings),
            "left_out": dict(self.left_out),
            "ground_truth": self.ground_truth,
            "ground_truth_left_out": dict(self.ground_truth_left_out),
            "ground_truth_nearest_frame_us": None if self.nearest_ns is None else self.nearest_ns / 1000,
            "left_out_details": dict(self.details),
        }

    def lines(self) -> list[str]:
        """One for the frames that were left out and one for the ground truth that was, with the first details."""
        lines = []
        if self.left_out:
            lines.append(f"{self.left_out.total()} frames left out: {self._reasons(self.left_out)}")
        return lines + self.ground_truth_lines()

    def ground_truth_lines(self) -> list[str]:
        """One for the ground truth that was left out; none if it was all used."""
        if not self.ground_truth_left_out:
            return []
        count = f"{self.ground_truth_left_out.total()} of {self.ground_truth} label images"
        nearest = "" if self.nearest_ns is None else f"; the nearest frame is {self.nearest_ns / 1000:g} us off"
        return [f"{count} of the ground truth left out: {self._reasons(self.ground_truth_left_out)}{nearest}"]

    def _count(self, counter: Counter[str], error: MPVSSError, reason: str | None) -> None:
        reason = reason or (error.reason if isinstance(error, FrameError) else "error")
        counter[reason] += 1
        self.details.setdefault(reason, str(error).removeprefix(f"{reason}: "))

    def _reasons(self, counter: Counter[str]) -> str:
        return "; ".join(
            f"{count} {reason}" + (f" ({self.details[reason]})" if reason in self.details else "")
            for reason, count in counter.most_common()
        )


@runtime_checkable
class CountedFrames(Protocol):
    """The frames of a source that may hold some that cannot be used, as a recording does; read anew at each iteration.

    Attributes:
        listed: How many frames the source says that it has.
        counts: Of the last iteration, complete when it came to its end.
    """

    listed: int
    counts: SourceCounts

    def __iter__(self) -> Iterator[Frame]:
        """The frames that can be used, in order of their stamps."""


def listed_frames(clip: Clip) -> int:
    """How many frames a clip has, or says that it has."""
    return clip.frames.listed if isinstance(clip.frames, CountedFrames) else len(clip.frames)
