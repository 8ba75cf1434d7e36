"""Measures all of a model's ways of propagation at once, on labelled video."""

from mpvss_model.study.clip_study import ClipStudy
from mpvss_model.study.config import PER_FRAME, Run, StudyConfig
from mpvss_model.study.corruptions import CORRUPTIONS
from mpvss_model.study.parallel import ClipJob, WorkerSettings, measure_clips
from mpvss_model.study.result import ClipResult
from mpvss_model.study.summary import NO_CORRUPTION, source_summary
from mpvss_model.study.timing import Latency, measure_latency

__all__ = [
    "CORRUPTIONS",
    "NO_CORRUPTION",
    "PER_FRAME",
    "ClipJob",
    "ClipResult",
    "ClipStudy",
    "Latency",
    "Run",
    "StudyConfig",
    "WorkerSettings",
    "measure_clips",
    "measure_latency",
    "source_summary",
]
