"""Clips measured by the workers of a fleet, each result kept in a file as soon as it is there."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from mpvss_model.data import Clip
from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import StudyConfig
from mpvss_model.evaluation.study.result import ClipResult, cache_key
from mpvss_model.evaluation.study.study_report import ClipFailure
from mpvss_model.fleet import FleetConfig, Link, Unit, open_fleet
from mpvss_model.runtime.last_values import LastValues
from mpvss_model.segmentor.registry import load_model

__all__ = ["ClipJob", "ClipMeasurement", "WorkerSettings", "measure_clips"]

# Of a worker's process, which has nowhere else to keep it from clip to clip.
_studies: LastValues[ClipStudy] = LastValues(1)


@dataclass(frozen=True)
class ClipJob:
    """A clip, and the file that keeps its result.

    Attributes:
        clip: To be measured.
        file: Of the result.
        source: Of the clip, for messages.
    """

    clip: Clip
    file: Path
    source: str = ""


@dataclass(frozen=True)
class ClipMeasurement:
    """What came of a job.

    Attributes:
        job: That was done.
        result: Of its clip.
        is_kept: Whether the file had the result already.
    """

    job: ClipJob
    result: ClipResult
    is_kept: bool


@dataclass(frozen=True)
class WorkerSettings:
    """What a process needs to start.

    Attributes:
        location: Of the model, see `mpvss_model.segmentor.registry.load_model`.
        device: Where it runs.
        threads: CPU threads of each process.
        config: What to measure.
    """

    location: str
    device: str
    threads: int
    config: StudyConfig

    def start(self) -> ClipStudy:
        """Set the threads of this process and load the model."""
        torch.set_num_threads(self.threads)
        cv2.setNumThreads(self.threads)
        device = torch.device(self.device)
        model = load_model(self.location, device=device)
        model.accelerate_in("auto")
        return ClipStudy(model=model, config=self.config)


@dataclass(frozen=True)
class MeasureClip:
    """What a worker does with a clip.

    Attributes:
        job: The clip.
        settings: Of the process, which keeps the model for the next clip.
        start: Different for each start, between which a model may change.
    """

    job: ClipJob
    settings: WorkerSettings
    start: str

    def __call__(self, link: Link) -> tuple[ClipResult | None, bool]:
        """What was found (None if it was stopped), and whether it was found before."""
        study = _studies.get((self.settings, self.start), self.settings.start)
        if link.is_stopped():
            return None, False
        key = cache_key(self.job.clip, study.digest)
        kept = ClipResult.load(self.job.file, key)
        if kept is not None:
            return kept, True
        result = study.measure(self.job.clip, link.is_stopped)
        if result is not None:
            result.save(self.job.file, key)
        return result, False


def measure_clips(
    jobs: Sequence[ClipJob],
    *,
    settings: WorkerSettings,
    fleet: FleetConfig,
    stopped: Callable[[], bool] = lambda: False,
    on_failure: Callable[[ClipJob, ClipFailure], None] = lambda job, failure: None,
) -> Iterator[ClipMeasurement]:
    """Measure clips, or take up what their files hold; yields in the order in which they are finished.

    Args:
        jobs: One for each clip.
        settings: Of each process.
        fleet: Who does it.
        stopped: Asked at every frame whether to stop; clips that are not finished then are given up.
        on_failure: Is told of each clip that cannot be measured, which stops no other.

    Raises:
        ConfigError: If the fleet cannot work.
    """
    start = uuid.uuid4().hex
    job_of = {Unit(job.source, MeasureClip(job, settings, start)): job for job in jobs}
    with open_fleet(fleet, stopped=stopped) as workers:
        workers.add(job_of)
        for outcome in workers.outcomes():
            job = job_of[outcome.unit]
            if outcome.is_failed:
                why = {"error": outcome.error, "details": outcome.details}
                on_failure(job, ClipFailure(source=job.source, clip=job.clip.name, **why))
                continue
            result, is_kept = outcome.value
            if result is not None:
                yield ClipMeasurement(job, result, is_kept)
