"""SegFormer, as a segmentor of key frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mpvss_model.segmentor.segformer.segmentor import SegformerSegmentor

__all__ = ["load"]


def load(name_or_dir: str, *, device: torch.device) -> SegformerSegmentor:
    """As `SegformerSegmentor.from_pretrained`, for `mpvss_model.segmentor.registry`."""
    # transformers takes seconds to import.
    from mpvss_model.segmentor.segformer.segmentor import SegformerSegmentor

    return SegformerSegmentor.from_pretrained(name_or_dir, device=device)
