"""Key frames by any EoMT checkpoint of ``transformers`` on DINOv3."""

from __future__ import annotations

from typing import ClassVar

from transformers import EomtDinov3ForUniversalSegmentation

from mpvss_model.segmentor.eomt.segmentor import EomtSegmentor

__all__ = ["EomtDinov3Segmentor"]


class EomtDinov3Segmentor(EomtSegmentor):
    """A `KeyFrameSegmentor` around ``EomtDinov3ForUniversalSegmentation``; all else as of `EomtSegmentor`."""

    network_class: ClassVar = EomtDinov3ForUniversalSegmentation
