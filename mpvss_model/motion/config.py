"""Sizes of the motion module; the defaults are the published ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from mpvss_model.errors import ConfigError
from mpvss_model.image import MASK_STRIDE

__all__ = ["MotionConfig"]

TRACKED_FLOW_STRIDES = (1, 2, MASK_STRIDE)
NUM_ENCODER_STAGES = 6
NUM_UPSAMPLING_STEPS = 4


@dataclass(frozen=True, kw_only=True)
class MotionConfig:
    """Sizes of a `MotionModule` (MPVSS, section 3.2 and released code).

    Attributes:
        num_queries: Queries of the segmentor, Q.
        query_size: Channels of the segmentor's queries; projected where it differs from ``hidden_size``.
        hidden_size: Channels of the motion decoder; a multiple of 4 and of ``num_heads``.
        num_layers: Of the motion decoder.
        num_heads: Of its self-attention.
        ffn_size: Hidden channels of its feed-forward networks.
        encoder_channels: Output channels of the stages ``conv1`` .. ``conv6``.
        upsampled_channels: Output channels of the upsampling steps of the pixel-wise branch, coarse to fine.
        refines_tracked_flow: Whether the key image and the masks are first carried to the current frame by tracked flow, and
            the module estimates what motion is left. Not part of the published method.
        tracked_flow_stride: That flow is measured on frames of 1/4, 1/2 or all of their size: 4, 2 or 1.

    Raises:
        ConfigError: If a size is not a positive whole number, a list has the wrong length, or sizes do not fit.
    """

    num_queries: int = 100
    query_size: int = 256
    hidden_size: int = 256
    num_layers: int = 9
    num_heads: int = 8
    ffn_size: int = 2048
    encoder_channels: tuple[int, ...] = (64, 128, 256, 512, 512, 1024)
    upsampled_channels: tuple[int, ...] = (128, 128, 128, 64)
    refines_tracked_flow: bool = False
    tracked_flow_stride: int = MASK_STRIDE

    def __post_init__(self) -> None:
        for name in ("num_queries", "query_size", "hidden_size", "num_layers", "num_heads", "ffn_size"):
            _check_positive_int(name, getattr(self, name))
        if not isinstance(self.refines_tracked_flow, bool):
            raise ConfigError(f"refines_tracked_flow must be true or false, got {self.refines_tracked_flow!r}")
        if self.tracked_flow_stride not in TRACKED_FLOW_STRIDES:
            raise ConfigError(f"tracked_flow_stride must be one of {TRACKED_FLOW_STRIDES}, got {self.tracked_flow_stride!r}")
        _check_channels("encoder_channels", self.encoder_channels, NUM_ENCODER_STAGES)
        _check_channels("upsampled_channels", self.upsampled_channels, NUM_UPSAMPLING_STEPS)
        if self.hidden_size % self.num_heads or self.hidden_size % 4:
            raise ConfigError(
                f"hidden_size must be a multiple of 4 and of num_heads ({self.num_heads}), got {self.hidden_size}"
            )

    @classmethod
    def from_dict(cls, settings: Mapping[str, object]) -> MotionConfig:
        """Build from ``dataclasses.asdict`` of a configuration, or the same read back from JSON.

        Raises:
            ConfigError: If a name is unknown or a value is out of range.
        """
        known = {field.name for field in fields(cls)}
        unknown = sorted(set(settings) - known)
        if unknown:
            raise ConfigError(f"unknown motion settings {', '.join(unknown)}; known are {', '.join(sorted(known))}")
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})


def _check_positive_int(name: str, value: object) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigError(f"{name} must be a whole number of at least 1, got {value!r}")


def _check_channels(name: str, channels: object, length: int) -> None:
    if not isinstance(channels, tuple) or len(channels) != length:
        raise ConfigError(f"{name} must be a tuple of {length} numbers, got {channels!r}")
    for i, value in enumerate(channels):
        _check_positive_int(f"{name}[{i}]", value)
