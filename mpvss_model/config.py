"""Frozen, self-validating configuration of a video segmentor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpvss_model.errors import ConfigError

__all__ = ["DEFAULT_MODEL", "StreamConfig"]

DEFAULT_MODEL = "rooms-lite"


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How one video stream is segmented.

    Attributes:
        interval_frames: A key frame at least every so many frames; 1 segments every frame.
        max_interval_s: A key frame also when the last one is this old, in seconds of frame stamps; 0 for ``max_key_age_s``.
        max_key_age_s: Masks this old are not propagated any more: confidence reaches 0 at this age, and a longer gap
            between two frames starts the stream anew.
        query_tolerance: Queries are left out of propagation as long as no class score (range 0..1) can change by more
            than this.

    Raises:
        ConfigError: If a value is out of range.
    """

    interval_frames: int = 5
    max_interval_s: float = 0.0
    max_key_age_s: float = 2.0
    query_tolerance: float = 0.01

    def __post_init__(self) -> None:
        if not isinstance(self.interval_frames, int) or isinstance(self.interval_frames, bool) or self.interval_frames < 1:
            raise ConfigError(f"interval_frames must be a whole number of at least 1, got {self.interval_frames!r}")
        _check_number("max_interval_s", self.max_interval_s, minimum=0.0)
        _check_number("max_key_age_s", self.max_key_age_s, minimum=0.0, exclusive=True)
        _check_number("query_tolerance", self.query_tolerance, minimum=0.0)


def _check_number(name: str, value: float, *, minimum: float, exclusive: bool = False) -> None:
    in_range = math.isfinite(value) and (value > minimum if exclusive else value >= minimum)
    if not in_range:
        raise ConfigError(f"{name} must be a finite number {'above' if exclusive else 'of at least'} {minimum}, got {value!r}")
