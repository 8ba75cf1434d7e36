"""A study's figures as a page to read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mpvss_model.evaluation.study import NO_CORRUPTION
from mpvss_model.evaluation.study.report.methods import run_label
from mpvss_model.evaluation.study.study_report import RunFigures, SourceFigures, SourceReport, StudyReport
from mpvss_model.propagation.registry import propagation_named, propagations

__all__ = ["markdown"]

DEFAULT_INTERVAL = 5


def markdown(report: StudyReport) -> str:
    """The whole page, from a study's report."""
    sources = report.sources
    parts = [
        f"# How well `{report.model}` labels video",
        _introduction(sources[0]),
        _facts(report),
        *_failures(report),
        "## Key-frame interval",
        "![mIoU over the key-frame interval](miou_over_interval.png)",
        METRICS,
        *(part for source in sources for part in (f"### {source.name}", _size(source), _grid_table(source))),
        "## Distance from the key frame",
        f"mIoU on the frames that come so many frames after a key frame, at an interval of {report.intervals[-1]}. "
        "The dashed line is segmentation of the very same frames.",
        "![mIoU over the distance from the key frame](miou_over_distance.png)",
        "## Time of a frame",
        f"Median milliseconds from an image in memory to its labels, and their standard deviation, on {_machine(report)}, "
        "measured in one process with all methods in turn. Times per frame in the tables above are averages of these over key "
        "frames and others.",
        _time_table(sources),
        "## What cameras do to images",
        f"mIoU of segmentation per frame, on one frame of {report.corruption_every_frames}. {CORRUPTIONS}{_repeats(report)}",
        "![mIoU with corrupted images](robustness.png)",
        _robustness_table(sources),
        "## Classes",
        *(part for source in sources for part in (f"### {source.name}", _class_table(report, source))),
        "## Failures",
        "The frames of each source with the fewest right pixels, and those that lose most by propagation.",
        *(f"![{source.name}, worst {kind}]({file})" for source in sources for kind, file in source.pictures.items()),
    ]
    return "\n\n".join(parts) + "\n"


INTRODUCTION = """\
A key frame goes through the whole segmentor, and its masks are carried to the frames in between:

{ways}

*Per frame* segments every frame. *With history*, a key frame takes earlier ones into account. This page and its pictures are
generated; `study.json` has all figures."""

METRICS = """\
mIoU and weighted IoU compare with ground truth, in %; in brackets the difference from segmentation per frame, in points.
mVC8 and mVC16 are video consistency over 8 and 16 frames, in %. *By motion* gives `motion_threshold` and the mean interval
that comes of it; the longest of the other intervals is the most. GFLOPs count a multiply-add as 1 and leave out OpenCV's
optical flow."""

CORRUPTIONS = """\
JPEG compression of quality 50; Gaussian noise of standard deviation 20 (of 255); exposure times 1.4 and 0.6; motion blur over
3 % of the image's width in random directions. In brackets the difference in points."""


def _introduction(source: SourceReport) -> str:
    rows = [propagation_named(name) for name in dict.fromkeys(run.method for run in source.figures.grid[1:])]
    return INTRODUCTION.format(ways="\n".join(f"- *{row.label}* {row.description}" for row in rows))


def _facts(report: StudyReport) -> str:
    facts = [
        f"Model: `{report.model}`, {len(report.class_names)} classes, {report.parameters / 1e6:.1f} M parameters",
        f"Machine: {_machine(report)}",
        f"Software: {', '.join(f'{name} {version}' for name, version in report.versions.items())}",
    ]
    if weight := max(run.history_weight for run in report.sources[0].figures.grid):
        facts.append(f"With history: `history_weight` {weight:g}")
    if report.command:
        facts.append(f"Command: `{report.command}`")
    if not report.has_motion_module:
        left_out = " and ".join(row.label for row in propagations() if row.needs_motion)
        facts.append(f"Left out: {left_out}, since the model has no motion module")
    if report.refines_tracked_flow:
        facts.append("Learned flow, pixel-wise and segment-aware, is estimated on top of tracked flow")
    return "\n".join(f"- {fact}" for fact in facts)


def _failures(report: StudyReport) -> list[str]:
    """Which clips are in no figure of the page; nothing if all are."""
    if not report.failures:
        return []
    clips = len(report.failures) + sum(source.figures.clips for source in report.sources)
    failed = f"{len(report.failures)} of {clips} clips could not be measured, and are in none of the figures below"
    return ["## Clips left out", f"{failed}:", "\n".join(f"- {failure}" for failure in report.failures)]


