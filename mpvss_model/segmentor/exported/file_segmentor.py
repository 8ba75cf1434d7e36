"""Key frames by an exported network alone."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.exported.exported_segmentor import ExportedSegmentor
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["FileSegmentor"]


class FileSegmentor(ExportedSegmentor):
    """A `KeyFrameSegmentor` around an exported network, for frames of its size.

    Args:
        network: For one frame at a time.
        device: Where its output goes, for the propagation.

    Attributes:
        frame_size: Height and width of the only frames it takes, in pixels.
    """

    def __init__(self, network: ExportedNetwork, *, device: torch.device) -> None:
        self._network = network
        self.device = device
        description = network.description
        self.name = description.model
        self.class_names = description.class_names
        self.frame_size = description.padding.size

    def warm_up_size(self, expected: tuple[int, int]) -> tuple[int, int]:
        """The network's own."""
        return self.frame_size

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``.

        Raises:
            SegmentorError: If it is not of the network's size.
        """
        return self.key_frame(self._network, frame, stamp_s)

    def digest(self) -> bytes:
        """Changes with the network that was exported, and since ONNX Runtime rounds otherwise than torch."""
        return content_digest("onnx", self._network.description)
