"""How a recording is labelled."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpvss_model.errors import ConfigError
from mpvss_model.propagation.registry import AUTO, propagation_choices

__all__ = ["LabellingConfig", "View", "parse_views"]

# More is no other scale of the same image, but another image.
MIN_SCALE, MAX_SCALE = 0.25, 4.0


@dataclass(frozen=True)
class View:
    """A copy of a frame that is segmented.

    Attributes:
        scale: Of its sides.
        mirrored: Left and right.
    """

    scale: float = 1.0
    mirrored: bool = False


@dataclass(frozen=True, kw_only=True)
class LabellingConfig:
    """Settings of `mpvss_model.labelling.labeller.label_clips`.

    Attributes:
        interval: A key frame every so many frames; 1 segments each frame.
        propagation: For the frames in between, one of `propagation_choices`.
        views: Of each key frame; class scores are the mean of theirs. The plain one alone by default.
        min_confidence: Pixels below become unlabeled, 0..1.

    Raises:
        ConfigError: If a value is out of range.
    """

    interval: int = 1
    propagation: str = AUTO
    views: tuple[View, ...] = (View(),)
    min_confidence: float = 0.0

    def __post_init__(self) -> None:
        if self.interval < 1:
            raise ConfigError(f"interval must be at least 1, got {self.interval}")
        if self.propagation not in (choices := propagation_choices()):
            raise ConfigError(f"propagation must be one of {', '.join(choices)}, got {self.propagation!r}")
        if not self.views:
            raise ConfigError("there must be at least one view of each key frame, got none: name a scale")
        for view in self.views:
            if not MIN_SCALE <= view.scale <= MAX_SCALE:
                raise ConfigError(f"scales must be {MIN_SCALE:g} to {MAX_SCALE:g}, got {view.scale:g}")
        if not (math.isfinite(self.min_confidence) and 0.0 <= self.min_confidence <= 1.0):
            raise ConfigError(f"min_confidence must be 0 to 1, got {self.min_confidence!r}")


def parse_views(scales: str, *, flips: bool) -> tuple[View, ...]:
    """Views of all scales in a text such as ``0.75,1,1.25``, perhaps mirrored ones, too; the one most like the frame first.

    Raises:
        ConfigError: If the text is no list of numbers.
    """
    try:
        numbers = sorted({float(text) for text in scales.split(",")}, key=lambda scale: abs(math.log(scale)))
    except ValueError as error:  # also of a logarithm
        raise ConfigError(f"scales must be numbers above 0, separated by commas, got {scales!r}") from error
    return tuple(View(scale, mirrored) for mirrored in ((False, True) if flips else (False,)) for scale in numbers)
