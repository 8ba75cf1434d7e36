"""Runs a study and writes what it finds."""

from __future__ import annotations

import json
import platform
import signal
from collections.abc import Sequence
from pathlib import Path

import torch
from rich.console import Console

from mpvss_model.class_names import distinct_names
from mpvss_model.errors import MPVSSError
from mpvss_model.evaluation.study import (
    ClipJob,
    ClipResult,
    ClipStudy,
    StudyConfig,
    WorkerSettings,
    measure_clips,
    measure_latency,
    source_summary,
)
from mpvss_model.evaluation.study.code_digest import library_versions
from mpvss_model.evaluation.study.report.folder import PAGE_FILE, STUDY_FILE, StudyFolder
from mpvss_model.evaluation.study.report.markdown import markdown
from mpvss_model.evaluation.study.report.pictures import write_pictures
from mpvss_model.evaluation.study.report.plots import write_plots
from mpvss_model.evaluation.study.report.progress import StudyReporter
from mpvss_model.evaluation.study.source import Source, check_names
from mpvss_model.evaluation.study.study_report import ClipFailure, SourceReport, StudyReport
from mpvss_model.fleet import FleetConfig
from mpvss_model.runtime.device import processor_name, resolve_device
from mpvss_model.runtime.interruption import Interrupted, StopSignals
from mpvss_model.runtime.progress import new_console
from mpvss_model.segmentor.shipped_models import model_location

__all__ = ["StudyInterrupted", "run_study"]


class StudyInterrupted(Interrupted):
    """A study was stopped by a signal; what it measured is kept."""


def run_study(
    sources: Sequence[Source],
    out_dir: Path,
    *,
    model: str,
    device: str = "auto",
    threads: int = 1,
    fleet: FleetConfig | None = None,
    config: StudyConfig | None = None,
    command: str = "",
    overwrite: bool = False,
    console: Console | None = None,
) -> StudyReport:
    """Measure a model's ways of propagation on several sources and write tables, plots and pictures.

    The result of each clip is kept in ``out_dir/.cache`` and taken up again as long as clip, model and settings are the same.
    A clip that cannot be measured stops no other: the report names it, and is of all others. The next call tries it again.

    Args:
        sources: With classes of the model, in any order, and with ground truth.
        out_dir: Gets ``study.json``, ``README.md`` and PNG files, all together or none. An earlier study of the same model
            is replaced wholly; other files stay.
        model: See `VideoSegmentor.from_pretrained`.
        device: See `VideoSegmentor.from_pretrained`.
        threads: CPU threads of each process.
        fleet: Who measures the clips, this process by default; the results do not depend on it.
        config: What to measure.
        command: That this was started with, for the reader.
        overwrite: Replace the study of another model, too.
        console: Where to tell what is measured and what came of it; nowhere by default.

    Raises:
        StudyInterrupted: If SIGINT or SIGTERM came; the next call goes on with what was measured.
        ConfigError: If ``out_dir`` holds the study of another model, or files of others that would be replaced.
        MPVSSError: If a source, the model or a setting cannot be used, or no clip can be measured.
    """
    check_names(sources)
    folder = StudyFolder(out_dir, model)
    folder.check(overwrite=overwrite)
    settings = WorkerSettings(
        location=model_location(model), device=str(resolve_device(device)), threads=threads, config=config or StudyConfig()
    )
    study = settings.start()
    segmentor = study.model.segmentor
    sources = [source.labelled_for(segmentor.class_names, segmentor.name) for source in sources]
    folder.make()
    fleet = fleet or FleetConfig()
    reporter = StudyReporter(console or new_console(visible=False), study=study, sources=sources, fleet=fleet)
    with reporter, StopSignals() as signals, folder.result() as new:
        reporter.summary()
        results, failures = _measure(
            sources, folder.cache_dir, settings=settings, fleet=fleet, reporter=reporter, signals=signals
        )
        reports = []
        for source in sources:
            if not (measured := results[source.name]):
                continue
            reports.append(_source_report(study, source.of_clips([*measured]), [*measured.values()], new))
            reporter.source(reports[-1])
            _check_signals(signals, "all clips are measured", folder.cache_dir)
        report = _report(study, settings, reports, failures, model=model, command=command)
        write_plots(new, report)
        (new / STUDY_FILE).write_text(json.dumps(report.as_dict(), indent=1) + "\n")
        (new / PAGE_FILE).write_text(markdown(report))
    return report


