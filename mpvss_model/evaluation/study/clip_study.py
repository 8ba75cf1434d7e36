"""All ways of labelling a clip, measured in one pass over its frames."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property

import numpy as np

from mpvss_model.config import StreamConfig
from mpvss_model.data import Clip
from mpvss_model.evaluation.clip_evaluation import CONSISTENCY_WINDOWS, ClipEvaluation
from mpvss_model.evaluation.flops import Cost, stream_cost
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.evaluation.study.config import PER_FRAME, Run, StudyConfig
from mpvss_model.evaluation.study.corruptions import CORRUPTIONS, RANDOM_CORRUPTIONS
from mpvss_model.evaluation.study.result import ClipResult, study_digest
from mpvss_model.evaluation.study.shared_segmentor import SharedSegmentor
from mpvss_model.motion.module import MotionModule
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.propagation.registry import make_propagator, propagations
from mpvss_model.propagation.ways.copy import CopyPropagator
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.segmentor.registry import LoadedModel
from mpvss_model.semantics import UNLABELED
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["ClipStudy", "methods_of"]


def methods_of(motion: MotionModule | None) -> tuple[str, ...]:
    """The ways of propagation that a model can do, simplest first."""
    return tuple(row.name for row in propagations() if motion is not None or not row.needs_motion)


class ClipStudy:
    """Runs a `VideoSegmentor` for each way of labelling, all in step, so that each frame is read and segmented once.

    Args:
        model: Used by all of them.
        config: What to measure.
    """

    def __init__(self, *, model: LoadedModel, config: StudyConfig) -> None:
        self.model = model
        self.config = config
        self.methods = methods_of(model.motion)
        self.runs = config.runs(self.methods, model.propagation)
        self._costs: dict[tuple[MotionModule | None, tuple[int, int]], Cost | None] = {}

    @cached_property
    def digest(self) -> bytes:
        """See `study_digest`."""
        return study_digest(self.model, self.config)

    def stream(self, run: Run, segmentor: KeyFrameSegmentor | None = None) -> VideoSegmentor:
        """A new stream; ``segmentor`` takes the place of the model's own."""
        return VideoSegmentor(
            segmentor=segmentor or self.model.segmentor,
            propagator=self._propagator(run.method),
            config=StreamConfig(
                max_interval_frames=run.interval,
                motion_threshold=run.motion_threshold,
                history_weight=run.history_weight,
                inference_size=self.config.inference_size,
            ),
            recommended_inference_size=self.model.inference_size,
        )

    def inference_size(self, frame_size: tuple[int, int]) -> tuple[int, int]:
        """Height and width at which frames of some height and width are segmented."""
        config = StreamConfig(inference_size=self.config.inference_size)
        return config.inference_frame_size(frame_size, recommended=self.model.inference_size)

    def cost(self, method: str, frame_size: tuple[int, int]) -> Cost | None:
        """Cost of a method for frames of some height and width; None where the segmentor's cost cannot be counted."""
        propagator = self._propagator(method)
        # Methods that run no module, or the same one, cost the same.
        key = propagator.module, frame_size
        if key not in self._costs:
            size = self.inference_size(frame_size)
            self._costs[key] = stream_cost(self.model.segmentor, propagator, frame_size=size)
        return self._costs[key]

    def _propagator(self, method: str) -> Propagator:
        if method == PER_FRAME:
            return CopyPropagator()
        return make_propagator(method, motion=self.model.motion, released_grid=self.model.released_grid)

    def measure(self, clip: Clip, stopped: Callable[[], bool] = lambda: False) -> ClipResult | None:
        """Label a clip in every way and compare with its ground truth.

        Args:
            clip: With labels that are the model's class indices.
            stopped: Asked before every frame whether to give up.

        Returns:
            None if it was stopped.

        Raises:
            MPVSSError: If a frame or label cannot be used.
        """
        measurement = _Measurement(self)
        for index, frame in enumerate(clip.frames):
            if stopped():
                return None
            ground_truth = frame.read_label() if frame.is_labelled else None
            measurement.add_frame(index, frame.read_image(), frame.stamp_ns, ground_truth)
        return measurement.result()


