"""Frame by frame with ``transformers`` alone: what this project is measured against."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from mpvss_model.segmentor.registry import load_model
from mpvss_model.semantics import class_scores

__all__ = ["reference_labeller"]


def reference_labeller(
    name_or_dir: str, *, device: torch.device, compiled: bool = False
) -> Callable[[np.ndarray], np.ndarray]:
    """What a user of ``transformers`` runs per frame: the network, then its semantic inference at the frame's size.

    Args:
        name_or_dir: Of a Mask2Former or an MPVSS model, of which the segmentor is taken.
        device: Where it runs.
        compiled: Whether to run it by ``torch.compile`` and in half precision, in place of fp32.

    Returns:
        A function from a frame, uint8 RGB ``[H, W, 3]``, to its labels, uint8 ``[H, W]``.

    Raises:
        CheckpointError: If the model cannot be loaded.
    """
    segmentor = load_model(name_or_dir, device=device).segmentor
    network = torch.compile(segmentor.model) if compiled else segmentor.model
    half = torch.float16 if device.type == "cuda" else torch.bfloat16

    @torch.inference_mode()
    def label(frame: np.ndarray) -> np.ndarray:
        padding, pixels = segmentor.prepared(frame)
        with torch.autocast(device.type, dtype=half, enabled=compiled):
            outputs = network(pixels)
        scores = class_scores(outputs.masks_queries_logits[0].float(), outputs.class_queries_logits[0].float(), padding)
        return scores.argmax(dim=0).to(torch.uint8).cpu().numpy()

    return label
