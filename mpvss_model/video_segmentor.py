"""Labels for every frame of a video: segment key frames, propagate their masks to the frames in between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from mpvss_model.config import DEFAULT_MODEL, StreamConfig
from mpvss_model.errors import ConfigError, FrameError
from mpvss_model.image import check_frame
from mpvss_model.memory import keep_freed_memory
from mpvss_model.precision import resolve_precision
from mpvss_model.propagation import Propagator, make_propagator
from mpvss_model.schedule import KeyFrameReason, KeyFrameSchedule
from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor
from mpvss_model.semantics import best_classes, confidence_map, relevant_queries

__all__ = ["Segmentation", "VideoSegmentor", "resolve_device"]

WARM_UP_SIZE = (240, 320)
GPU_QUERY_MULTIPLE = 16
WEIGHTS_DIR = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class Segmentation:
    """The result for one frame.

    Attributes:
        labels: uint8 ``[H, W]``, the class index of each pixel.
        is_key_frame: Whether the frame itself was segmented.
        key_frame_reason: Why it became a key frame; None if it was propagated.
        stamp_s: Of the frame.
        key_stamp_s: Of the key frame its masks come from.
        freshness: 1 on a key frame, falling linearly to 0 as the key frame reaches ``max_key_age_s``.
        best_scores: ``[H, W]``, score of each pixel's class, on the model's device.
    """

    labels: np.ndarray
    is_key_frame: bool
    key_frame_reason: KeyFrameReason | None
    stamp_s: float
    key_stamp_s: float
    freshness: float
    best_scores: torch.Tensor

    @cached_property
    def confidence(self) -> np.ndarray:
        """Best class score times freshness, float32 ``[H, W]`` in 0..1; computed when first asked for."""
        return confidence_map(self.best_scores) * np.float32(self.freshness)


@dataclass
class StreamState:
    """All that one stream remembers between frames."""

    key_frame: KeyFrame | None = None
    queries: torch.Tensor | None = None
    frames_since_key: int = 0
    last_stamp_s: float | None = None
    restart_reason: KeyFrameReason = KeyFrameReason.FIRST
    key_frame_requested: bool = False


class VideoSegmentor:
    """Segments one video stream, frame by frame.

    >>> import numpy as np
    >>> segmentor = VideoSegmentor.from_pretrained()
    >>> segmentor.class_names[:3]
    ('wall', 'floor', 'ceiling')
    >>> frame = np.zeros((240, 320, 3), np.uint8)
    >>> segmentor.step(frame, stamp_s=0.0).is_key_frame, segmentor.step(frame, stamp_s=0.1).is_key_frame
    (True, False)

    Args:
        segmentor: Makes key frames.
        propagator: Carries their masks to other frames.
        config: Key-frame interval and limits.
    """

    def __init__(self, *, segmentor: KeyFrameSegmentor, propagator: Propagator, config: StreamConfig) -> None:
        self.segmentor = segmentor
        self.config = config
        self.propagator = propagator
        self._state = StreamState()

    @classmethod
    def from_pretrained(
        cls,
        model: str = DEFAULT_MODEL,
        *,
        device: str = "auto",
        propagation: str = "auto",
        precision: str = "auto",
        config: StreamConfig | None = None,
    ) -> VideoSegmentor:
        """Build from a shipped model's name, a checkpoint directory or a hub id.

        Args:
            model: A Mask2Former, or an MPVSS model with a motion module.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            propagation: ``segment`` or ``pixel`` for the model's own motion module, ``dense`` for ordinary optical flow,
                ``copy`` for none; ``auto`` takes the motion module where there is one.
            precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` is fp16 on a GPU, else fp32.
            config: Key-frame interval and limits.

        Raises:
            CheckpointError: If the model cannot be loaded.
            ConfigError: If device or precision do not exist, or the model cannot propagate that way.
        """
        # transformers takes seconds to import, which `mpvss_model` spares those who bring their own segmentor.
        from mpvss_model.segmentor.loading import load_model

        shipped = WEIGHTS_DIR / model
        location = str(shipped) if "/" not in model and shipped.is_dir() else model
        keep_freed_memory()
        torch_device = resolve_device(device)
        loaded = load_model(location, device=torch_device)
        loaded.accelerate(resolve_precision(precision, torch_device))
        propagator = make_propagator(propagation, motion=loaded.motion, released_grid=loaded.released_grid)
        return cls(segmentor=loaded.segmentor, propagator=propagator, config=config or StreamConfig())

    @property
    def config(self) -> StreamConfig:
        """May be replaced between two frames."""
        return self._config

    @config.setter
    def config(self, config: StreamConfig) -> None:
        self._config = config
        self._schedule = KeyFrameSchedule(
            interval_frames=config.interval_frames, max_interval_s=config.max_interval_s or config.max_key_age_s
        )

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""
        return self.segmentor.class_names

    @torch.inference_mode()
    def step(self, frame: np.ndarray, stamp_s: float) -> Segmentation:
        """Label the next frame of the stream.

        A stamp that goes back, a gap longer than ``max_key_age_s`` and a new frame size start the stream anew. If this
        raises, the stream is as it was before the call.

        Args:
            frame: uint8 RGB ``[H, W, 3]``; must not be changed afterwards, since a key frame is kept.
            stamp_s: When it was taken, in seconds of any clock.

        Raises:
            FrameError: If the frame or its stamp cannot be used; the next frame may be fine.
        """
        check_frame(frame)
        state = self._continued_state(frame, stamp_s)
        reason = self._key_frame_reason(state, stamp_s)
        if reason is not None:
            key_frame = self.segmentor.segment(frame, stamp_s)
            state.key_frame = key_frame
            multiple = GPU_QUERY_MULTIPLE if key_frame.queries.is_cuda else 1
            state.queries = relevant_queries(key_frame.class_logits, self.config.query_tolerance, multiple)
            state.frames_since_key = 0
            state.key_frame_requested = False
            mask_logits = key_frame.mask_logits[state.queries]
        else:
            key_frame = state.key_frame
            mask_logits = self.propagator.propagate(key_frame, frame, state.queries)
        best = best_classes(mask_logits, key_frame.class_logits[state.queries], key_frame.padding)
        state.frames_since_key += 1
        state.last_stamp_s = stamp_s
        self._state = state
        return Segmentation(
            labels=best.labels.cpu().numpy(),
            is_key_frame=reason is not None,
            key_frame_reason=reason,
            stamp_s=stamp_s,
            key_stamp_s=key_frame.stamp_s,
            freshness=max(0.0, 1.0 - (stamp_s - key_frame.stamp_s) / self.config.max_key_age_s),
            best_scores=best.scores,
        )

    def warm_up(self) -> None:
        """Pay the first frames' one-time costs now, on a stream that is forgotten afterwards."""
        frame = np.zeros((*WARM_UP_SIZE, 3), np.uint8)
        for i in range(2):
            self.step(frame, stamp_s=float(i) * 1e-3)
        self._state = StreamState()

    def request_key_frame(self) -> None:
        """Make the next frame a key frame."""
        self._state.key_frame_requested = True

    def reset(self) -> None:
        """Forget the stream; the next frame becomes a key frame."""
        if self._state.key_frame is not None:
            self._state = StreamState(restart_reason=KeyFrameReason.RESET)

    def _continued_state(self, frame: np.ndarray, stamp_s: float) -> StreamState:
        """A copy of the state that fits the frame: the current one, or an empty one where the stream breaks."""
        state = self._state
        if not math.isfinite(stamp_s):
            raise FrameError("invalid stamp", f"a stamp must be a finite number of seconds, got {stamp_s}")
        if state.last_stamp_s is not None and stamp_s == state.last_stamp_s:
            raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp_s} s")
        if state.key_frame is not None:
            elapsed_s = stamp_s - state.last_stamp_s
            breaks = elapsed_s < 0.0 or elapsed_s > self.config.max_key_age_s or frame.shape != state.key_frame.image.shape
            if breaks:
                return StreamState(restart_reason=KeyFrameReason.RESET)
        return StreamState(**vars(state))

    def _key_frame_reason(self, state: StreamState, stamp_s: float) -> KeyFrameReason | None:
        if state.key_frame is None:
            return state.restart_reason
        if state.key_frame_requested:
            return KeyFrameReason.REQUEST
        return self._schedule.reason(
            frames_since_key=state.frames_since_key, key_age_s=stamp_s - state.key_frame.stamp_s
        )


def resolve_device(device: str) -> torch.device:
    """``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N`` as a torch device.

    Raises:
        ConfigError: If there is no such device.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    available = ["cpu"] + ["cuda"] * torch.cuda.is_available() + [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    if device not in available:
        raise ConfigError(f"device {device!r} does not exist; this machine has {', '.join(available)} (or give 'auto')")
    return torch.device(device)
