"""All that is measured of single things, frame by frame."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from mpvss_model.config import UNLABELED
from mpvss_model.evaluation.panoptic.id_switches import IdSwitches
from mpvss_model.evaluation.panoptic.overlaps import VOID, Overlaps
from mpvss_model.evaluation.panoptic.quality import PanopticQuality
from mpvss_model.instances.frame_panoptic import encoded_panoptic
from mpvss_model.instances.panoptic import Panoptic

__all__ = ["VIDEO_WINDOWS", "PanopticEvaluation", "PanopticFigures", "mean_figures", "true_segments"]

# Frames; VPSNet's evaluation has these, of a video with a label on each frame.
VIDEO_WINDOWS = (1, 5, 10, 15)
MEANS = ("pq", "sq", "rq", "pq_things", "pq_stuff", "vpq")


@dataclass(frozen=True, kw_only=True)
class PanopticFigures:
    """What was found, means over classes in 0..1; None where there is nothing that it could be the mean of.

    Attributes:
        pq: See `mpvss_model.evaluation.panoptic.quality.Quality`, as are the next two.
        sq: Segmentation quality.
        rq: Recognition quality.
        pq_things: Of the classes of things.
        pq_stuff: Of all other classes.
        vpq: Video panoptic quality, the mean of `vpq_by_window`.
        vpq_by_window: By the number of frames.
        id_switches: Of all things of the ground truth, see `mpvss_model.evaluation.panoptic.id_switches`.
        tracks: Of these things, those that were found in at least one frame.
        id_switches_per_track: The one by the other.
    """

    pq: float | None
    sq: float | None
    rq: float | None
    pq_things: float | None
    pq_stuff: float | None
    vpq: float | None
    vpq_by_window: dict[int, float | None]
    id_switches: int
    tracks: int
    id_switches_per_track: float | None


class PanopticEvaluation:
    """Compares segments with ground truth.

    Args:
        num_classes: Of the model.
        things: Its class indices of things.
    """

    def __init__(self, num_classes: int, things: Collection[int]) -> None:
        self._things = frozenset(things)
        self._stuff = frozenset(range(num_classes)) - self._things
        self._qualities = {window: PanopticQuality(num_classes, window) for window in VIDEO_WINDOWS}
        self._id_switches = IdSwitches()
        self._measured: tuple[PanopticQuality | IdSwitches, ...] = (*self._qualities.values(), self._id_switches)

    def start_video(self) -> None:
        """Say that the next frame does not follow on the last one."""
        for measured in self._measured:
            measured.start_video()

    def update(self, found: Panoptic, label: np.ndarray, instances: np.ndarray) -> None:
        """Count the next frame of the video.

        Args:
            found: The answer.
            label: uint8 ``[H, W]``, class indices and 255 for unlabeled.
            instances: ``[H, W]``, the number of each thing; 0 where it is not known.
        """
        frame = Overlaps.of_frame(found.encoded, true_segments(label, instances, self._things))
        for measured in self._measured:
            measured.update(frame)

    def figures(self) -> PanopticFigures:
        """Of all frames so far."""
        frame = self._qualities[1].of(self._things | self._stuff)
        by_window = {window: quality.of(self._things | self._stuff).pq for window, quality in self._qualities.items()}
        counted = self._id_switches
        return PanopticFigures(
            pq=_or_none(frame.pq),
            sq=_or_none(frame.sq),
            rq=_or_none(frame.rq),
            pq_things=_or_none(self._qualities[1].of(self._things).pq),
            pq_stuff=_or_none(self._qualities[1].of(self._stuff).pq),
            vpq=_or_none(float(np.mean([*by_window.values()]))),
            vpq_by_window={window: _or_none(pq) for window, pq in by_window.items()},
            id_switches=counted.switches,
            tracks=counted.tracks,
            id_switches_per_track=counted.switches / counted.tracks if counted.tracks else None,
        )


def mean_figures(figures: Sequence[PanopticFigures]) -> PanopticFigures | None:
    """Means of several evaluations of one source, and sums of counts; None of none."""
    if not figures:
        return None
    switches, tracks = (sum(getattr(one, name) for one in figures) for name in ("id_switches", "tracks"))
    return PanopticFigures(
        **{name: _mean([getattr(one, name) for one in figures]) for name in MEANS},
        vpq_by_window={window: _mean([one.vpq_by_window[window] for one in figures]) for window in VIDEO_WINDOWS},
        id_switches=switches,
        tracks=tracks,
        id_switches_per_track=switches / tracks if tracks else None,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def true_segments(label: np.ndarray, instances: np.ndarray, things: Collection[int]) -> np.ndarray:
    """Segments of the ground truth, int32 ``[H, W]``, as `Panoptic.encoded`; a thing without a number is unlabeled.

    Args:
        label: uint8 ``[H, W]``, class indices and 255 for unlabeled.
        instances: ``[H, W]``, the number of each thing; 0 where it is not known.
        things: Class indices of things.
    """
    is_thing = np.isin(label, list(things))
    segments = encoded_panoptic(label, np.where(is_thing, instances, 0))
    return np.where((label == UNLABELED) | (is_thing & (instances == 0)), np.int32(VOID), segments)


def _or_none(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else value
