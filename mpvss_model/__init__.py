"""Video semantic segmentation by key frames and mask propagation (MPVSS), in plain PyTorch."""

from importlib import import_module
from typing import TYPE_CHECKING

from mpvss_model.config import StreamConfig
from mpvss_model.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    FrameError,
    MPVSSError,
    PropagationError,
    SegmentorError,
    StaleKeyFrameError,
)
from mpvss_model.stream.schedule import KeyFrameReason, RestartReason

if TYPE_CHECKING:
    from mpvss_model.stream.segmentation import Segmentation
    from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = [
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FrameError",
    "KeyFrameReason",
    "MPVSSError",
    "PropagationError",
    "RestartReason",
    "Segmentation",
    "SegmentorError",
    "StaleKeyFrameError",
    "StreamConfig",
    "VideoSegmentor",
]

# PyTorch takes seconds to import, which whoever only wants a configuration or an error is spared.
_NEED_TORCH = {"Segmentation": "mpvss_model.stream.segmentation", "VideoSegmentor": "mpvss_model.stream.video_segmentor"}


def __getattr__(name: str) -> object:
    if name not in _NEED_TORCH:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_NEED_TORCH[name]), name)
