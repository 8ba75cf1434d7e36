"""What to render."""

from __future__ import annotations

from dataclasses import dataclass

from mpvss_model.errors import ConfigError

__all__ = ["SPLITS", "RoomsConfig"]

# Split B shows the held-out furniture and people only, the others everything else. No two splits share a room.
SPLITS = ("train", "val", "test-a", "test-b")


@dataclass(frozen=True, kw_only=True)
class RoomsConfig:
    """A set of rendered clips.

    Attributes:
        split: One of `SPLITS`.
        apartments: How many, of one to four rooms each.
        views: Clips in each.
        frames: Of each clip.
        max_stride: A clip shows each n-th frame of the camera, with n drawn from 1 to this.
        width: Of the frames in pixels.
        height: Likewise.
        rate_hz: Frames per second of the camera.
        seed: Everything is the same for the same seed.
        ground_truth: Whether to write instances, depth and flow beside the labels.

    Raises:
        ConfigError: If a value is out of range.
    """

    split: str = "train"
    apartments: int = 100
    views: int = 6
    frames: int = 4
    max_stride: int = 4
    width: int = 320
    height: int = 240
    rate_hz: float = 15.0
    seed: int = 0
    ground_truth: bool = False

    def __post_init__(self) -> None:
        if self.split not in SPLITS:
            raise ConfigError(f"split must be one of {', '.join(SPLITS)}, got {self.split!r}")
        for name in ("apartments", "views", "frames", "max_stride"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, got {getattr(self, name)}")
        for name in ("width", "height"):
            if not 16 <= getattr(self, name) <= 4096:
                raise ConfigError(f"{name} must be 16 to 4096 pixels, got {getattr(self, name)}")
        if not 1.0 <= self.rate_hz <= 240.0:
            raise ConfigError(f"rate_hz must be 1 to 240, got {self.rate_hz}")
        if self.seed < 0:
            raise ConfigError(f"seed must not be negative, got {self.seed}")
