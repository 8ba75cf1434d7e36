"""Video semantic segmentation by key frames and mask propagation (MPVSS), in plain PyTorch."""

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
from mpvss_model.schedule import KeyFrameReason, RestartReason
from mpvss_model.segmentation import Segmentation
from mpvss_model.video_segmentor import VideoSegmentor

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