def _measure(
    sources: Sequence[Source],
    cache_dir: Path,
    *,
    settings: WorkerSettings,
    fleet: FleetConfig,
    reporter: StudyReporter,
    signals: StopSignals,
) -> tuple[dict[str, dict[int, ClipResult]], list[ClipFailure]]:
    """The results of each source's clips by their index, and the clips that have none; all in the order of the clips.

    Raises:
        StudyInterrupted: If a signal came.
        MPVSSError: If no clip could be measured.
    """
    jobs = {cache_dir / source.slug / f"{i:04d}.npz": (source, i) for source in sources for i in range(len(source.clips))}
    done: dict[Path, ClipResult] = {}
    failed: dict[Path, ClipFailure] = {}

    def fail(job: ClipJob, failure: ClipFailure) -> None:
        failed[job.file] = failure
        source, index = jobs[job.file]
        reporter.failure(failure, source.frames_of_clips[index])

    measurements = measure_clips(
        [ClipJob(source.clips[i], file, source.name) for file, (source, i) in jobs.items()],
        settings=settings,
        fleet=fleet,
        stopped=signals.is_received,
        on_failure=fail,
    )
    for measurement in measurements:
        done[measurement.job.file] = measurement.result
        reporter.clip(jobs[measurement.job.file][0], measurement)
    _check_signals(signals, f"{len(done)} of {len(jobs)} clips are measured", cache_dir)
    failures = [failed[file] for file in jobs if file in failed]
    if not done:
        others = f" (and {len(failures) - 1} more; see above)" if len(failures) > 1 else ""
        raise MPVSSError(f"no clip could be measured: {failures[0]}{others}")
    results = {
        source.name: {i: done[file] for file, (owner, i) in jobs.items() if owner is source and file in done}
        for source in sources
    }
    return results, failures


def _check_signals(signals: StopSignals, done: str, cache_dir: Path) -> None:
    """Raise `StudyInterrupted` if one was received."""
    if signals.received is not None:
        name = signal.Signals(signals.received).name
        raise StudyInterrupted(
            f"stopped by {name}: {done}, their results are in {cache_dir}, and the same command goes on from there",
            signals.received,
        )


def _report(
    study: ClipStudy,
    settings: WorkerSettings,
    sources: list[SourceReport],
    failures: list[ClipFailure],
    *,
    model: str,
    command: str,
) -> StudyReport:
    segmentor, motion, config = study.model.segmentor, study.model.motion, settings.config
    return StudyReport(
        command=command,
        model=segmentor.name,
        model_location=model,
        parameters=study.model.num_parameters,
        class_names=list(distinct_names(segmentor.class_names)),
        has_motion_module=motion is not None,
        refines_tracked_flow=motion is not None and motion.config.refines_tracked_flow,
        cpu=processor_name(),
        device=_device_name(segmentor.device),
        threads=settings.threads,
        intervals=list(config.intervals),
        corruption_every_frames=config.corruption_every_frames,
        corruption_repeats=config.corruption_repeats,
        seed=config.seed,
        versions={"Python": platform.python_version(), **library_versions()},
        sources=sources,
        failures=failures,
    )


def _source_report(study: ClipStudy, source: Source, results: Sequence[ClipResult], out_dir: Path) -> SourceReport:
    latency = measure_latency(study, source.clips[0].frames)
    return SourceReport(
        name=source.name,
        location=source.location,
        notes=list(source.notes),
        figures=source_summary(study, results, latency),
        pictures=write_pictures(out_dir, study, source, results),
    )


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
