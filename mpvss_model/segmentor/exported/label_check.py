"""Whether an exported network says the same of frames as the segmentor that it was made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mpvss_model.errors import CheckpointError, one_line
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.semantics import best_labels

__all__ = ["MIN_EQUAL_SHARE", "check_labels", "equal_label_share"]

MIN_EQUAL_SHARE = 0.9999


def equal_label_share(network: ExportedNetwork, segmentor: KeyFrameSegmentor, frames: Sequence[np.ndarray]) -> float:
    """Share of pixels, 0..1, that get the same class.

    Args:
        network: The exported one, for several frames at a time.
        segmentor: That it was made from.
        frames: uint8 RGB ``[H, W, 3]`` of the network's size, at least one.

    Raises:
        CheckpointError: If the network does not run.
    """
    try:
        masks, classes, _ = network.run(np.stack(list(frames)))
    except Exception as error:  # each runtime has types of its own
        raise CheckpointError(
            f"the exported network of model {segmentor.name!r} does not run for {len(frames)} frames at a time: "
            f"{one_line(error)}; it is not written"
        ) from error
    equal = total = 0
    for i, frame in enumerate(frames):
        expected = segmentor.segment(frame, 0.0)
        labels = best_labels(masks[i], classes[i], network.description.padding)
        others = best_labels(expected.mask_logits.cpu(), expected.class_logits.cpu(), expected.padding)
        equal += int((labels == others).sum())
        total += labels.numel()
    return equal / total


def check_labels(network: ExportedNetwork, segmentor: KeyFrameSegmentor, frames: Sequence[np.ndarray]) -> float:
    """As `equal_label_share`.

    Raises:
        CheckpointError: If fewer than 99.99 % of the pixels get the same class, or the network does not run.
    """
    share = equal_label_share(network, segmentor, frames)
    if share < MIN_EQUAL_SHARE:
        raise CheckpointError(
            f"the exported network of model {segmentor.name!r} gives {100 * share:.3f} % of the pixels of {len(frames)} "
            f"frames their class in PyTorch; expected at least {100 * MIN_EQUAL_SHARE:.2f} %: it is not written"
        )
    return share
