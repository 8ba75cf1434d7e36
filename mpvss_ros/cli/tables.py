"""Reports as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable

from rich.table import Table

from mpvss_model.checkpoints.convert import Conversion
from mpvss_model.checkpoints.parity import ParityReport
from mpvss_model.evaluation.benchmark import BenchmarkReport
from mpvss_model.evaluation.flops import Cost

__all__ = ["benchmark_table", "conversion_table", "cost_table", "costs_table", "parity_table"]


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
    title = f"{cost.backbone}, {width} x {height} pixels, {cost.num_classes} classes, a key frame every {cost.interval}"
    table = Table("part", "runs on", title=title)
    for column in ("GFLOPs", "parameters (M)"):
        table.add_column(column, justify="right")
    for name, part in cost.parts.items():
        parameters = f"{part.parameters / 1e6:.3f}" if part.parameters else ""
        table.add_row(name, f"{part.runs_on} frames", f"{part.gflops:.2f}", parameters)
    table.add_section()
    table.add_row("key frame", "", f"{cost.key_frame_gflops:.2f}", "")
    table.add_row("propagated frame", "", f"{cost.propagated_frame_gflops:.2f}", "")
    table.add_row("average frame", "", f"{cost.gflops:.2f}", f"{cost.parameters / 1e6:.3f}")
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


def _shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def benchmark_table(report: BenchmarkReport) -> Table:
    """Time, labels and memory of each variant, against ``transformers`` frame by frame."""
    height, width = report.frame_size
    table = Table(
        title=(
            f"{report.preset}, {width}x{height}, {report.device}, {report.threads} threads, {report.precision}, "
            f"{report.propagation}"
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
    return table
