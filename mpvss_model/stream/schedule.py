"""When is a frame a key frame?"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from mpvss_model.config import StreamConfig

__all__ = ["KeyFrameReason", "KeyFrameSchedule", "RestartReason"]


class KeyFrameReason(str, Enum):
    """Why a frame became a key frame."""

    FIRST = "first"
    INTERVAL = "interval"
    TIME = "time"
    MOTION = "motion"
    REQUEST = "request"
    RESET = "reset"


class RestartReason(str, Enum):
    """Why a stream forgot all earlier frames and began anew with one."""

    STAMP_WENT_BACK = "stamp went back"
    GAP = "gap"
    FRAME_SIZE = "frame size changed"
    INFERENCE_SIZE = "inference size changed"
    RESET = "reset"


@dataclass(frozen=True, kw_only=True)
class KeyFrameSchedule:
    """Decides by counting frames, by motion, and by age on the frames' own stamps, never by the wall clock.

    Attributes:
        max_interval_frames: Frames from one key frame to the next, at least 1.
        max_interval_s: A key frame this old, in seconds, is replaced.
        min_interval_s: A younger one is not, except at a scene cut.
        motion_threshold: A key frame is replaced when what motion does not explain has added up to this, in share of the
            image x seconds; 0 if it is not measured.
    """

    max_interval_frames: int
    max_interval_s: float
    min_interval_s: float = 0.0
    motion_threshold: float = 0.0

    @classmethod
    def from_config(cls, config: StreamConfig) -> KeyFrameSchedule:
        """The schedule of a stream."""
        return cls(
            max_interval_frames=config.max_interval_frames,
            max_interval_s=config.time_limit_s,
            min_interval_s=config.min_interval_s,
            motion_threshold=config.motion_threshold,
        )

    @property
    def needs_motion(self) -> bool:
        """Whether `reason` looks at what motion does not explain."""
        return self.motion_threshold > 0.0

    def reason(
        self, *, frames_since_key: int, key_age_s: float, unexplained_s: float = 0.0, is_cut: bool = False
    ) -> KeyFrameReason | None:
        """Why the frame at hand must be a key frame, or None if it is to be propagated.

        Args:
            frames_since_key: 1 for the frame right after a key frame.
            key_age_s: Its stamp minus the key frame's, by `mpvss_model.stamps.seconds`: so the limits hold to the nanosecond.
            unexplained_s: Share of the image, 0..1, that motion since the key frame does not explain, summed over the time
                since then. A sum weighs the loss in labels against the cost of a key frame: a slight error that stays is
                removed as well as a large one that grows.
            is_cut: Whether the frame shows another scene than the one before.
        """
        if self.needs_motion and is_cut:
            return KeyFrameReason.MOTION
        if key_age_s < self.min_interval_s:
            return None
        if frames_since_key >= self.max_interval_frames:
            return KeyFrameReason.INTERVAL
        if key_age_s >= self.max_interval_s:
            return KeyFrameReason.TIME
        if self.needs_motion and unexplained_s >= self.motion_threshold:
            return KeyFrameReason.MOTION
        return None
