"""The table of ``mpvss benchmark`` and its JSON, of figures that are known."""

import json

from rich.console import Console

from mpvss_model.evaluation.benchmark import BenchmarkReport, PartsReport, VariantReport
from mpvss_ros.cli.common.tables import benchmark_table


def test_parts_of_a_frame_are_in_the_table_and_in_the_json():
    report = BenchmarkReport("default-640x480", (480, 640), "some GPU", "fp16", "tracked", 4)
    report.variants = [VariantReport("mpvss, propagated frame", 2.0, 10.0)]
    report.parts = [PartsReport("mpvss, propagated frame", 2.5, {"flow": 1.25, "upload": 0.05, "rest": 1.2})]
    console = Console(width=200)
    with console.capture() as captured:
        console.print(benchmark_table(report))
    rows = [[cell.strip() for cell in line.split("│")[1:3]] for line in captured.get().splitlines() if "│" in line]
    assert rows == [
        ["mpvss, propagated frame", "2.0"],
        ["mpvss, propagated frame, part by part", "2.50"],
        ["flow", "1.25"],
        ["upload", "0.05"],
        ["rest", "1.20"],
    ]
    assert json.loads(json.dumps(report.as_dict()))["parts"] == [
        {"name": "mpvss, propagated frame", "frame_ms": 2.5, "parts_ms": {"flow": 1.25, "upload": 0.05, "rest": 1.2}}
    ]
