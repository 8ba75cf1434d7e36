"""UPerNet, as a segmentor of key frames."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from mpvss_model.segmentor.upernet.segmentor import UperNetSegmentor

__all__ = ["load"]


def load(name_or_dir: str, *, device: torch.device) -> UperNetSegmentor:
    """As `UperNetSegmentor.from_pretrained`, for `mpvss_model.segmentor.registry`."""
    # transformers takes seconds to import.
    from mpvss_model.segmentor.upernet.segmentor import UperNetSegmentor

    return UperNetSegmentor.from_pretrained(name_or_dir, device=device)