class _Measurement:
    """The pass over one clip."""

    def __init__(self, study: ClipStudy) -> None:
        self._config = study.config
        segmentor = SharedSegmentor(study.model.segmentor)
        num_classes = len(segmentor.class_names)
        self._evaluations = {run: ClipEvaluation(study.stream(run, segmentor)) for run in study.runs}
        self._repeats = range(study.config.corruption_repeats)
        # What is not random is the same in every repeat.
        self._corrupted = {
            (name, repeat): ClipEvaluation(study.stream(Run(PER_FRAME, 1)))
            for name in ("none", *CORRUPTIONS)
            for repeat in (self._repeats if name in RANDOM_CORRUPTIONS else (0,))
        }
        # Accuracy against distance is that of the longest interval, for all methods on the same frames.
        longest = study.config.intervals[-1]
        self._distance_run = Run(study.methods[0], longest)
        self._distance = 0
        self._by_distance = {
            run: [ConfusionMatrix(num_classes) for _ in range(longest)]
            for run in study.runs
            if run.method == PER_FRAME or run == Run(run.method, longest)
        }
        self._agreement: list[list[float]] = []
        self._is_key: list[list[bool]] = []
        self._frame_size = (0, 0)

    def add_frame(self, index: int, image: np.ndarray, stamp_ns: int, ground_truth: np.ndarray | None) -> None:
        """Label a frame in every way, and count it if there is ground truth."""
        self._frame_size = image.shape[:2]
        segmentations = {
            run: evaluation.add_frame(image, stamp_ns, ground_truth) for run, evaluation in self._evaluations.items()
        }
        labels = {run: segmentation.labels for run, segmentation in segmentations.items()}
        self._is_key.append([segmentation.is_key_frame for segmentation in segmentations.values()])
        self._agreement.append([_agreement(predicted, ground_truth) for predicted in labels.values()])
        self._distance = 0 if segmentations[self._distance_run].is_key_frame else self._distance + 1
        if ground_truth is None:
            return
        for run, confusions in self._by_distance.items():
            confusions[self._distance].update(labels[run], ground_truth)
        if index % self._config.corruption_every_frames == 0:
            self._add_corrupted(index, image, stamp_ns, ground_truth)

    def _add_corrupted(self, index: int, image: np.ndarray, stamp_ns: int, ground_truth: np.ndarray) -> None:
        for (name, repeat), evaluation in self._corrupted.items():
            seen = image
            if name in CORRUPTIONS:
                number = 1 + list(CORRUPTIONS).index(name)
                seen = CORRUPTIONS[name](image, np.random.default_rng((self._config.seed + repeat, index, number)))
            evaluation.add_frame(seen, stamp_ns, ground_truth)

    def _corrupted_counts(self, name: str, repeat: int) -> np.ndarray:
        return self._corrupted[name, repeat if name in RANDOM_CORRUPTIONS else 0].confusion.counts

    def result(self) -> ClipResult:
        """Everything counted so far."""
        evaluations = list(self._evaluations.values())
        return ClipResult(
            frame_size=np.array(self._frame_size),
            is_key=np.array(self._is_key, bool).T,
            agreement=np.array(self._agreement, np.float32).T,
            confusion=np.stack([evaluation.confusion.counts for evaluation in evaluations]),
            consistency=np.array(
                [
                    [(e.consistency[window].accuracy_sum, e.consistency[window].windows) for window in CONSISTENCY_WINDOWS]
                    for e in evaluations
                ]
            ),
            confusion_by_distance=np.stack(
                [[confusion.counts for confusion in confusions] for confusions in self._by_distance.values()]
            ),
            corrupted_confusion=np.stack(
                [[self._corrupted_counts(name, repeat) for name in ("none", *CORRUPTIONS)] for repeat in self._repeats]
            ),
        )


def _agreement(labels: np.ndarray, ground_truth: np.ndarray | None) -> float:
    """Share of the labelled pixels that are right; nan if there are none."""
    if ground_truth is None or not (labelled := ground_truth != UNLABELED).any():
        return float("nan")
    return float((labels == ground_truth)[labelled].mean())
