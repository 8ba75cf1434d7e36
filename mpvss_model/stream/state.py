"""What one stream remembers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mpvss_model.config import StreamConfig
from mpvss_model.errors import FrameError
from mpvss_model.instances.tracker import CarriedInstances, InstanceTracker
from mpvss_model.stamps import seconds, stamp_text
from mpvss_model.stream.key_frame_job import Failure, KeyFrameJob, Reference
from mpvss_model.stream.schedule import KeyFrameReason, RestartReason

__all__ = ["StreamState"]


@dataclass
class StreamState:
    """All that one stream remembers between frames.

    Attributes:
        reference: The last good key frame.
        reference_is_new: No frame has been answered from it yet.
        instances: Follows the things of key frames; None while nobody asks for them.
        carried: What it follows, in the image of the key frame that is being made.
        job: The key frame that is being made in the background.
        frames_since_key: Frames since the last one that was begun.
        unexplained_s: What motion since the reference does not explain, in share of the image x seconds.
        compared_frame: The last frame of which that was measured; the reference's own before.
        scene_is_cut: Whether one of them shows another scene than the reference.
        failure: Of the last key frame that was tried.
        frame_size: Height and width of the last frame, as the camera took it.
        image_shape: Of the last frame, as the network saw it.
        last_stamp_ns: Of the last frame.
        elapsed_s: Between the last two frames.
        restart_reason: Why the stream began anew with this state; None for its very first one.
        is_answered: Whether a frame has been answered since then.
        key_frame_requested: By the user.
    """

    reference: Reference | None = None
    reference_is_new: bool = False
    instances: InstanceTracker | None = None
    carried: CarriedInstances | None = None
    job: KeyFrameJob | None = None
    frames_since_key: int = 0
    unexplained_s: float = 0.0
    compared_frame: np.ndarray | None = None
    scene_is_cut: bool = False
    failure: Failure | None = None
    frame_size: tuple[int, int] | None = None
    image_shape: tuple[int, ...] | None = None
    last_stamp_ns: int | None = None
    elapsed_s: float = 0.0
    restart_reason: RestartReason | None = None
    is_answered: bool = False
    key_frame_requested: bool = False

    @property
    def first_key_frame_reason(self) -> KeyFrameReason:
        """Why the first key frame is one."""
        return KeyFrameReason.FIRST if self.restart_reason is None else KeyFrameReason.RESET

    def break_before(
        self, frame_size: tuple[int, int], image: np.ndarray, stamp_ns: int, *, max_gap_s: float
    ) -> RestartReason | None:
        """Why a frame does not go on with the stream, or None if it does.

        Args:
            frame_size: Height and width of the frame.
            image: It at the size of inference, uint8 RGB ``[H, W, 3]``.
            stamp_ns: Of the frame.
            max_gap_s: The longest time since the last frame, in seconds, that does not break the stream.

        Raises:
            FrameError: If the frame before it had the same stamp.
        """
        if self.last_stamp_ns is None:
            return None
        if stamp_ns == self.last_stamp_ns:
            cause = "" if stamp_ns else "; the camera's driver may not stamp its images"
            raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp_text(stamp_ns)}{cause}")
        if frame_size != self.frame_size:
            return RestartReason.FRAME_SIZE
        if image.shape != self.image_shape:
            return RestartReason.INFERENCE_SIZE
        if stamp_ns < self.last_stamp_ns:
            return RestartReason.STAMP_WENT_BACK
        return RestartReason.GAP if seconds(stamp_ns - self.last_stamp_ns) > max_gap_s else None

    def note_frame(self, frame_size: tuple[int, int], image: np.ndarray, stamp_ns: int) -> None:
        """The stream goes on with this frame; arguments as in `break_before`."""
        if self.last_stamp_ns is not None:
            self.elapsed_s = seconds(stamp_ns - self.last_stamp_ns)
        self.last_stamp_ns, self.frame_size, self.image_shape = stamp_ns, frame_size, image.shape
        self.frames_since_key += 1

    def note_key_frame(self, reference: Reference) -> None:
        """A key frame is finished: later frames are answered from it."""
        self.reference = reference
        self.reference_is_new = True
        self.unexplained_s = 0.0
        self.compared_frame = reference.key_frame.image
        self.scene_is_cut = False
        self.failure = None

    def note_failure(self, error: Exception, reason: KeyFrameReason, config: StreamConfig) -> None:
        """A key frame that was due for this reason could not be made."""
        assert self.last_stamp_ns is not None  # a key frame is made of a frame
        self.failure = Failure.of(error, reason=reason, previous=self.failure, stamp_ns=self.last_stamp_ns, config=config)

    def note_answer(self) -> tuple[bool, RestartReason | None]:
        """A frame is answered.

        Returns:
            Whether it is the first from its key frame; and `restart_reason` if it is the first of the stream.
        """
        is_new, self.reference_is_new = self.reference_is_new, False
        restart_reason, self.is_answered = None if self.is_answered else self.restart_reason, True
        return is_new, restart_reason
