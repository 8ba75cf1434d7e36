"""All benchmarks of the node, one after the other, as one table: that of docs/performance.md.

    python -m benchmarks.all --json all.json --markdown all.md      # on a machine that does nothing else
    python -m benchmarks.all --quick                                # whether everything runs; figures mean little
    python -m benchmarks.all --only overhead "large cameras"

Each runs in a process of its own, and is ended with all that it has started when its time is over. One that fails is told by
name, and the next one runs. Exit code 1 if any failed. Markdown goes to the standard output, all else to the standard error.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path

from benchmarks.machine import machine
from benchmarks.rows import Row, markdown_table
from mpvss_model.files import write_whole

__all__ = ["BENCHMARKS", "Benchmark", "Result", "markdown", "run"]

QUICK_LIMIT_S = 300.0
# What Python runs for a benchmark.
ONE = ("-m", "benchmarks.one")
LARGE = "--size 1920x1080 --compressed --threads 1 --key-frames async --live-hz 30 --reliable --inference-size 240"
LARGE_OVERHEAD = '--width 1920 --height 1080 --inference-size 240 --encodings rgb8 bgr8 jpeg "jpeg, whole"'


@dataclass(frozen=True)
class Benchmark:
    """One table.

    Attributes:
        name: What people call it.
        module: Of this folder; has ``parser()`` and ``measure(options)``.
        options: Of the module's command line.
        quick: Those with which it is over in a minute.
        limit_s: The longest time that it may take.
        needs: A package without which it is left out.
    """

    name: str
    module: str
    options: str
    quick: str
    limit_s: float
    needs: str = "rclpy"


@dataclass(frozen=True)
class Result:
    """What came of a benchmark.

    Attributes:
        name: Of the benchmark.
        command: What gives the same table alone.
        seconds: How long it took.
        rows: Of the table; none if it could not be finished.
        failure: Why it failed; empty if it did not.
        left_out: Why it was not run; empty if it was.
    """

    name: str
    command: str
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    failure: str = ""
    left_out: str = ""


BENCHMARKS = (
    Benchmark("throughput", "node_throughput", "", "--size 320x240 --threads 1 --key-frames async --frames 30", 1200.0),
    Benchmark(
        "live cameras",
        "node_throughput",
        "--threads 1 --key-frames async --live-hz 15 --reliable",
        "--size 320x240 --threads 1 --key-frames async --live-hz 15 --reliable --frames 30",
        300.0,
    ),
    Benchmark("overhead", "node_overhead", "", "--frames 30", 300.0),
    Benchmark("large cameras", "node_throughput", f"{LARGE} --frames 900", f"{LARGE} --frames 60", 300.0),
    Benchmark(
        "large cameras, watched",
        "node_throughput",
        f"{LARGE} --frames 900 --watch overlay labels/compressed",
        f"{LARGE} --frames 60 --watch overlay labels/compressed",
        300.0,
    ),
    Benchmark(
        "overhead of large cameras", "node_overhead", f"{LARGE_OVERHEAD} --frames 300", f"{LARGE_OVERHEAD} --frames 20", 600.0
    ),
    Benchmark(
        "overhead, watched",
        "node_overhead",
        f"{LARGE_OVERHEAD} --frames 300 --watch overlay labels/compressed",
        f"{LARGE_OVERHEAD} --frames 20 --watch overlay labels/compressed",
        600.0,
    ),
    Benchmark("large frames", "large_frame", "", "--frames 6 --interval 3", 300.0),
    Benchmark("unread outputs", "unread_outputs", "", "--frames 30", 600.0),
    Benchmark("slow segmentor", "slow_segmentor", "", "--seconds 5", 300.0),
    Benchmark("kills", "random_kills", "", "--times 2", 1800.0),
    Benchmark("soak", "soak", "", "--frames 300 --warm-up 300", 3600.0),
    Benchmark("hostile messages", "hostile_messages", "", "--messages 1000", 1800.0),
    Benchmark("clouds", "cloud", "", "--seconds 5", 600.0),
    Benchmark("inference size", "inference_size", "--every 4", "--every 60 --sizes 240", 900.0),
    Benchmark("onnx", "onnx_runtime", "", "--models rooms-lite:320x240 --rounds 1", 900.0, needs="onnxruntime"),
)


def run(benchmark: Benchmark, *, quick: bool) -> Result:
    """Run one in a process of its own; whatever happens to it is in the result."""
    options = shlex.split(benchmark.quick if quick else benchmark.options)
    command = shlex.join(["python", "-m", f"benchmarks.{benchmark.module}", *options])
    if find_spec(benchmark.needs) is None:
        return Result(benchmark.name, command, left_out=f"{benchmark.needs} is not installed")
    limit_s = min(QUICK_LIMIT_S, benchmark.limit_s) if quick else benchmark.limit_s
    started_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "rows.json"
        failure = _failure_of([sys.executable, *ONE, benchmark.module, str(file), *options], limit_s)
        seconds = time.monotonic() - started_s
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {"rows": [], "trouble": ""}
    return Result(benchmark.name, command, seconds, found["rows"], failure or found["trouble"])


def _failure_of(command: Sequence[str], limit_s: float) -> str:
    """Run a command to its end, or to that of its time; returns what is wrong with it."""
    # Of a session of its own, so that it can be ended with the nodes that it has started.
    process = subprocess.Popen(command, stdout=2, start_new_session=True)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        return f"not over after {limit_s:.0f} s"
    finally:
        _end(process)
    return f"exit code {code}: its last lines say why" if code else ""


def _end(process: subprocess.Popen) -> None:
    with suppress(ProcessLookupError):  # nothing is left of it
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def markdown(machine: dict, results: Sequence[Result]) -> str:
    """The machine's description and all tables, as a page shows them."""
    described = ", ".join(f"{name}: {', '.join(v) if isinstance(v, list) else v}" for name, v in machine.items() if v)
    parts = [described]
    for result in results:
        parts += [f"### {result.name[0].upper()}{result.name[1:]}", f"`{result.command}`, {result.seconds:.0f} s"]
        parts += [f"**Failed**: {result.failure}"] * bool(result.failure)
        parts += [f"Left out: {result.left_out}"] * bool(result.left_out)
        parts += [markdown_table(result.rows)] * bool(result.rows)
    return "\n\n".join(parts) + "\n"


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = [benchmark.name for benchmark in BENCHMARKS]
    options.add_argument("--quick", action="store_true", help="a minute each at most; figures mean little")
    options.add_argument("--only", nargs="+", choices=names, default=names, metavar="NAME", help=", ".join(names))
    options.add_argument("--json", type=Path, help="file to write")
    options.add_argument("--markdown", type=Path, help="file to write")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmarks that are asked for; returns the exit code."""
    options = parser().parse_args(arguments)
    described, results = machine(), []
    for benchmark in BENCHMARKS:
        if benchmark.name in options.only:
            print(f"-- {benchmark.name}", file=sys.stderr, flush=True)
            results.append(run(benchmark, quick=options.quick))
    page = markdown(described, results)
    report = {"machine": described, "quick": options.quick, "benchmarks": [asdict(result) for result in results]}
    for path, text in ((options.markdown, page), (options.json, json.dumps(report, indent=2) + "\n")):
        if path is not None:
            write_whole(path, lambda unfinished, text=text: unfinished.write_text(text, encoding="utf-8"))
    print(page, end="")
    failed = [f"{result.name}: {result.failure}" for result in results if result.failure]
    print("\n".join(failed), file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
