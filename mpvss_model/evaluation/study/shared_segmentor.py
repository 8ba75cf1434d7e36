"""One segmentor for many streams that see the same frames in step."""

from __future__ import annotations

import numpy as np

from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor

__all__ = ["SharedSegmentor"]


class SharedSegmentor:
    """A `KeyFrameSegmentor` that segments each frame once, however many streams ask for it before the next frame.

    Streams that resize the frame ask for images of their own, which look the same.

    Args:
        segmentor: Does the work.
    """

    def __init__(self, segmentor: KeyFrameSegmentor) -> None:
        self.class_names = segmentor.class_names
        self.name = segmentor.name
        self.device = segmentor.device
        self.dtype = segmentor.dtype
        self._segmentor = segmentor
        self._frame: np.ndarray | None = None
        self._key_frame: KeyFrame | None = None

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``, or answer with what the last call found if it was for the same frame."""
        if self._key_frame is None or self._key_frame.stamp_s != stamp_s or not self._is_seen(frame):
            self._key_frame = self._segmentor.segment(frame, stamp_s)
            self._frame = frame
        return self._key_frame

    def _is_seen(self, frame: np.ndarray) -> bool:
        return self._frame is frame or np.array_equal(self._frame, frame)
