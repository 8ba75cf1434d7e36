"""One segmentor for many streams that see the same frames in step."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor, segmented

__all__ = ["SharedSegmentor"]


class SharedSegmentor:
    """A `KeyFrameSegmentor` that segments each frame once, however many streams ask for it before the next frame.

    Streams that resize the frame ask for images of their own, which look the same. Where key frames leave a memory, those that
    come after different ones are different: a frame is segmented once for each.

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
        self._stamp_s: float | None = None
        self._found: list[tuple[torch.Tensor | None, KeyFrame]] = []

    def segment(self, frame: np.ndarray, stamp_s: float, memory: torch.Tensor | None = None) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``, or answer with what was found if the last call was for the same frame.

        Args:
            frame: To segment.
            stamp_s: When it was taken.
            memory: What the key frame before it in its stream left, see `KeyFrame.memory`.
        """
        if self._stamp_s != stamp_s or not self._is_seen(frame):
            self._frame, self._stamp_s, self._found = frame, stamp_s, []
        for given, key_frame in self._found:
            if given is memory:
                return key_frame
        key_frame = segmented(self._segmentor, frame, stamp_s, memory)
        self._found.append((memory, key_frame))
        return key_frame

    def _is_seen(self, frame: np.ndarray) -> bool:
        return self._frame is frame or np.array_equal(self._frame, frame)
