"""Measures all of a model's ways of propagation at once, on labelled video."""

from mpvss_model.evaluation.study.clip_study import ClipStudy
from mpvss_model.evaluation.study.config import PER_FRAME, Run, StudyConfig
from mpvss_model.evaluation.study.corruptions import CORRUPTIONS
from mpvss_model.evaluation.study.latency import Latency, measure_latency
from mpvss_model.evaluation.study.measuring import ClipJob, ClipMeasurement, WorkerSettings, measure_clips
from mpvss_model.evaluation.study.result import ClipResult
from mpvss_model.evaluation.study.summary import NO_CORRUPTION, source_summary

__all__ = [
    "CORRUPTIONS",
    "NO_CORRUPTION",
    "PER_FRAME",
    "ClipJob",
    "ClipMeasurement",
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
