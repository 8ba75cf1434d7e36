"""Clips measured by several processes, each result kept in a file as soon as it is there."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import torch

from mpvss_model.data import Clip
from mpvss_model.errors import MPVSSError
from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import StudyConfig
from mpvss_model.evaluation.study.result import ClipResult, cache_key
from mpvss_model.runtime.precision import resolve_precision
from mpvss_model.segmentor.registry import load_model

__all__ = ["ClipJob", "WorkerSettings", "measure_clips"]

_study: ClipStudy | None = None


@dataclass(frozen=True)
class ClipJob:
    """A clip, and the file that keeps its result."""

    clip: Clip
    file: Path


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
        model.accelerate(resolve_precision("auto", device))
        return ClipStudy(model=model, config=self.config)


def measure_clips(jobs: Sequence[ClipJob], *, settings: WorkerSettings, workers: int) -> Iterator[tuple[ClipJob, ClipResult]]:
    """Measure clips, or take up what their files hold; yields in the order in which they are finished.

    Args:
        jobs: One for each clip.
        settings: Of each process.
        workers: Number of processes; 1 works in this one.

    Raises:
        MPVSSError: If a clip cannot be measured or a process ended; what is finished is kept.
    """
    if workers == 1:
        study = settings.start()
        for job in jobs:
            yield job, _measured(study, job)
        return
    spawning = multiprocessing.get_context("spawn")  # CUDA and threads of torch do not survive a fork
    pool = ProcessPoolExecutor(workers, mp_context=spawning, initializer=_start_worker, initargs=(settings,))
    try:
        job_of = {pool.submit(_measure_in_worker, job): job for job in jobs}
        for future in as_completed(job_of):
            yield job_of[future], future.result()
    except BrokenProcessPool as error:
        raise MPVSSError(
            "a worker process ended unexpectedly, perhaps for lack of memory: run again with fewer workers; "
            "the clips that are finished are kept"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start_worker(settings: WorkerSettings) -> None:
    global _study  # a process of the pool has nowhere else to keep its model
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends at once and without a traceback
    _study = settings.start()


def _measure_in_worker(job: ClipJob) -> ClipResult:
    return _measured(_study, job)


def _measured(study: ClipStudy, job: ClipJob) -> ClipResult:
    key = cache_key(job.clip, study.digest)
    result = ClipResult.load(job.file, key)
    if result is None:
        result = study.measure(job.clip)
        result.save(job.file, key)
    return result
