"""Mask2Former, as a segmentor of key frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor

__all__ = ["load"]


def load(name_or_dir: str, *, device: torch.device) -> Mask2FormerSegmentor:
    """As `Mask2FormerSegmentor.from_pretrained`, for `mpvss_model.segmentor.registry`."""
    # transformers takes seconds to import.
    from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor

    return Mask2FormerSegmentor.from_pretrained(name_or_dir, device=device)
