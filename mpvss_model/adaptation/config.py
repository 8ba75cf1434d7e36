"""How a model is adapted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.errors import ConfigError
from mpvss_model.labelling import ClassMapping, LabellingConfig

__all__ = ["AdaptationConfig"]


@dataclass(frozen=True, kw_only=True)
class AdaptationConfig:
    """Settings of `mpvss_model.adaptation.adapt.adapt`.

    Attributes:
        teacher: See `VideoSegmentor.from_pretrained`.
        student: Likewise; a Mask2Former.
        mapping: From the teacher's classes to the student's; None if they are the same.
        mix: Labelled folder of the student's classes, such as renderings, that comes into every batch, so that the student
            does not forget what the recordings do not show; None for none.
        mix_share: Of each batch.
        labelling: How the teacher labels, every frame for itself.
        every: Only each n-th frame of the recordings is used.
        min_confidence: Pixels of which the teacher is so sure teach the student, 0..1; of the others those on which other
            views agree.
        steps: Of training.
        minutes: Instead of ``steps``: about so long; None for ``steps``.
        min_gain: On the held-back part, in mIoU, for the result to be taken.
        max_loss: On the held-back part of ``mix``, in mIoU, for the result to be taken.

    Raises:
        ConfigError: If a value is out of range.
    """

    teacher: str
    student: str = DEFAULT_MODEL
    mapping: ClassMapping | None = None
    mix: Path | None = None
    mix_share: float = 0.35
    labelling: LabellingConfig = field(default_factory=LabellingConfig)
    every: int = 1
    min_confidence: float = 0.8
    steps: int = 400
    minutes: float | None = None
    min_gain: float = 0.005
    max_loss: float = 0.02

    def __post_init__(self) -> None:
        for name, smallest in (("every", 1), ("steps", 1)):
            if getattr(self, name) < smallest:
                raise ConfigError(f"{name} must be at least {smallest}, got {getattr(self, name)}")
        if self.minutes is not None and not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"minutes must be above 0, got {self.minutes}")
        for name, largest in (("min_confidence", 1.0), ("mix_share", 0.9)):
            if not 0.0 <= getattr(self, name) <= largest:
                raise ConfigError(f"{name} must be 0 to {largest:g}, got {getattr(self, name)}")
        if self.labelling.interval != 1:
            raise ConfigError("the teacher segments every frame, so that frames can agree; use a larger step between frames")
