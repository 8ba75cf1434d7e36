"""EoMT on DINOv3, as a segmentor of key frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mpvss_model.segmentor.eomt_dinov3.segmentor import EomtDinov3Segmentor

__all__ = ["load"]


def load(name_or_dir: str, *, device: torch.device) -> EomtDinov3Segmentor:
    """As `EomtDinov3Segmentor.from_pretrained`, for `mpvss_model.segmentor.registry`."""
    # transformers takes seconds to import.
    from mpvss_model.segmentor.eomt_dinov3.segmentor import EomtDinov3Segmentor

    return EomtDinov3Segmentor.from_pretrained(name_or_dir, device=device)
