"""When is a frame a key frame?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

__all__ = ["KeyFrameReason", "KeyFrameSchedule"]


class KeyFrameReason(str, Enum):
    """Why a frame became a key frame."""

    FIRST = "first"
    INTERVAL = "interval"
    TIME = "time"
    REQUEST = "request"
    RESET = "reset"


@dataclass(frozen=True, kw_only=True)
class KeyFrameSchedule:
    """Decides by counting frames and by the age of the last key frame on the frames' own stamps, never by the wall clock.

    Attributes:
        interval_frames: Frames from one key frame to the next, at least 1.
        max_interval_s: A key frame this old, in seconds, is replaced.
    """

    interval_frames: int
    max_interval_s: float

    def reason(self, *, frames_since_key: int, key_age_s: float) -> KeyFrameReason | None:
        """Why the frame at hand must be a key frame, or None if it is to be propagated.

        Args:
            frames_since_key: 1 for the frame right after a key frame.
            key_age_s: Its stamp minus the key frame's.
        """
        if frames_since_key >= self.interval_frames:
            return KeyFrameReason.INTERVAL
        if key_age_s >= self.max_interval_s:
            return KeyFrameReason.TIME
        return None
