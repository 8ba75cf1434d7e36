"""What earlier key frames said about a new one, beside what the segmentor says.

The segmentor looks at each key frame as if it were the first, and is unsure of other things each time. A running mean of its
class scores, carried from key frame to key frame as masks are carried to any frame, is right more often than the newest scores
alone, and flickers less. It is not part of MPVSS.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.semantics import class_probabilities, grid_scores
from mpvss_model.stream.change import Change

__all__ = ["History"]

# A class whose scores are lower everywhere is not remembered, ...
FAINT_SCORE = 0.3
# ... and scores that are are kept this far from 0 and 1, since between very large logits interpolation moves borders.
LEAST_SCORE = 5e-3


@dataclass(frozen=True)
class History:
    """The masks of the last key frame, carried to the next one.

    Attributes:
        mask_logits: ``[S, H'/4, W'/4]``.
        class_logits: ``[S, C + 1]``, the last column is "no object".
        change: What motion between the two key frames does not explain; nothing is remembered there.
        weight: Above 0, relative to what the segmentor says of the next key frame.
    """

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    change: Change
    weight: float

    def joined_by(self, key_frame: KeyFrame) -> KeyFrame:
        """The next key frame, with a mask more for each class that is remembered.

        Its class scores are the mean of its own and the remembered ones, ``(own + weight * remembered) / (1 + weight)``, where
        motion explains the image, and its own elsewhere. A remembered class moves with the query that is the likeliest to be
        of this class; a segmentor that was trained for semantic segmentation finds each class with one query.
        """
        probabilities = class_probabilities(key_frame.class_logits)  # [Q, C]
        own = grid_scores(key_frame.mask_logits, key_frame.class_logits)  # [C, h, w]
        earlier = grid_scores(self.mask_logits, self.class_logits)
        explained = torch.from_numpy(_explained(self.change, key_frame.padding, own.shape[1:])).to(own)
        remembered = torch.lerp(own, earlier, explained)
        classes = (remembered.flatten(1).amax(dim=1) >= FAINT_SCORE).nonzero()[:, 0]
        share = self.weight / (1 + self.weight)
        of_classes = share * torch.eye(len(own), device=own.device)[classes]
        queries = torch.arange(len(probabilities), device=own.device)
        return replace(
            key_frame,
            mask_logits=torch.cat([key_frame.mask_logits, remembered[classes].logit(LEAST_SCORE).to(key_frame.mask_logits)]),
            class_logits=_class_logits(torch.cat([(1 - share) * probabilities, of_classes])),
            moves_with=torch.cat([queries, probabilities.argmax(dim=0)[classes]]),
            segmentors_class_logits=key_frame.class_logits,
        )


def _class_logits(probabilities: torch.Tensor) -> torch.Tensor:
    """``[S, C]`` -> logits ``[S, C + 1]`` that have these probabilities."""
    no_object = 1 - probabilities.sum(dim=1, keepdim=True)
    return torch.cat([probabilities, no_object], dim=1).clamp(min=torch.finfo(torch.float32).tiny).log()


def _explained(change: Change, padding: FramePadding, size: tuple[int, ...]) -> np.ndarray:
    """Share of each mask pixel that motion explains, float32 of the padded frame's mask size; 0 in the padding."""
    frame_size = padding.height, padding.width
    height, width = (
        -(-side * grid // padded) for side, grid, padded in zip(frame_size, size, padding.padded_size, strict=True)
    )
    explained = np.zeros(size, np.float32)
    explained[:height, :width] = 1.0 - change.error_map(height, width)
    return explained
