"""Frozen, self-validating configuration of a video segmentor."""

from __future__ import annotations

import math
from dataclasses import dataclass

from mpvss_model.errors import ConfigError

__all__ = [
    "DEFAULT_MODEL",
    "KEY_FRAME_MODES",
    "MAX_HISTORY_WEIGHT",
    "PRECISIONS",
    "UNLABELED",
    "StreamConfig",
]

DEFAULT_MODEL = "rooms-lite"
KEY_FRAME_MODES = ("sync", "async")
# "auto" is fp16 on a GPU, else fp32.
PRECISIONS = ("auto", "fp32", "bf16", "fp16")
# In label images, where no class is.
UNLABELED = 255
MAX_HISTORY_WEIGHT = 10.0


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """How one video stream is segmented.

    Attributes:
        key_frames: ``sync``: a key frame is answered with its own masks, however long the segmentor takes. ``async``: the
            segmentor works in the background while frames are answered from the last finished key frame.
        max_interval_frames: A key frame at least every so many frames; 1 segments every frame.
        max_interval_s: A key frame also when the last one is this old, in seconds of frame stamps; 0 for ``max_key_age_s``,
            or half of it in ``async`` mode, so that the next masks are there before the last ones are too old.
        min_interval_s: No key frame sooner than this after the last one, except at a scene cut or on request.
        motion_threshold: A key frame also when what motion since the last one cannot explain has added up to this, in share
            of the image x seconds (0..1), and at a scene cut. 0.05 is a tenth of the image for half a second; 0 to not
            measure it.
        max_key_age_s: Masks this old are not used any more: confidence reaches 0 at this age, and a longer gap between two
            frames starts the stream anew. In ``async`` mode masks reach an age of about the segmentor's time for a key frame,
            times one more than there are streams.
        retry_initial_s: How long after a failed key frame the next one is tried, in seconds of frame stamps; doubles with
            each failure.
        retry_max_s: Up to this.
        history_weight: Of what earlier key frames said, carried to a new one, relative to what the segmentor says of it, such
            as 0.5; 0 for the published method, in which a key frame knows nothing of earlier ones. See `mpvss_model.stream.history`.
        query_tolerance: Queries are left out of propagation as long as no class score (range 0..1) can change by more
            than this.

    Raises:
        ConfigError: If a value is out of range.
    """

    key_frames: str = "sync"
    max_interval_frames: int = 5
    max_interval_s: float = 0.0
    min_interval_s: float = 0.0
    motion_threshold: float = 0.0
    max_key_age_s: float = 3.0
    retry_initial_s: float = 0.5
    retry_max_s: float = 8.0
    history_weight: float = 0.0
    query_tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.key_frames not in KEY_FRAME_MODES:
            raise ConfigError(f"key_frames must be one of {', '.join(KEY_FRAME_MODES)}, got {self.key_frames!r}")
        frames = self.max_interval_frames
        if not isinstance(frames, int) or isinstance(frames, bool) or frames < 1:
            raise ConfigError(f"max_interval_frames must be a whole number of at least 1, got {frames!r}")
        _check_number("max_interval_s", self.max_interval_s, minimum=0.0)
        _check_number("max_key_age_s", self.max_key_age_s, minimum=0.0, exclusive=True)
        _check_number("min_interval_s", self.min_interval_s, minimum=0.0, maximum=self.time_limit_s)
        _check_number("motion_threshold", self.motion_threshold, minimum=0.0, maximum=1.0)
        _check_number("retry_initial_s", self.retry_initial_s, minimum=0.0, exclusive=True)
        _check_number("retry_max_s", self.retry_max_s, minimum=self.retry_initial_s)
        _check_number("history_weight", self.history_weight, minimum=0.0, maximum=MAX_HISTORY_WEIGHT)
        _check_number("query_tolerance", self.query_tolerance, minimum=0.0)

    @property
    def time_limit_s(self) -> float:
        """The age at which a key frame is replaced."""
        longest_s = self.max_key_age_s / 2 if self.key_frames == "async" else self.max_key_age_s
        return min(self.max_interval_s or longest_s, self.max_key_age_s)


def _check_number(
    name: str, value: float, *, minimum: float, maximum: float = math.inf, exclusive: bool = False
) -> None:
    in_range = math.isfinite(value) and (value > minimum if exclusive else value >= minimum) and value <= maximum
    if not in_range:
        limits = f"{'above' if exclusive else 'of at least'} {minimum}" + (f" and at most {maximum}" * (maximum < math.inf))
        raise ConfigError(f"{name} must be a finite number {limits}, got {value!r}")
