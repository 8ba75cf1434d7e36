"""Reports as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group
from rich.markup import escape
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # a command imports what its own report needs
    from mpvss_model.checkpoints.convert import Conversion
    from mpvss_model.checkpoints.parity import ParityReport
    from mpvss_model.evaluation.benchmark import BenchmarkReport
    from mpvss_model.evaluation.evaluation_report import EvaluationReport
    from mpvss_model.evaluation.flops import Cost
    from mpvss_ros.replay.run_result import RunResult

__all__ = [
    "benchmark_table",
    "classes_table",
    "conversion_table",
    "cost_table",
    "costs_table",
    "evaluation_table",
    "evaluations_table",
    "parity_table",
    "rival_line",
    "run_table",
    "things_table",
]


def run_table(result: RunResult) -> Group:
    """A replay's main figures, below a line that says of what."""
    settings = result.settings
    title = f"{settings.model} on {Path(settings.bag).resolve().name}, {_settings(settings.interval, settings.settings)}"
    rows = {
        "frames in": str(result.frames_in),
        "labels out": str(result.labels_out),
        "dropped": str(result.dropped),
        **{f"  {reason}": str(count) for reason, count in result.dropped_by_reason.items()},
        "key frames": str(result.key_frames),
        "mIoU": _shown(result.miou, "{:.3f}"),
        "weighted IoU": _shown(result.weighted_iou, "{:.3f}"),
        "latency p50": _shown(result.latency_p50_ms, "{:.1f} ms"),
        "latency p99": _shown(result.latency_p99_ms, "{:.1f} ms"),
    }
    return Group(Text(title), _figures_table(rows))


# The figures of an evaluation, how they are written, and what they are called where there is little room.
EVALUATED = {
    "miou": ("{:.3f}", "mIoU"),
    "weighted_iou": ("{:.3f}", "wIoU"),
    "mvc8": ("{:.3f}", "mVC8"),
    "mvc16": ("{:.3f}", "mVC16"),
    "boundary_miou": ("{:.3f}", "bIoU"),
    "pixel_accuracy": ("{:.3f}", "pixAcc"),
    "gflops_per_frame": ("{:.2f}", "GFLOPs"),
    "fps": ("{:.1f}", "fps"),
}
# Characters of a class's name that stand in one line, however many columns there are.
LONGEST_CLASS = 16


def evaluation_table(report: EvaluationReport) -> Table:
    """An evaluation's figures, without the classes."""
    title = f"{_evaluated(report)}, {report.propagation}, {_settings(report.interval, report.settings)}"
    if len(report.first_intervals) > 1:
        title += f", {len(report.first_intervals)} repeats"
    rows = {"frames": str(report.frames), "key_frames": str(report.key_frames)}
    return _figures_table(rows | _evaluated_figures(report, " "), title)