def _machine(report: StudyReport) -> str:
    threads = f"{report.cpu}, {report.threads} thread{'s' * (report.threads > 1)}"
    return threads if report.device == "CPU" else f"{report.device} with {threads}"


def _size(source: SourceReport) -> str:
    figures, notes = source.figures, tuple(source.notes)
    sizes = _sizes(figures.frame_sizes)
    if figures.inference_sizes != figures.frame_sizes:
        notes = (f"Segmented at {_sizes(figures.inference_sizes)}", *notes)
    clips = f"{source.figures.clips} clip{'s' * (source.figures.clips > 1)}"
    frames = f"{source.figures.frames} frames of {sizes} pixels, {source.figures.labelled_frames} labelled"
    return f"`{source.location}`: {clips}, {frames}.{''.join(f' {note}.' for note in notes)}"


def _sizes(sizes: Iterable[Sequence[int]]) -> str:
    return ", ".join(f"{width} x {height}" for height, width in sizes)


def _grid_table(source: SourceReport) -> str:
    per_frame = source.figures.grid[0]
    rows = [
        [
            run_label(run),
            _interval(run, source),
            _percent(run.miou, per_frame.miou if run is not per_frame else None),
            _percent(run.weighted_iou),
            _percent(run.mvc8),
            _percent(run.mvc16),
            "-" if run.gflops_per_frame is None else f"{run.gflops_per_frame:.2f}",
            f"{run.ms_per_frame:.1f}",
        ]
        for run in source.figures.grid
    ]
    return _table(["method", "interval", "mIoU", "weighted IoU", "mVC8", "mVC16", "GFLOPs/frame", "ms/frame"], rows)


def _is_timed(run: RunFigures, interval: int) -> bool:
    return run.interval == interval and not run.motion_threshold


def _interval(run: RunFigures, source: SourceReport) -> str:
    if run.motion_threshold:
        return f"by motion, {run.motion_threshold:g}: {source.figures.frames / run.key_frames:.1f}"
    return str(run.interval)


def _time_table(sources: Sequence[SourceReport]) -> str:
    ways = {run.way: run_label(run) for run in sources[0].figures.grid[1:]}
    rows = [
        [
            label,
            *(
                f"{times_ms[way]:.1f} ± {deviations_ms[way]:.1f}"
                for figures in (source.figures for source in sources)
                for times_ms, deviations_ms in (
                    (figures.key_ms, figures.key_ms_deviation),
                    (figures.propagated_ms, figures.propagated_ms_deviation),
                )
            ),
        ]
        for way, label in ways.items()
    ]
    columns = [f"{source.name}: {kind}" for source in sources for kind in ("key frame", "propagated")]
    return _table(["method", *columns], rows)


def _robustness_table(sources: Sequence[SourceReport]) -> str:
    corruptions = list(sources[0].figures.robustness)
    rows = [
        [
            source.name,
            *(_robustness(source.figures, name) for name in corruptions),
        ]
        for source in sources
    ]
    return _table(["source", *("unchanged" if name == NO_CORRUPTION else name for name in corruptions)], rows)


def _robustness(figures: SourceFigures, name: str) -> str:
    """A corruption's mIoU, with its deviation where it is random and was repeated, and what it costs."""
    deviation = figures.robustness_deviation[name]
    text = _percent(figures.robustness[name], None if name == NO_CORRUPTION else figures.robustness[NO_CORRUPTION])
    mean, *difference = text.split(" ", 1)
    return " ".join([mean, *([f"± {100 * deviation:.1f}"] if deviation else []), *difference])


def _repeats(report: StudyReport) -> str:
    """What ± stands for, if anything."""
    if report.corruption_repeats == 1:
        return ""
    return f" What is random is the mean of {report.corruption_repeats} repeats, ± their standard deviation."


def _class_table(report: StudyReport, source: SourceReport) -> str:
    interval = DEFAULT_INTERVAL if DEFAULT_INTERVAL in report.intervals else report.intervals[0]
    runs = [source.figures.grid[0], *(run for run in source.figures.grid[1:] if _is_timed(run, interval))]
    rows = [[name, *(_percent(run.iou_per_class[name]) for run in runs)] for name in report.class_names]
    labels = [run_label(run) for run in runs]
    return f"IoU in %, at interval {interval}.\n\n" + _table(["class", *labels], rows)


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The first column is text, the others are numbers."""
    lines = [header, ["---", *["---:"] * (len(header) - 1)], *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _percent(value: float | None, reference: float | None = None) -> str:
    if value is None:
        return "-"
    return f"{100 * value:.1f}" + ("" if reference is None else f" ({100 * (value - reference):+.1f})")
