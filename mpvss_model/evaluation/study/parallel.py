"""Clips measured by several processes, each result kept in a file as soon as it is there."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.synchronize import Event
from pathlib import Path

import cv2
import torch

from mpvss_model.data import Clip
from mpvss_model.errors import MPVSSError
from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import StudyConfig
from mpvss_model.evaluation.study.result import ClipResult, cache_key
from mpvss_model.segmentor.registry import load_model

__all__ = ["ClipJob", "ClipMeasurement", "WorkerSettings", "measure_clips"]

# How often it is asked whether to stop, while nothing is finished.
POLL_S = 0.2

_study: ClipStudy | None = None
_stop: Event | None = None


@dataclass(frozen=True)
class ClipJob:
    """A clip, and the file that keeps its result."""

    clip: Clip
    file: Path


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


def measure_clips(
    jobs: Sequence[ClipJob],
    *,
    settings: WorkerSettings,
    workers: int,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[ClipMeasurement]:
    """Measure clips, or take up what their files hold; yields in the order in which they are finished.

    Args:
        jobs: One for each clip.
        settings: Of each process.
        workers: Number of processes; 1 works in this one.
        stopped: Asked at every frame whether to stop; clips that are not finished then are given up.

    Raises:
        MPVSSError: If a clip cannot be measured or a process ended; what is finished is kept.
    """
    if workers == 1:
        study = settings.start()
        for job in jobs:
            measurement = _measured(study, job, stopped)
            if measurement is None:
                return
            yield measurement
        return
    spawning = multiprocessing.get_context("spawn")  # CUDA and threads of torch do not survive a fork
    stop = spawning.Event()
    pool = ProcessPoolExecutor(workers, mp_context=spawning, initializer=_start_worker, initargs=(settings, stop))
    try:
        yield from _finished([pool.submit(_measure_in_worker, job) for job in jobs], stopped)
    except BrokenProcessPool as error:
        if stopped():  # by a signal that the workers got, too
            return
        raise MPVSSError(
            "a worker process ended unexpectedly, perhaps for lack of memory: run again with fewer workers; "
            "the clips that are finished are kept"
        ) from error
    finally:
        if stopped():
            stop.set()
        pool.shutdown(cancel_futures=True)


def _finished(futures: Sequence[Future[ClipMeasurement | None]], stopped: Callable[[], bool]) -> Iterator[ClipMeasurement]:
    pending = set(futures)
    while pending and not stopped():
        finished, pending = wait(pending, timeout=POLL_S, return_when=FIRST_COMPLETED)
        for future in finished:
            measurement = future.result()
            if measurement is not None:
                yield measurement


def _start_worker(settings: WorkerSettings, stop: Event) -> None:
    global _study, _stop  # a process of the pool has nowhere else to keep them
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one says when to stop
    _study, _stop = settings.start(), stop


def _measure_in_worker(job: ClipJob) -> ClipMeasurement | None:
    return _measured(_study, job, _stop.is_set)


def _measured(study: ClipStudy, job: ClipJob, stopped: Callable[[], bool]) -> ClipMeasurement | None:
    """None if it was stopped."""
    if stopped():
        return None
    key = cache_key(job.clip, study.digest)
    kept = ClipResult.load(job.file, key)
    if kept is not None:
        return ClipMeasurement(job, kept, is_kept=True)
    result = study.measure(job.clip, stopped)
    if result is None:
        return None
    result.save(job.file, key)
    return ClipMeasurement(job, result, is_kept=False)