def evaluations_table(reports: Sequence[EvaluationReport]) -> Table:
    """The figures of several evaluations of one model on one source, a row each, within 80 columns."""
    title = ", ".join([_evaluated(reports[0]), *_changed(reports[0].settings)])
    table = Table(title=Text(title), box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("propagation")
    for column in ("interval", *(short for _, short in EVALUATED.values())):
        table.add_column(column, justify="right", no_wrap=True)
    for report in reports:
        table.add_row(report.propagation, str(report.interval), *_evaluated_figures(report, "\n").values())
    return table


def classes_table(reports: Sequence[EvaluationReport]) -> Table:
    """The classes of one evaluation, or the IoU of the classes in several."""
    first, *others = reports
    columns = {
        "IoU": first.iou_per_class,
        "boundary IoU": first.boundary_iou_per_class,
        "accuracy": first.accuracy_per_class,
    }
    if others:
        columns = {f"{report.propagation} {report.interval}": report.iou_per_class for report in reports}
    table = Table(title="IoU" if others else None)
    table.add_column("class", min_width=min(max(map(len, first.pixel_share_per_class)), LONGEST_CLASS), overflow="fold")
    for column in (*columns, "share of pixels"):
        table.add_column(column, justify="right")
    for name, share in first.pixel_share_per_class.items():
        figures = (_shown(values[name], "{:.3f}") for values in columns.values())
        table.add_row(escape(name), *figures, _shown(share, "{:.2%}"))
    return table


def things_table(reports: Sequence[EvaluationReport]) -> Table:
    """What one or several evaluations found of single things and stuff, a row each, within 80 columns."""
    table = Table(title="things and stuff", box=None, padding=(0, 1, 0, 0), pad_edge=False)
    table.add_column("propagation")
    for column in ("interval", "PQ", "SQ", "RQ", "things", "stuff", "VPQ", "id switches", "per track"):
        table.add_column(column, justify="right", no_wrap=True)
    for report in reports:
        if (found := report.panoptic) is not None:
            qualities = (found.pq, found.sq, found.rq, found.pq_things, found.pq_stuff, found.vpq)
            figures = (*(_shown(value, "{:.3f}") for value in qualities), str(found.id_switches))
            per_track = _shown(found.id_switches_per_track, "{:.2f}")
            table.add_row(report.propagation, str(report.interval), *figures, per_track)
    return table


def conversion_table(conversion: Conversion) -> Table:
    """What a released checkpoint turned out to hold."""
    motion = conversion.motion
    rows = {
        "written to": conversion.out_dir,
        "backbone": conversion.backbone,
        "classes": conversion.num_classes,
        "queries": conversion.num_queries,
        "decoder layers": conversion.decoder_layers,
        "motion module": "none" if motion is None else f"{motion.num_layers} layers of {motion.hidden_size} channels",
        "parameters": f"{conversion.num_parameters / 1e6:.1f} M",
        "ignored tensors": ", ".join(conversion.ignored) or "none",
    }
    table = Table(show_header=False)
    for name, value in rows.items():
        table.add_row(name, str(value))
    return table


def parity_table(report: ParityReport) -> Table:
    """Largest difference of each array from the released code's."""
    table = Table("array", "shape", title=f"parity with the released code: {'passed' if report.ok else 'FAILED'}")
    for column in ("largest difference", "bound"):
        table.add_column(column, justify="right")
    table.add_column("")
    for array in report.arrays:
        shape = " x ".join(map(str, array.shape))
        verdict = "ok" if array.ok else "[red]too large[/red]"
        table.add_row(array.name, shape, f"{array.max_abs_difference:.1e}", f"{array.bound:.0e}", verdict)
    return table


def cost_table(cost: Cost) -> Table:
    """One configuration, part by part."""
    height, width = cost.frame_size
    name = f"{cost.model}, {cost.propagation}" if cost.model else cost.backbone
    title = f"{name}, {width} x {height} pixels, {cost.num_classes} classes, a key frame every {cost.interval}"
    counted = "a multiply-add counts as 1; OpenCV's optical flow is left out" if cost.model else None
    table = Table("part", "runs on", title=Text(title), caption=counted)
    for column in ("GFLOPs", "parameters (M)"):
        table.add_column(column, justify="right")
    for name, part in cost.parts.items():
        parameters = f"{part.parameters / 1e6:.3f}" if part.parameters else ""
        table.add_row(name, f"{part.runs_on} frames", f"{part.gflops:.2f}", parameters)
    table.add_section()
    table.add_row("key frame", "", f"{cost.key_frame_gflops:.2f}", "")
    table.add_row("propagated frame", "", f"{cost.propagated_frame_gflops:.2f}", "")
    table.add_row(f"interval of {cost.interval}", "", f"{cost.interval_gflops:.2f}", "")
    table.add_row("average frame", "", f"{cost.gflops:.2f}", f"{cost.parameters / 1e6:.3f}")
    if not cost.model:
        table.add_row("paper", "", _shown(cost.paper_gflops), _shown(cost.paper_parameters_m))
    return table


def costs_table(costs: Iterable[Cost]) -> Table:
    """Several configurations, a row each, within 80 columns."""
    title = "GFLOPs (a multiply-add counts as 1) and millions of parameters"
    table = Table("model", "frame", title=title, box=None, padding=(0, 1, 0, 0), pad_edge=False)
    for column in ("backb.", "pixel", "query", "motion", "warp", "out", "mean", "paper", "params", "paper"):
        table.add_column(column, justify="right", no_wrap=True)
    for cost in costs:
        height, width = cost.frame_size
        table.add_row(
            cost.backbone,
            f"{width}x{height}",
            *(f"{part.gflops:.1f}" for part in cost.parts.values()),
            f"{cost.gflops:.2f}",
            _shown(cost.paper_gflops),
            f"{cost.parameters / 1e6:.2f}",
            _shown(cost.paper_parameters_m),
        )
    return table


def rival_line(cost: Cost) -> str:
    """What the published networks are compared with, counted in part, in one line below their table."""
    height, width = cost.frame_size
    return (
        f"{cost.backbone}, {width}x{height}: {_shown(cost.paper_gflops)} in the paper's table 1; its "
        f"SegFormer-B5 alone, on each frame: {cost.gflops:.2f} ({cost.parameters / 1e6:.2f} M parameters)"
    )


def _shown(value: float | None, pattern: str = "{:.1f}") -> str:
    return "-" if value is None else pattern.format(value)


def _evaluated(report: EvaluationReport) -> str:
    """The model, and the source with its split."""
    return f"{report.model} on {Path(report.source).resolve().name}" + (f" {report.split}" if report.split else "")


def _evaluated_figures(report: EvaluationReport, between: str) -> dict[str, str]:
    """By name; where there is a standard deviation, it follows after what is to stand between."""
    figures = {}
    for name, (pattern, _) in EVALUATED.items():
        deviation = report.deviation.get(name)
        spread = "" if deviation is None else f"{between}±{pattern.format(deviation)}"
        figures[name] = _shown(getattr(report, name), pattern) + spread
    return figures


def _settings(interval: int, changed: dict[str, object]) -> str:
    """The interval, and all else that is not the default."""
    return ", ".join([f"interval {interval}", *_changed(changed)])


def _changed(settings: dict[str, object]) -> list[str]:
    """Settings that are not the defaults, without the interval."""
    return [f"{name} {value}" for name, value in settings.items() if name != "max_interval_frames"]


def _figures_table(rows: dict[str, str], title: str = "") -> Table:
    """A name and a figure a row. Names and titles may hold what would be taken for markup."""
    table = Table(title=Text(title) if title else None, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name, figure in rows.items():
        table.add_row(escape(name), figure)
    return table


def benchmark_table(report: BenchmarkReport) -> Table:
    """Time, labels and memory of each variant, against ``transformers`` frame by frame."""
    height, width = report.frame_size
    table = Table(
        title=(
            f"{report.preset}, {width}x{height}, {report.device}, {report.threads} threads, {report.precision}, "
            f"{report.propagation}" + f", inference size {report.inference_size}" * (report.inference_size > 0)
        ),
        caption=(
            f"{report.relevant_queries[0]} of {report.relevant_queries[1]} queries matter; this machine multiplies matrices "
            f"at {report.gemm_gflops:.0f} GFLOP/s and convolves at {report.conv_gflops:.0f} GFLOP/s in fp32"
        ),
    )
    table.add_column("")
    for column in ("ms per frame", "frames/s", "times faster", "same labels", "peak MB"):
        table.add_column(column, justify="right")
    for variant in report.variants:
        if variant.frame_ms is None:
            table.add_row(variant.name, f"left out: {variant.left_out}")
            continue
        table.add_row(
            variant.name,
            f"{variant.frame_ms:.1f}",
            f"{1e3 / variant.frame_ms:.1f}",
            f"{variant.ratio:.2f}",
            "" if variant.agreement is None else f"{variant.agreement:.4%}",
            "" if variant.peak_mb is None else f"{variant.peak_mb:.0f}",
        )
    for parts in report.parts:
        table.add_section()
        table.add_row(f"{parts.name}, part by part", f"{parts.frame_ms:.2f}")
        for name, part_ms in parts.parts_ms.items():
            table.add_row(f"  {name}", f"{part_ms:.2f}")
    return table
