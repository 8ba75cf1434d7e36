"""What a study measures."""

from __future__ import annotations

from dataclasses import dataclass

from mpvss_model.config import AUTO_INFERENCE_SIZE, MAX_HISTORY_WEIGHT, PER_FRAME, StreamConfig
from mpvss_model.errors import ConfigError

__all__ = ["PER_FRAME", "Run", "StudyConfig"]


@dataclass(frozen=True)
class Run:
    """One way of labelling a video.

    Attributes:
        method: `PER_FRAME`, or one of `mpvss_model.propagation.registry.propagation_names`.
        interval: A key frame every so many frames.
        motion_threshold: See `StreamConfig`; above 0, key frames also come by motion, and ``interval`` is the most.
        history_weight: See `StreamConfig`.
    """

    method: str
    interval: int
    motion_threshold: float = 0.0
    history_weight: float = 0.0

    @property
    def way(self) -> str:
        """The method, and whether key frames have a history."""
        return f"{self.method}, with history" if self.history_weight else self.method


@dataclass(frozen=True, kw_only=True)
class StudyConfig:
    """The grid of a study.

    Attributes:
        intervals: Key-frame intervals, increasing, each at least 1.
        motion_thresholds: Of key frames by motion, with the longest interval as the most; for the model's own way of
            propagation (``auto``), with a history, only.
        history_weight: Where key frames have a history: with the model's own way of propagation and with the most able one,
            also where every frame is a key frame. All else is measured without.
        corruption_every_frames: Robustness is measured on every so many frames, since each takes a key frame per corruption.
        corruption_repeats: Corruptions that are random, the only random part of a study, are measured so many times.
        seed: Of the corruptions; the second repeat has the next one, and so on.
        inference_size: See `StreamConfig`.

    Raises:
        ConfigError: If a value is out of range.
    """

    intervals: tuple[int, ...] = (3, 5, 10, 20)
    motion_thresholds: tuple[float, ...] = (0.03, 0.1)
    history_weight: float = 0.5
    corruption_every_frames: int = 5
    corruption_repeats: int = 1
    seed: int = 0
    inference_size: int = AUTO_INFERENCE_SIZE

    def __post_init__(self) -> None:
        if not self.intervals or min(self.intervals) < 1 or list(self.intervals) != sorted(set(self.intervals)):
            raise ConfigError(f"intervals must be increasing whole numbers of at least 1, got {self.intervals!r}")
        if not all(0.0 < threshold <= 1.0 for threshold in self.motion_thresholds):
            raise ConfigError(f"motion_thresholds must be above 0 and at most 1, got {self.motion_thresholds!r}")
        if not 0.0 < self.history_weight <= MAX_HISTORY_WEIGHT:
            limits = f"above 0 and at most {MAX_HISTORY_WEIGHT:g}"
            raise ConfigError(f"history_weight must be {limits}, got {self.history_weight!r}")
        for name in ("corruption_every_frames", "corruption_repeats"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)!r}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, got {self.seed!r}")
        StreamConfig(inference_size=self.inference_size)  # checks it

    def runs(self, methods: tuple[str, ...], preferred: str) -> tuple[Run, ...]:
        """Per frame first, then each method at each interval, then those with a history, those by motion last.

        Args:
            methods: The simplest first, the most able last.
            preferred: The model's own among them.
        """
        timed = (Run(method, interval) for method in methods for interval in self.intervals)
        remembering = (
            Run(method, interval, history_weight=self.history_weight)
            for method in dict.fromkeys((preferred, methods[-1]))
            for interval in sorted({1, *self.intervals})
        )
        by_motion = (
            Run(preferred, self.intervals[-1], threshold, self.history_weight) for threshold in self.motion_thresholds
        )
        return (Run(PER_FRAME, 1), *timed, *remembering, *by_motion)
