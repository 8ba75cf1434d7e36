"""What one stream remembers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpvss_model.stream.key_frame_job import Failure, KeyFrameJob, Reference
from mpvss_model.stream.schedule import KeyFrameReason, RestartReason

__all__ = ["StreamState"]


@dataclass
class StreamState:
    """All that one stream remembers between frames.

    Attributes:
        reference: The last good key frame.
        reference_is_new: No frame has been answered from it yet.
        job: The key frame that is being made in the background.
        frames_since_key: Frames since the last one that was begun.
        unexplained_s: What motion since the reference does not explain, in share of the image x seconds.
        compared_frame: The last frame of which that was measured; the reference's own before.
        failure: Of the last key frame that was tried.
        frame_shape: Of the last frame.
        last_stamp_ns: Of the last frame.
        elapsed_s: Between the last two frames.
        restart_reason: Why the stream began anew with this state; None for its very first one.
        is_answered: Whether a frame has been answered since then.
        key_frame_requested: By the user.
    """

    reference: Reference | None = None
    reference_is_new: bool = False
    job: KeyFrameJob | None = None
    frames_since_key: int = 0
    unexplained_s: float = 0.0
    compared_frame: np.ndarray | None = None
    failure: Failure | None = None
    frame_shape: tuple[int, ...] | None = None
    last_stamp_ns: int | None = None
    elapsed_s: float = 0.0
    restart_reason: RestartReason | None = None
    is_answered: bool = False
    key_frame_requested: bool = False

    @property
    def first_key_frame_reason(self) -> KeyFrameReason:
        """Why the first key frame is one."""
        return KeyFrameReason.FIRST if self.restart_reason is None else KeyFrameReason.RESET
