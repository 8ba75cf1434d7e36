"""Labels for every frame of a video: segment key frames, propagate their masks to the frames in between."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import replace

import numpy as np
import torch

from mpvss_model.config import DEFAULT_MODEL, FRAME_SIZE, ExecutionConfig, StreamConfig
from mpvss_model.image import check_frame, resized
from mpvss_model.instances.thing_classes import thing_classes as known_thing_classes
from mpvss_model.instances.tracker import CarriedInstances, InstanceTracker
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.propagation.registry import make_propagator
from mpvss_model.runtime.device import resolve_device
from mpvss_model.runtime.memory import keep_freed_memory
from mpvss_model.runtime.precision import precision_name
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.stamps import checked_stamp_ns
from mpvss_model.stream.answer import answer
from mpvss_model.stream.decision import key_frame_reason
from mpvss_model.stream.evidence import RecentEvidence
from mpvss_model.stream.history import History
from mpvss_model.stream.key_frame_job import KeyFrameJob, Reference, key_frame_worker
from mpvss_model.stream.schedule import KeyFrameReason, KeyFrameSchedule, RestartReason
from mpvss_model.stream.seen_frame import SeenFrame
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.state import StreamState

__all__ = ["VideoSegmentor"]

WARM_UP_SIZE = (240, 320)
# A key frame and a frame that is answered from it; the same once more where the second key frame is made in another way.
WARM_UP_FRAMES, WARM_UP_FRAMES_WITH_HISTORY = 2, 4
WARM_UP_PERIOD_NS = 1_000_000


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
        recommended_inference_size: What the configuration's ``inference_size`` of -1 stands for; 0 for the frame's own size.
        things: Class indices of things, which can be counted; none where the model finds classes only.
        precision: How to call the precision of the networks; by default that of the segmentor.

    Attributes:
        precision: As above: ``fp32``, ``bf16`` or ``fp16``, and ``(auto)`` after it where nobody asked for it by name.
        follows_things: Whether `Segmentation.panoptic` can be asked for; by default if there are classes of things. It costs
            propagation to one more frame for each key frame, and may change between two frames: ids begin anew then.
    """

    def __init__(
        self,
        *,
        segmentor: KeyFrameSegmentor,
        propagator: Propagator,
        config: StreamConfig,
        worker: Executor | None = None,
        recommended_inference_size: int = FRAME_SIZE,
        things: Collection[int] = frozenset(),
        precision: str = "",
    ) -> None:
        self.segmentor = segmentor
        self.config = config
        self.propagator = propagator
        self.recommended_inference_size = recommended_inference_size
        self.things = frozenset(things)
        self.precision = precision or precision_name(segmentor.dtype)
        self.follows_things = bool(things)
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
        execution: ExecutionConfig | None = None,
        report: Callable[[str], None] = warnings.warn,
        thing_classes: Sequence[str | int] = (),
    ) -> VideoSegmentor:
        """Build from a shipped model's name, a checkpoint directory, a hub id, or an ``.onnx`` file of ``mpvss export``.

        Args:
            model: A model of any of the families in `mpvss_model.segmentor`, or an MPVSS model with a motion module.
            device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
            propagation: ``segment`` or ``pixel`` for the model's own motion module; ``tracked`` for ordinary optical flow from
                frame to frame, ``dense`` straight to the key frame, ``copy`` for none; ``auto`` for what the model's
                configuration says: ``tracked`` where it has no motion module.
            precision: ``fp32``, ``bf16`` or ``fp16``; ``auto`` is fp16 on a GPU, bf16 for the key frames of Mask2Formers on
                CPUs that are faster with it, else fp32. ONNX Runtime runs in fp32.
            config: Key-frame interval and limits.
            execution: What runs the key-frame network; by default torch, and ONNX Runtime for an ``.onnx`` file.
            report: Told before something takes long while frames come, and after.
            thing_classes: Names or indices of the classes that are things, of a model that was trained for panoptic or
                instance segmentation; by default what its ``config.json`` says, or what is known of its data set.

        Raises:
            CheckpointError: If the model cannot be loaded.
            ConfigError: If device, precision or execution provider do not exist, or the model cannot propagate that way or
                has no such class.
        """
        # transformers takes seconds to import, which `mpvss_model` spares those who bring their own segmentor.
        from mpvss_model.segmentor.exported.exported_model import load_to_execute

        keep_freed_memory()
        torch_device = resolve_device(device)
        execution = execution or ExecutionConfig()
        loaded = load_to_execute(model_location(model), device=torch_device, execution=execution, report=report)
        loaded.accelerate_in(precision)
        propagator = make_propagator(
            propagation, motion=loaded.motion, released_grid=loaded.released_grid, recommended=loaded.propagation
        )
        return cls(
            segmentor=loaded.segmentor,
            propagator=propagator,
            config=config or StreamConfig(),
            recommended_inference_size=loaded.inference_size,
            things=known_thing_classes(
                loaded.segmentor.class_names, thing_classes or loaded.thing_classes, model_name=loaded.segmentor.name
            ),
            precision=precision_name(loaded.segmentor.dtype) + " (auto)" * (precision == "auto"),
        )

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
            recommended_inference_size=self.recommended_inference_size,
            things=self.things,
            precision=self.precision,
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

    def inference_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which frames of some height and width are segmented; see `StreamConfig`."""
        return self.config.inference_frame_size(frame_size, recommended=self.recommended_inference_size)

    @torch.inference_mode()
    def step(
        self,
        frame: np.ndarray,
        stamp_s: float | None = None,
        *,
        stamp_ns: int | None = None,
        frame_size: tuple[int, int] | None = None,
    ) -> Segmentation:
        """Label the next frame of the stream.

        A stamp that goes back, a gap longer than ``max_key_age_s`` and a new size, of frames or of inference, start the stream
        anew. In ``async`` mode only the first frame of a stream waits for the segmentor. If the segmentor fails, frames are
        answered from the last good key frame, `Segmentation.fault` says so, and a key frame is tried again later.

        Args:
            frame: uint8 RGB ``[H, W, 3]``; must not be changed afterwards, since a key frame is kept.
            stamp_s: When it was taken, in seconds of any clock.
            stamp_ns: The same in nanoseconds, in place of ``stamp_s``: seconds as a float tell times of today apart by 238 ns.
            frame_size: Height and width of the camera's image, and so of the labels, where ``frame`` shows it at another size,
                such as that to which it was decoded. To be at least of `inference_size`, so that the network misses nothing.

        Raises:
            FrameError: If the frame or its stamp cannot be used; the stream is as it was before the call.
            SegmentorError: If the segmentor failed and there is no key frame to answer from.
            StaleKeyFrameError: If the only key frame is ``max_key_age_s`` old.
            PropagationError: If the masks could not be carried to this frame.
        """
        check_frame(frame)
        stamp_ns = checked_stamp_ns(stamp_s, stamp_ns)
        size: tuple[int, int] = frame_size or frame.shape[:2]
        image = resized(frame, self.inference_size(size))
        state = self._continue_or_restart(size, image, stamp_ns)
        self._adopt_finished_key_frame(state)
        self._follow_things(state)
        seen = SeenFrame(image, stamp_ns, size=size, reference=state.reference, propagator=self.propagator)
        if (job := state.job) is not None:
            self._replace_waiting_frame(state, job, seen)
        elif (reason := key_frame_reason(state, seen, self._schedule)) is not None:
            self._make_key_frame(state, seen, reason)
        segmentation = answer(state, seen, max_key_age_s=self.config.max_key_age_s, things=self.things)
        self._answered.add(segmentation.evidence)
        return segmentation

    def warm_up(self, size: tuple[int, int] = WARM_UP_SIZE) -> None:
        """Pay the first frames' one-time costs now, on a stream that is forgotten afterwards.

        Args:
            size: Height and width of the frames to come, as far as known.

        Raises:
            SegmentorError: If the segmentor fails.
            PropagationError: If the propagation fails.
        """
        # A segmentor of a user's own may have no more than what a stream asks for.
        if (warm_up_size := getattr(self.segmentor, "warm_up_size", None)) is not None:
            size = warm_up_size(size)
        if size is None:
            return
        # With this stream's propagator, which has costs of its own to pay.
        config = replace(self.config, max_interval_frames=2, min_interval_s=0.0)
        stream = VideoSegmentor(
            segmentor=self.segmentor,
            propagator=self.propagator,
            config=config,
            worker=self._worker,
            recommended_inference_size=self.recommended_inference_size,
        )
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

    def _continue_or_restart(self, size: tuple[int, int], image: np.ndarray, stamp_ns: int) -> StreamState:
        """The state that fits a frame of this size and image: the current one, or an empty one where the stream breaks."""
        reason = self._state.break_before(size, image, stamp_ns, max_gap_s=self.config.max_key_age_s)
        state = self._state if reason is None else self._restart(reason)
        state.note_frame(size, image, stamp_ns)
        return state

    def _adopt_finished_key_frame(self, state: StreamState) -> None:
        """Answer from the key frame that was made in the background, if it is there."""
        job = state.job
        # Somebody who changes to ``sync`` waits for what was begun before.
        if job is not None and (job.is_done or self.config.key_frames == "sync"):
            self._adopt(state, job.reason, job.result)

    def _make_key_frame(self, state: StreamState, seen: SeenFrame, reason: KeyFrameReason) -> None:
        """Make the frame a key frame: now, or, in ``async`` mode, in the background unless it is the first."""
        state.key_frame_requested = False
        state.frames_since_key = 0
        state.carried = self._carried_things(state, seen)
        job = KeyFrameJob(
            segmentor=self.segmentor,
            query_tolerance=self.config.query_tolerance,
            reason=reason,
            frame=seen.image,
            stamp_ns=seen.stamp_ns,
            history=self._history(seen),
            memory=None if state.scene_is_cut else seen.memory(max_key_age_s=self.config.max_key_age_s),
        )
        if self.config.key_frames == "sync":
            self._adopt(state, reason, job.run)
            return
        job.start(self._worker)
        state.job = job
        if state.reference is None:
            self._adopt(state, reason, job.result)

    def _replace_waiting_frame(self, state: StreamState, job: KeyFrameJob, seen: SeenFrame) -> None:
        """Make the key frame that waits for other streams' of this frame, since it is newer."""
        if job.has_begun:
            return
        carried = self._carried_things(state, seen)
        if job.replace_frame(seen.image, seen.stamp_ns, self._history(seen)):
            state.frames_since_key = 0
            state.carried = carried

    def _history(self, seen: SeenFrame) -> History | None:
        return seen.history(weight=self.config.history_weight, max_key_age_s=self.config.max_key_age_s)

    def _adopt(self, state: StreamState, reason: KeyFrameReason, finish: Callable[[], Reference]) -> None:
        """Answer from the key frame that ``finish`` returns from now on, unless it fails."""
        state.job = None
        try:
            reference = finish()
        except Exception as error:  # whatever the segmentor does, the stream goes on
            state.note_failure(error, reason, self.config)
        else:
            state.note_key_frame(reference)
            self._follow_things(state)

    def _follow_things(self, state: StreamState) -> None:
        """Know the things of the last key frame, if somebody wants to and it is not done yet."""
        if not self.follows_things:
            state.instances = state.carried = None
            return
        if state.instances is None:
            state.instances = InstanceTracker(self.things)
        reference, carried = state.reference, state.carried
        if reference is not None and not state.instances.is_following(reference.key_frame):
            key_frame = state.instances.follow(
                reference.key_frame,
                reference.queries,
                stamp_ns=reference.stamp_ns,
                carried=carried,
                max_lost_s=self.config.max_lost_s,
            )
            state.reference, state.carried = replace(reference, key_frame=key_frame), None

    def _carried_things(self, state: StreamState, seen: SeenFrame) -> CarriedInstances | None:
        """What is followed, in the frame that becomes a key frame; asked for before `_history`, which then costs nothing."""
        if state.instances is None or state.reference is None or seen.key_age_s >= self.config.max_key_age_s:
            return None
        return state.instances.carried(seen.masks_of)
