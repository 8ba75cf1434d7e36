"""Metrics of a video segmentor on labelled clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from mpvss_model.data import Clip, Frame
from mpvss_model.errors import DataError, FrameError, MPVSSError, PropagationError, SegmentorError, StaleKeyFrameError
from mpvss_model.evaluation.boundary_iou import BoundaryIoU
from mpvss_model.evaluation.metrics import ConfusionMatrix, VideoConsistency
from mpvss_model.evaluation.panoptic.panoptic_evaluation import PanopticEvaluation
from mpvss_model.evaluation.timing import Stopwatch
from mpvss_model.stamps import stamp_text
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["CONSISTENCY_WINDOWS", "ClipEvaluation", "metrics_summary"]

CONSISTENCY_WINDOWS = (8, 16)
# One frame is not answered, and the stream goes on.
UNANSWERED = (FrameError, SegmentorError, StaleKeyFrameError, PropagationError)


class ClipEvaluation:
    """Segments clips and keeps the metrics of all frames that have ground truth.

    Frames without ground truth are segmented, too, and interrupt the videos that consistency is measured on.

    Attributes:
        confusion: Of all labelled frames so far.
        consistency: Of all videos so far, by window length.
        boundary: Of all labelled frames so far; None where it is not measured.
        panoptic: Of all frames so far that have labels and instances; None where things are not followed.
        labelled_frames: Answered frames with ground truth so far.

    Args:
        segmentor: Reset before each clip.
        on_frame: Called with each result, for progress.
        on_unanswered: Called with the reason for each frame that could not be answered, which is then left out as it would be
            on a robot; by default the reason is raised.
        on_answer: Called with each frame of a clip and its result.
        with_boundary: Also measure boundary IoU, which takes twice the time of the other metrics.
    """

    def __init__(
        self,
        segmentor: VideoSegmentor,
        on_frame: Callable[[Segmentation], None] = lambda _: None,
        on_unanswered: Callable[[MPVSSError], None] | None = None,
        on_answer: Callable[[Frame, Segmentation], None] = lambda *_: None,
        with_boundary: bool = False,
    ) -> None:
        self._segmentor = segmentor
        self._on_frame = on_frame
        self._on_unanswered = on_unanswered
        self._on_answer = on_answer
        self.labelled_frames = 0
        self._stepping = Stopwatch()
        self.confusion = ConfusionMatrix(len(segmentor.class_names))
        self.consistency = {window: VideoConsistency(window) for window in CONSISTENCY_WINDOWS}
        self.boundary = BoundaryIoU(len(segmentor.class_names)) if with_boundary else None
        things = segmentor.things if segmentor.follows_things else None
        self.panoptic = PanopticEvaluation(len(segmentor.class_names), things) if things else None

    @property
    def step_s(self) -> float:
        """Seconds spent in `VideoSegmentor.step` for frames that were answered: neither in reading frames nor in counting."""
        return self._stepping.total_s

    def run(self, clips: Iterable[Clip]) -> None:
        """Segment and count some clips.

        Raises:
            DataError: If a frame cannot be read or a label is out of range.
            FrameError: If a frame cannot be segmented.
        """
        for clip in clips:
            self.add_video(clip.frames)

    def add_video(self, frames: Iterable[Frame]) -> None:
        """Segment and count the frames of one video; raises as `run`."""
        self.start_video()
        for frame in frames:
            image = frame.reduced_image(self._segmentor.inference_size)
            ground_truth = None if frame.read_label is None else frame.read_label()
            try:
                segmentation = self.add_frame(
                    image.pixels, frame.stamp_ns, ground_truth, frame.read_instances, frame_size=image.size
                )
            except UNANSWERED as error:
                if self._on_unanswered is None:
                    raise
                self._on_unanswered(error)
                self._interrupt_video()
            else:
                self._on_answer(frame, segmentation)

    def start_video(self) -> None:
        """Say that the next frame belongs to another video."""
        self._segmentor.reset()
        self._interrupt_video()

    def add_frame(
        self,
        image: np.ndarray,
        stamp_ns: int,
        ground_truth: np.ndarray | None,
        read_instances: Callable[[], np.ndarray] | None = None,
        *,
        frame_size: tuple[int, int] | None = None,
    ) -> Segmentation:
        """Segment and count the next frame of the video; raises as `run`.

        Args:
            image: uint8 RGB ``[H, W, 3]``.
            stamp_ns: When it was taken, in nanoseconds of any clock.
            ground_truth: uint8 ``[H, W]``, or None.
            read_instances: See `Frame`; called only where things are followed.
            frame_size: See `VideoSegmentor.step`.
        """
        with self._stepping:
            segmentation = self._segmentor.step(image, stamp_ns=stamp_ns, frame_size=frame_size)
        self._on_frame(segmentation)
        if ground_truth is None:
            self._interrupt_video()
            return segmentation
        self.labelled_frames += 1
        try:
            self.confusion.update(segmentation.labels, ground_truth)
        except DataError as error:
            raise DataError(f"frame at {stamp_text(stamp_ns)}: {error}") from error
        for consistency in self.consistency.values():
            consistency.update(segmentation.labels, ground_truth)
        if self.boundary is not None:
            self.boundary.update(segmentation.labels, ground_truth)
        if self.panoptic is not None and read_instances is not None:
            self.panoptic.update(segmentation.panoptic(), ground_truth, read_instances())
        return segmentation

    def summary(self) -> dict[str, float]:
        """As `metrics_summary`, of everything so far."""
        return metrics_summary(self.confusion, self.consistency)

    def _interrupt_video(self) -> None:
        for consistency in self.consistency.values():
            consistency.start_video()
        if self.panoptic is not None:
            self.panoptic.start_video()


def metrics_summary(confusion: ConfusionMatrix, consistency: Mapping[int, VideoConsistency]) -> dict[str, float]:
    """``miou``, ``weighted_iou``, ``mvc8`` and ``mvc16``, each 0..1, or nan without a labelled frame or long video."""
    consistencies = {f"mvc{window}": measured.value for window, measured in consistency.items()}
    return {"miou": confusion.miou, "weighted_iou": confusion.weighted_iou, **consistencies}
