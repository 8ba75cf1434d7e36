"""The moving average of a model's weights, which is steadier than the weights of any step."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

__all__ = ["WeightAverage"]


class WeightAverage(AveragedModel):
    """Exponential moving average of a stage's weights and norm statistics; ``module`` is the stage that has them.

    Args:
        stage: Is copied.
        decay: Of what the average was before a step; less during the first steps, so that the initial weights fade soon.
    """

    def __init__(self, stage: nn.Module, decay: float) -> None:
        def averaged(average: torch.Tensor, current: torch.Tensor, steps: torch.Tensor | int) -> torch.Tensor:
            if not average.is_floating_point():  # a norm's count of batches
                return current
            kept = min(decay, (1 + int(steps)) / (10 + int(steps)))
            return torch.lerp(current, average, kept)

        super().__init__(stage, avg_fn=averaged, use_buffers=True)
