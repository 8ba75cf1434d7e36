"""Labels for every frame of a video: segment key frames, propagate their masks to the frames in between."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch

from mpvss_model.config import DEFAULT_MODEL, StreamConfig
from mpvss_model.errors import ConfigError, FrameError, PropagationError, SegmentorError, StaleKeyFrameError, first_line
from mpvss_model.image import check_frame
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.runtime.memory import keep_freed_memory
from mpvss_model.runtime.precision import resolve_precision
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.semantics import best_labels
from mpvss_model.stamps import checked_stamp_ns, seconds, stamp_text
from mpvss_model.stream.change import SCENE_CUT, Change, is_cut, measure_change, thumbnail
from mpvss_model.stream.evidence import Evidence, RecentEvidence, Segments
from mpvss_model.stream.history import History
from mpvss_model.stream.key_frame_job import Failure, KeyFrameJob, Reference, check_finite, key_frame_worker
from mpvss_model.stream.schedule import KeyFrameReason, KeyFrameSchedule, RestartReason
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.state import StreamState

__all__ = ["VideoSegmentor", "model_location", "resolve_device"]

WARM_UP_SIZE = (240, 320)
# A key frame and a frame that is answered from it; the same once more where the second key frame is made in another way.
WARM_UP_FRAMES, WARM_UP_FRAMES_WITH_HISTORY = 2, 4
WARM_UP_PERIOD_NS = 1_000_000
WEIGHTS_DIR = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class SeenFrame:
    """The frame at hand, beside the last good key frame.

    Attributes:
        image: uint8 RGB ``[H, W, 3]``.
        stamp_ns: Of the frame.
        masks: Carries the key frame's masks to the frame when first called, once.
        thumbnail: Of the frame, made when first called, once; see `mpvss_model.stream.change`.
        change: Measures the frame against the key frame when first called, once.
    """

    image: np.ndarray
    stamp_ns: int
    masks: Callable[[], torch.Tensor]
    thumbnail: Callable[[], np.ndarray]
    change: Callable[[], Change]


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
        worker: Makes key frames in the background, one after the other; its own by default.
    """

    def __init__(
        self,
        *,
        segmentor: KeyFrameSegmentor,
        propagator: Propagator,
        config: StreamConfig,
        worker: Executor | None = None,
    ) -> None:
        self.segmentor = segmentor
        self.config = config
        self.propagator = propagator
        self._worker = worker or key_frame_worker()
        self._state = StreamState()
        self._answered = RecentEvidence()

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
            propagation: ``segment`` or ``pixel`` for the model's own motion module; ``tracked`` for ordinary optical flow from
                frame to frame, ``dense`` straight to the key frame, ``copy`` for none; ``auto`` for what the model's
                configuration says: ``tracked`` where it has no motion module.
            precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` is fp16 on a GPU, else fp32.
            config: Key-frame interval and limits.

        Raises:
            CheckpointError: If the model cannot be loaded.
            ConfigError: If device or precision do not exist, or the model cannot propagate that way.
        """
        # transformers takes seconds to import, which `mpvss_model` spares those who bring their own segmentor.
        from mpvss_model.segmentor.registry import load_model

        keep_freed_memory()
        torch_device = resolve_device(device)
        loaded = load_model(model_location(model), device=torch_device)
        loaded.accelerate(resolve_precision(precision, torch_device))
        propagator = make_propagator(
            propagation, motion=loaded.motion, released_grid=loaded.released_grid, recommended=loaded.propagation
        )
        return cls(segmentor=loaded.segmentor, propagator=propagator, config=config or StreamConfig())

    def new_stream(self, config: StreamConfig | None = None) -> VideoSegmentor:
        """Another stream, of another camera, on the same model.

        Streams share weights and the thread for asynchronous key frames, and nothing else: each may be stepped in a thread of
        its own, and gives the labels that it would give alone. That thread for key frames serves them in the
        order in which they ask, and each has at most one key frame waiting, so none waits for more than one of each other.
        A waiting key frame is taken from the newest frame, and the next one is due so and so long after that one: streams
        whose key frames fall due together drift apart by themselves.

        Args:
            config: Of the new stream; this one's by default.
        """
        return VideoSegmentor(
            segmentor=self.segmentor,
            propagator=self.propagator.for_new_stream(),
            config=config or self.config,
            worker=self._worker,
        )

    @property
    def config(self) -> StreamConfig:
        """May be replaced between two frames."""
        return self._config

    @config.setter
    def config(self, config: StreamConfig) -> None:
        self._config = config
        self._schedule = KeyFrameSchedule.from_config(config)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, by class index."""
        return self.segmentor.class_names

    @torch.inference_mode()
    def step(self, frame: np.ndarray, stamp_s: float | None = None, *, stamp_ns: int | None = None) -> Segmentation:
        """Label the next frame of the stream.

        A stamp that goes back, a gap longer than ``max_key_age_s`` and a new frame size start the stream anew. In ``async``
        mode only the first frame of a stream waits for the segmentor. If the segmentor fails, frames are answered from the
        last good key frame, `Segmentation.fault` says so, and a key frame is tried again later.

        Args:
            frame: uint8 RGB ``[H, W, 3]``; must not be changed afterwards, since a key frame is kept.
            stamp_s: When it was taken, in seconds of any clock.
            stamp_ns: The same in nanoseconds, in place of ``stamp_s``: seconds as a float tell times of today apart by 238 ns.

        Raises:
            FrameError: If the frame or its stamp cannot be used; the stream is as it was before the call.
            SegmentorError: If the segmentor failed and there is no key frame to answer from.
            StaleKeyFrameError: If the only key frame is ``max_key_age_s`` old.
            PropagationError: If the masks could not be carried to this frame.
        """
        check_frame(frame)
        stamp_ns = checked_stamp_ns(stamp_s, stamp_ns)
        state = self._continued_state(frame, stamp_ns)
        state.frames_since_key += 1
        if state.job is not None and (state.job.is_done or self.config.key_frames == "sync"):
            self._finish(state, state.job, state.job.result)
        seen = self._seen(state.reference, frame, stamp_ns)
        if state.job is not None:
            self._replace_waiting_frame(state, seen)
        elif (reason := self._key_frame_reason(state, seen)) is not None:
            self._begin_key_frame(state, reason, seen)
        return self._answer(state, seen)

    def warm_up(self, size: tuple[int, int] = WARM_UP_SIZE) -> None:
        """Pay the first frames' one-time costs now, on a stream that is forgotten afterwards.

        Args:
            size: Height and width of the frames to come, as far as known.

        Raises:
            SegmentorError: If the segmentor fails.
            PropagationError: If the propagation fails.
        """
        # With this stream's propagator, which has costs of its own to pay.
        config = replace(self.config, max_interval_frames=2, min_interval_s=0.0)
        stream = VideoSegmentor(segmentor=self.segmentor, propagator=self.propagator, config=config, worker=self._worker)
        frame = np.zeros((*size, 3), np.uint8)
        for i in range(WARM_UP_FRAMES_WITH_HISTORY if self.config.history_weight else WARM_UP_FRAMES):
            stream.step(frame, stamp_ns=i * WARM_UP_PERIOD_NS).change()
            if (job := stream._state.job) is not None:
                with suppress(Exception):  # the next frame says so, if it is answered at all
                    job.result()

    def request_key_frame(self) -> None:
        """Make the next frame a key frame."""
        self._state.key_frame_requested = True

    def reset(self) -> None:
        """Forget the stream; the next frame becomes a key frame."""
        if self._state.last_stamp_ns is not None:
            self._restart(RestartReason.RESET)

    def close(self, timeout_s: float = 0.0) -> bool:
        """Forget the stream and what is being made for it; a later `step` begins it anew.

        Args:
            timeout_s: How long to wait for a segmentor that is at work.

        Returns:
            Whether nothing is at work for this stream any more.
        """
        job = self._state.job
        self.reset()
        return job is None or job.cancel(timeout_s)

    def _restart(self, reason: RestartReason) -> StreamState:
        if self._state.job is not None:
            self._state.job.cancel()
        self._state = StreamState(restart_reason=reason)
        return self._state

    def _continued_state(self, frame: np.ndarray, stamp_ns: int) -> StreamState:
        """The state that fits the frame: the current one, or an empty one where the stream breaks."""
        state = self._state
        if state.last_stamp_ns is not None:
            if stamp_ns == state.last_stamp_ns:
                cause = "" if stamp_ns else "; the camera's driver may not stamp its images"
                raise FrameError("duplicate stamp", f"two frames in a row are stamped {stamp_text(stamp_ns)}{cause}")
            state.elapsed_s = seconds(stamp_ns - state.last_stamp_ns)
            if (reason := self._break(state, frame)) is not None:
                state = self._restart(reason)
        state.last_stamp_ns, state.frame_shape = stamp_ns, frame.shape
        return state

    def _break(self, state: StreamState, frame: np.ndarray) -> RestartReason | None:
        """Why the frame, ``elapsed_s`` after the last one, does not go on with the stream, if it does not."""
        if frame.shape != state.frame_shape:
            return RestartReason.FRAME_SIZE
        if state.elapsed_s < 0.0:
            return RestartReason.STAMP_WENT_BACK
        return RestartReason.GAP if state.elapsed_s > self.config.max_key_age_s else None

    def _seen(self, reference: Reference | None, frame: np.ndarray, stamp_ns: int) -> SeenFrame:
        def masks() -> torch.Tensor:
            propagated = self.propagator.propagate(reference.key_frame, frame, reference.queries)
            check_finite("propagated masks", propagated)
            return propagated

        small = cache(partial(thumbnail, frame))
        return SeenFrame(
            image=frame,
            stamp_ns=stamp_ns,
            masks=cache(masks),
            thumbnail=small,
            # Lives as long as the answer: so it keeps the thumbnail rather than the reference.
            change=cache(lambda key=reference and reference.thumbnail: measure_change(key, small())),
        )

    def _key_frame_reason(self, state: StreamState, seen: SeenFrame) -> KeyFrameReason | None:
        if state.key_frame_requested:
            return KeyFrameReason.REQUEST if state.reference is not None else state.first_key_frame_reason
        if state.failure is not None:
            return state.failure.reason if state.failure.is_over(seen.stamp_ns) else None
        if state.reference is None:
            return state.first_key_frame_reason
        scene_is_cut = False
        if self._schedule.needs_motion:
            unexplained = seen.change().share
            state.unexplained_s += unexplained * state.elapsed_s
            # A frame that the key frame explains needs no second look.
            scene_is_cut = unexplained >= SCENE_CUT and is_cut(state.compared_frame, seen.image)
            state.compared_frame = seen.image
        return self._schedule.reason(
            frames_since_key=state.frames_since_key,
            key_age_s=seconds(seen.stamp_ns - state.reference.stamp_ns),
            unexplained_s=state.unexplained_s,
            is_cut=scene_is_cut,
        )

    def _begin_key_frame(self, state: StreamState, reason: KeyFrameReason, seen: SeenFrame) -> None:
        """Make the frame a key frame: now, or, in ``async`` mode, in the background."""
        state.key_frame_requested = False
        state.frames_since_key = 0
        job = KeyFrameJob(
            segmentor=self.segmentor,
            query_tolerance=self.config.query_tolerance,
            reason=reason,
            frame=seen.image,
            stamp_ns=seen.stamp_ns,
            history=self._history(state.reference, seen),
        )
        if self.config.key_frames == "sync":
            self._finish(state, job, job.run)
            return
        job.start(self._worker)
        state.job = job
        if state.reference is None:
            self._finish(state, job, job.result)

    def _replace_waiting_frame(self, state: StreamState, seen: SeenFrame) -> None:
        """Make the key frame that waits for other streams' of this frame, since it is newer."""
        if not state.job.has_begun:
            history = self._history(state.reference, seen)
            if state.job.replace_frame(seen.image, seen.stamp_ns, history):
                state.frames_since_key = 0

    def _history(self, reference: Reference | None, seen: SeenFrame) -> History | None:
        """What earlier key frames say about the frame."""
        config = self.config
        is_wanted = config.history_weight > 0.0 and reference is not None
        if not is_wanted or seconds(seen.stamp_ns - reference.stamp_ns) >= config.max_key_age_s:
            return None
        try:
            masks = seen.masks()
        except Exception:  # noqa: BLE001  a key frame can do without; frames in between cannot, and say what is wrong
            return None
        class_logits = reference.key_frame.class_logits[reference.queries]
        return History(mask_logits=masks, class_logits=class_logits, change=seen.change(), weight=config.history_weight)

    def _finish(self, state: StreamState, job: KeyFrameJob, make: Callable[[], Reference]) -> None:
        state.job = None
        try:
            state.reference = make()
        except Exception as error:  # whatever the segmentor does, the stream goes on
            state.failure = Failure.of(
                error, reason=job.reason, previous=state.failure, stamp_ns=state.last_stamp_ns, config=self.config
            )
        else:
            state.reference_is_new = True
            state.unexplained_s = 0.0
            state.compared_frame = state.reference.key_frame.image
            state.failure = None

    def _answer(self, state: StreamState, seen: SeenFrame) -> Segmentation:
        """Label the frame with the masks of the last good key frame."""
        reference = state.reference
        fault = state.failure and state.failure.text
        if reference is None:
            raise SegmentorError(f"no key frame: {fault}")
        key_age_s = seconds(seen.stamp_ns - reference.stamp_ns)
        if key_age_s >= self.config.max_key_age_s:
            raise StaleKeyFrameError(
                f"the last key frame is {key_age_s:.2f} s old, older than max_key_age_s, {self.config.max_key_age_s:g}: "
                f"{fault or 'the next one takes too long; use a faster model, or raise max_key_age_s'}"
            )
        is_key_frame = seen.stamp_ns == reference.stamp_ns
        labels, segments = _labelled(reference, None if is_key_frame else seen)
        evidence = _evidence(segments, reference.thumbnail, None if is_key_frame else seen)
        self._answered.add(evidence)
        is_new, state.reference_is_new = state.reference_is_new, False
        restart_reason, state.is_answered = None if state.is_answered else state.restart_reason, True
        return Segmentation(
            labels=labels,
            is_key_frame=is_key_frame,
            is_from_new_key_frame=is_new,
            key_frame_reason=reference.reason,
            restart_reason=restart_reason,
            stamp_ns=seen.stamp_ns,
            key_stamp_ns=reference.stamp_ns,
            segmentor_s=reference.segmentor_s,
            freshness=1.0 - key_age_s / self.config.max_key_age_s,
            fault=fault,
            evidence=evidence,
        )


def _evidence(segments: Segments, key_thumbnail: np.ndarray, seen: SeenFrame | None) -> Evidence:
    """Of an answer for a frame, or for the key frame itself."""
    if seen is None:
        return Evidence(segments=segments, change=partial(Change.none, key_thumbnail.shape), thumbnails=None)
    small = seen.thumbnail
    return Evidence(segments=segments, change=seen.change, thumbnails=lambda: (key_thumbnail, small()))


def _labelled(reference: Reference, seen: SeenFrame | None) -> tuple[np.ndarray, Segments]:
    """The class of each pixel of a frame, or of the key frame itself, and the masks that say so."""
    key_frame, queries = reference.key_frame, reference.queries
    try:
        masks = key_frame.mask_logits[queries] if seen is None else seen.masks()
        segments = Segments(masks, key_frame.class_logits[queries], key_frame.padding)
        # A copy, since what is cropped or lent by torch may be part of something larger.
        return best_labels(masks, segments.class_logits, segments.padding).cpu().numpy().copy(), segments
    except Exception as error:  # whatever the propagation does, the stream goes on
        raise PropagationError(f"masks cannot be propagated: {type(error).__name__}: {first_line(error)}") from error


def model_location(model: str) -> str:
    """The directory of a shipped model, or ``model`` itself if it is a directory or hub id."""
    shipped = WEIGHTS_DIR / model
    return str(shipped) if "/" not in model and shipped.is_dir() else model


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
