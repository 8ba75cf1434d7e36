"""What segmentors have in common whose networks ONNX Runtime runs."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.errors import SegmentorError
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["ExportedSegmentor"]


class ExportedSegmentor(BaseSegmentor):
    """A `KeyFrameSegmentor` whose networks ONNX Runtime runs; to be completed by `segment`."""

    queries_dtype = torch.float32

    def accelerate(self, dtype: torch.dtype) -> None:
        """Give the queries to a motion module of some floating-point type from now on; networks stay in fp32."""
        self.queries_dtype = dtype

    def key_frame(self, network: ExportedNetwork, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """What a network finds in a frame of its size.

        Args:
            network: For one frame at a time.
            frame: uint8 RGB ``[H, W, 3]``.
            stamp_s: When it was taken, in seconds.

        Raises:
            SegmentorError: If the frame is of another size.
        """
        padding = network.description.padding
        if frame.shape[:2] != padding.size:
            height, width = frame.shape[:2]
            raise SegmentorError(
                f"the exported network takes frames of {padding.width}x{padding.height} pixels, got {width}x{height}: let "
                f"inference_size make them so, or export it for these: mpvss export --size {width}x{height}"
            )
        masks, classes, queries = (output[0].to(self.device) for output in network.run(frame[None]))
        return KeyFrame(frame, stamp_s, padding, masks, classes, queries.to(self.queries_dtype))
