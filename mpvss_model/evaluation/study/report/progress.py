"""What a study tells while it goes on."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np
from rich.console import Console

from mpvss_model.evaluation.study import PER_FRAME, ClipMeasurement, ClipStudy, Run
from mpvss_model.evaluation.study.report.methods import method_named
from mpvss_model.evaluation.study.source import Source
from mpvss_model.evaluation.study.study_report import ClipFailure, SourceReport
from mpvss_model.fleet import FleetConfig
from mpvss_model.runtime.progress import ProgressReporter, duration

__all__ = ["StudyReporter"]

DEFAULT_INTERVAL = 5


class StudyReporter(ProgressReporter):
    """Writes what is measured and what came of it; a context manager.

    Args:
        console: Where to.
        study: Model and runs.
        sources: That are measured, as `Source.labelled_for` returns them.
        fleet: Who measures the clips.
    """

    def __init__(self, console: Console, *, study: ClipStudy, sources: Sequence[Source], fleet: FleetConfig) -> None:
        super().__init__(console, title="measuring clips", total=sum(len(source.clips) for source in sources))
        self._study = study
        self._sources = sources
        self._fleet = fleet
        self._done = 0
        self._measured_frames = 0
        self._frames_left = sum(sum(source.frames_of_clips) for source in sources)
        self._started_s = time.monotonic()

    def summary(self) -> None:
        """Say what is measured on what."""
        study = self._study
        model, intervals = study.model, ", ".join(map(str, study.config.intervals))
        self.say(
            f"model {model.segmentor.name}: {len(model.segmentor.class_names)} classes, ways of propagation "
            f"{', '.join(study.methods)}, a key frame every {intervals} frames, {_workers(self._fleet)}"
        )
        for source in self._sources:
            frames, clips = sum(source.frames_of_clips), len(source.clips)
            self.say(
                f"{source.name} ({source.location}): {clips} clip{'s' * (clips > 1)}, {source.labelled_frames} of {frames} "
                "frames labelled"
            )

    def clip(self, source: Source, measurement: ClipMeasurement) -> None:
        """Say what was found on a clip, how fast it goes and how long the clips that are left take."""
        result = measurement.result
        frames = result.is_key.shape[1]
        self._done += 1
        self._frames_left -= frames
        self._measured_frames += 0 if measurement.is_kept else frames
        run = _shown_run(self._study)
        line = (
            f"clip {self._done}/{self._total}, {source.name}, {measurement.job.clip.name}: "
            f"{_right(result.agreement[0])} right per frame, {_right(result.agreement[self._study.runs.index(run)])} with "
            f"{method_named(run.method).label} at interval {run.interval}"
        )
        self.say(f"{line}; {'measured before' if measurement.is_kept else self._rate()}")
        self.advance(self._done)

    def failure(self, failure: ClipFailure, frames: int) -> None:
        """Say that a clip could not be measured.

        Args:
            failure: Which one and why.
            frames: Of the clip.
        """
        self._done += 1
        self._frames_left -= frames
        self.say(f"clip {self._done}/{self._total}, {failure}")
        self.advance(self._done)

    def source(self, report: SourceReport) -> None:
        """Say what was found on all clips of a source."""
        figures = report.figures
        per_frame, run = figures.grid[0], _shown_run(self._study)
        others = [
            f"{row.method} {_percent(row.miou)}"
            for row in figures.grid[1:]
            if row.interval == run.interval and not row.motion_threshold and not row.history_weight
        ]
        self.say(
            f"{report.name}: mIoU {_percent(per_frame.miou)} per frame, at interval {run.interval} {', '.join(others)}; "
            f"key frame {figures.key_ms[PER_FRAME]:.1f} ms, propagated frame {figures.propagated_ms[run.method]:.1f} ms "
            f"({run.method})"
        )

    def _rate(self) -> str:
        rate = self._measured_frames / max(time.monotonic() - self._started_s, 1e-9)
        left = f", {duration(self._frames_left / rate)} left" if self._frames_left else ""
        return f"{rate:.2f} frames/s{left}"


def _workers(fleet: FleetConfig) -> str:
    if fleet.cluster:
        return f"cluster {fleet.cluster}"
    return f"{fleet.workers} process{'es' * (fleet.workers > 1)}"


def _shown_run(study: ClipStudy) -> Run:
    """The model's own way of propagation, at the interval that is most usual."""
    intervals = study.config.intervals
    return Run(study.model.propagation, DEFAULT_INTERVAL if DEFAULT_INTERVAL in intervals else intervals[0])


def _right(agreement: np.ndarray) -> str:
    """The mean over the frames that have ground truth, as text."""
    known = agreement[np.isfinite(agreement)]
    return f"{100 * known.mean():.1f} %" if len(known) else "-"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{100 * value:.1f}"
