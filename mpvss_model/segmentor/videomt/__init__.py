"""VidEoMT, as a segmentor of key frames with a memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mpvss_model.segmentor.videomt.segmentor import VideomtSegmentor

__all__ = ["load"]


def load(name_or_dir: str, *, device: torch.device) -> VideomtSegmentor:
    """As `VideomtSegmentor.from_pretrained`, for `mpvss_model.segmentor.registry`."""
    # transformers takes seconds to import.
    from mpvss_model.segmentor.videomt.segmentor import VideomtSegmentor

    return VideomtSegmentor.from_pretrained(name_or_dir, device=device)
