"""Key frames by an exported network alone."""

from __future__ import annotations

import numpy as np
import torch

from mpvss_model.errors import SegmentorError
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrame

__all__ = ["FileSegmentor", "exported_key_frame"]


class FileSegmentor(BaseSegmentor):
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
        return exported_key_frame(self._network, frame, stamp_s, device=self.device)

    def digest(self) -> bytes:
        """Changes with the network that was exported, and since ONNX Runtime rounds otherwise than torch."""
        return content_digest("onnx", self._network.description)


def exported_key_frame(network: ExportedNetwork, frame: np.ndarray, stamp_s: float, *, device: torch.device) -> KeyFrame:
    """What a network for one frame at a time finds.

    Args:
        network: For frames of this size.
        frame: uint8 RGB ``[H, W, 3]``.
        stamp_s: When it was taken, in seconds.
        device: Where masks, classes and queries go.

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
    masks, classes, queries = (output[0].to(device) for output in network.run(frame[None]))
    return KeyFrame(frame, stamp_s, padding, masks, classes, queries)
