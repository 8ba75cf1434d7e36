"""What the headers of a camera's images, one after the other, say about the camera."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from threading import Lock

__all__ = ["ZERO_STAMPS", "FrameSequence"]

REMEMBERED_FRAMES = 20
# Fewer say nothing. A camera that starts anew, or a bag that is played once more, breaks the sequence once.
MIN_FRAMES = 5
# Of all steps from one frame to the next.
MANY = 0.25
MAX_NAMES, MAX_NAME = 4, 40
ZERO_STAMPS = "the stamps of all images are zero: the camera's driver must set header.stamp, by which frames are told apart"


@dataclass(frozen=True)
class SeenFrame:
    """What is remembered of an image: its stamp in nanoseconds, its ``frame_id``, its width and height."""

    stamp_ns: int
    frame_id: str
    size: tuple[int, int]


class FrameSequence:
    """Names the cause where the newest images do not look like those of one camera with a clock.

    Frames are added by one thread, and `troubles` may be asked for by another.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._frames: deque[SeenFrame] = deque(maxlen=REMEMBERED_FRAMES)

    def add(self, *, stamp_ns: int, frame_id: str, width: int, height: int) -> None:
        """Remember one image, usable or not."""
        with self._lock:
            self._frames.append(SeenFrame(stamp_ns, frame_id, (width, height)))

    def clear(self) -> None:
        """Forget all images: the next one begins another sequence."""
        with self._lock:
            self._frames.clear()

    @property
    def newest_size(self) -> tuple[int, int] | None:
        """Width and height of the newest image; None before the first."""
        with self._lock:
            return self._frames[-1].size if self._frames else None

    def troubles(self) -> list[str]:
        """One line for each thing that is wrong; none while there are too few images to tell."""
        with self._lock:
            frames = list(self._frames)
        if len(frames) < MIN_FRAMES:
            return []
        steps = list(pairwise(frames))
        return [text for text in (_stamps(frames, steps), _sizes(frames, steps), _frame_ids(frames, steps)) if text]


def _stamps(frames: list[SeenFrame], steps: list[tuple[SeenFrame, SeenFrame]]) -> str:
    stamps = {frame.stamp_ns for frame in frames}
    if stamps == {0}:
        return ZERO_STAMPS
    if len(stamps) == 1:
        return f"all images have the same stamp, {stamps.pop() / 10**9:.9f} s: the camera's clock stands still"
    if _happens_often(steps, lambda before, after: after.stamp_ns < before.stamp_ns):
        return "stamps go back again and again: two cameras, or two clocks, on one topic?"
    return ""


def _sizes(frames: list[SeenFrame], steps: list[tuple[SeenFrame, SeenFrame]]) -> str:
    if not _happens_often(steps, lambda before, after: before.size != after.size):
        return ""
    sizes = " and ".join(f"{width} x {height}" for width, height in sorted({frame.size for frame in frames})[:MAX_NAMES])
    return f"the image size flips between {sizes}, and the stream starts anew each time: two cameras on one topic?"


def _frame_ids(frames: list[SeenFrame], steps: list[tuple[SeenFrame, SeenFrame]]) -> str:
    if not _happens_often(steps, lambda before, after: before.frame_id != after.frame_id):
        return ""
    names = " and ".join(repr(name[:MAX_NAME]) for name in sorted({frame.frame_id for frame in frames})[:MAX_NAMES])
    return f"images of the frame_ids {names} come in turn: two cameras on one topic?"


def _happens_often(steps: list[tuple[SeenFrame, SeenFrame]], breaks: Callable[[SeenFrame, SeenFrame], bool]) -> bool:
    """Whether many of the steps from one image to the next break the sequence."""
    return sum(breaks(before, after) for before, after in steps) > MANY * len(steps)
