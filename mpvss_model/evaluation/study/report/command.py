"""Runs a study and writes what it finds."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from pathlib import Path

import torch

from mpvss_model.class_names import distinct_names
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
from mpvss_model.evaluation.study.report.markdown import markdown
from mpvss_model.evaluation.study.report.pictures import write_pictures
from mpvss_model.evaluation.study.report.plots import write_plots
from mpvss_model.evaluation.study.source import Source, check_names
from mpvss_model.evaluation.study.study_report import SourceReport, StudyReport
from mpvss_model.files import write_whole
from mpvss_model.runtime.device import resolve_device
from mpvss_model.segmentor.shipped_models import model_location

__all__ = ["run_study"]

CACHE_DIR = ".cache"


def run_study(
    sources: Sequence[Source],
    out_dir: Path,
    *,
    model: str,
    device: str = "auto",
    threads: int = 1,
    workers: int = 1,
    config: StudyConfig | None = None,
    command: str = "",
    on_clip: Callable[[int, int], None] = lambda done, total: None,
) -> StudyReport:
    """Measure a model's ways of propagation on several sources and write tables, plots and pictures.

    The result of each clip is kept in ``out_dir/.cache`` and taken up again as long as clip, model and settings are the same.

    Args:
        sources: With classes of the model, in any order, and with ground truth.
        out_dir: Gets ``study.json``, ``README.md`` and PNG files, each whole or not at all.
        model: See `VideoSegmentor.from_pretrained`.
        device: See `VideoSegmentor.from_pretrained`.
        threads: CPU threads of each process.
        workers: Processes that share the clips; the results do not depend on their number.
        config: What to measure.
        command: That this was started with, for the reader.
        on_clip: Called with the clips done and their total.

    Raises:
        MPVSSError: If a source, the model or a setting cannot be used.
    """
    check_names(sources)
    settings = WorkerSettings(
        location=model_location(model), device=str(resolve_device(device)), threads=threads, config=config or StudyConfig()
    )
    study = settings.start()
    segmentor = study.model.segmentor
    sources = [source.labelled_for(segmentor.class_names, segmentor.name) for source in sources]
    results = _measure(sources, out_dir / CACHE_DIR, settings=settings, workers=workers, on_clip=on_clip)
    report = StudyReport(
        command=command,
        model=segmentor.name,
        parameters=study.model.num_parameters,
        class_names=list(distinct_names(segmentor.class_names)),
        has_motion_module=study.model.motion is not None,
        refines_tracked_flow=study.model.motion is not None and study.model.motion.config.refines_tracked_flow,
        cpu=_cpu_name(),
        device=_device_name(segmentor.device),
        threads=threads,
        intervals=list(settings.config.intervals),
        corruption_every_frames=settings.config.corruption_every_frames,
        sources=[_source_report(study, source, results[source.name], out_dir) for source in sources],
    )
    write_plots(out_dir, report)
    write_whole(out_dir / "study.json", lambda path: path.write_text(json.dumps(report.as_dict(), indent=1) + "\n"))
    write_whole(out_dir / "README.md", lambda path: path.write_text(markdown(report)))
    return report


def _measure(
    sources: Sequence[Source],
    cache_dir: Path,
    *,
    settings: WorkerSettings,
    workers: int,
    on_clip: Callable[[int, int], None],
) -> dict[str, list[ClipResult]]:
    """The results of each source's clips, in the order of the clips."""
    jobs = {
        (source.name, i): ClipJob(clip, cache_dir / source.slug / f"{i:04d}.npz")
        for source in sources
        for i, clip in enumerate(source.clips)
    }
    done: dict[Path, ClipResult] = {}
    on_clip(0, len(jobs))
    for job, result in measure_clips(list(jobs.values()), settings=settings, workers=workers):
        done[job.file] = result
        on_clip(len(done), len(jobs))
    return {source.name: [done[jobs[source.name, i].file] for i in range(len(source.clips))] for source in sources}


def _source_report(study: ClipStudy, source: Source, results: Sequence[ClipResult], out_dir: Path) -> SourceReport:
    latency = measure_latency(study, source.clips[0].frames)
    return SourceReport(
        name=source.name,
        location=source.location,
        notes=list(source.notes),
        figures=source_summary(study, results, latency),
        pictures=write_pictures(out_dir, study, source, results),
    )


def _cpu_name() -> str:
    """Of the machine's processor, as Linux calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
