"""What labelled point clouds cost: their rate and time, and the latency of labels with and without them.

    python -m benchmarks.cloud --seconds 30 --rounds 3

An RGB-D camera, the shipped clip enlarged, sends images and depth at a fixed rate: first to a cloud node alone, with labels
from the clip, then to a segmentation node, then to both, while somebody listens to what they make. Camera, nodes and listeners
are each a process of its own, as on a robot; those that send have ``config/dds/fastdds.xml``, as far as ``--shared-memory``
names them. With ``--rounds`` all is measured again in turn, and the medians of the rounds are the last rows.

*sent Hz* is what the camera sends: less than ``--rate`` means that the machine is too small for the camera, whatever the nodes
do. *p50* and *p99* are from the image's stamp until the listener has the message, of the seconds that are measured; *making*
is the cloud node's own part, of its last 500 clouds. *CPU* is processor time of whole processes, threads and DDS included, for
each message that the node published, the camera sent or the listener got; *cores* is that of all of them together in a second.

Where cores are few the processes take the time from each other: ``--node-cores 0 --camera-cores 0 --cloud-cores 1`` leave one
of two to the labels.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node

from benchmarks.rows import Row, printed
from benchmarks.running_node import ros
from mpvss_model.config import DEFAULT_MODEL
from mpvss_ros.cloud.parameters import CloudConfig

WARM_UP_S = 5.0
START_LIMIT_S, END_LIMIT_S = 60.0, 10.0
# Names of statuses in diagnostics.
LABELS, CLOUD, CAMERA = "segmentation: output", "/mpvss/cloud: points", "camera"
SENDERS = {CAMERA: "camera", LABELS: "labels", CLOUD: "clouds"}
LISTENERS = {LABELS: "listener_of_labels", CLOUD: "listener_of_points"}
OUTPUTS = {LABELS: ("/mpvss/labels", "Image"), CLOUD: ("/mpvss/points", "PointCloud2")}
SET_UPS = (("clouds alone", (CLOUD,)), ("labels alone", (LABELS,)), ("both", (LABELS, CLOUD)))
# Images of this size do not fit into DDS's shared memory, and many would be lost.
RELIABLE = "qos_overrides./image.subscription.reliability"
PROFILE = Path(__file__).parents[1] / "config" / "dds" / "fastdds.xml"
REMAPPINGS = ("image:=/image", "depth:=/depth", "camera_info_in:=/camera_info")


@dataclass(frozen=True)
class Sample:
    """What a process had done when its diagnostics came.

    Attributes:
        time_s: When that was, on the steady clock.
        processor_s: Processor time that it had used.
        values: Of the diagnostics.
    """

    time_s: float
    processor_s: float
    values: Mapping[str, str]

    @property
    def count(self) -> int:
        """Messages until then."""
        return int(self.values.get("published", 0))


def commands(options: argparse.Namespace, nodes: Sequence[str]) -> dict[str, list[str]]:
    """Command lines of the processes by the name of their status, with the cores that each may use.

    Args:
        options: Of the command line.
        nodes: `LABELS`, `CLOUD` or both.
    """
    of_labels = {"model": options.model, "threads": 1, "inference_size": options.inference_size, RELIABLE: "reliable"}
    of_clouds = {"niceness": options.niceness, "confidence": options.confidence}
    size = f"{options.width}x{options.height}"
    camera = ["benchmarks.rgbd_camera", "--size", size, "--rate", str(options.rate)]
    found = {CAMERA: [options.camera_cores, *camera, *([] if LABELS in nodes else ["--labels"])]}
    settings = {LABELS: (options.node_cores, "node", of_labels), CLOUD: (options.cloud_cores, "cloud", of_clouds)}
    for name in nodes:
        cores, room, parameters = settings[name]
        given = [text for key, value in parameters.items() for text in ("-p", f"{key}:={value}")]
        remapped = [text for remapping in REMAPPINGS for text in ("-r", remapping)]
        found[name] = [cores, f"mpvss_ros.{room}.main", "--ros-args", *given, *remapped]
        topic, kind = OUTPUTS[name]
        window = str(round(options.rate * options.seconds))
        beside = options.cloud_cores if name == CLOUD else options.camera_cores
        found[LISTENERS[name]] = [beside, "benchmarks.listener", "--topic", topic, "--type", kind, "--window", window]
    return {
        name: ["env", *environment(name, options), "taskset", "-c", cores, sys.executable, "-m", *rest]
        for name, (cores, *rest) in found.items()
    }


def environment(name: str, options: argparse.Namespace) -> Iterator[str]:
    """What is set for the process of a status, as for ``env``."""
    if SENDERS.get(name) in options.shared_memory:
        yield from (f"{version}_DEFAULT_PROFILES_FILE={PROFILE}" for version in ("FASTRTPS", "FASTDDS"))


@contextmanager
def process(command: Sequence[str]) -> Iterator[subprocess.Popen]:
    """A program in a process of its own until the block ends."""
    started = subprocess.Popen(command)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        try:
            started.wait(END_LIMIT_S)
        except subprocess.TimeoutExpired:
            print(f"process {started.pid} does not end: killed", file=sys.stderr)
            started.kill()
            started.wait()


def processor_s(process: subprocess.Popen) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def run(observer: Node, command_lines: Mapping[str, Sequence[str]], seconds: float) -> dict[str, tuple[Sample, Sample]]:
    """Have processes work together; what each had done at the begin and at the end of the measured time.

    Args:
        observer: Listens to their diagnostics.
        command_lines: By the name of their status.
        seconds: To measure, after all are at work and warm.
    """
    newest: dict[str, Sample] = {}

    def note(message: DiagnosticArray) -> None:
        for status in message.status:
            if status.name in processes:
                values = {pair.key: pair.value for pair in status.values}
                newest[status.name] = Sample(time.monotonic(), processor_s(processes[status.name]), values)

    def spin(seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while (left_s := end_s - time.monotonic()) > 0.0:
            rclpy.spin_once(observer, timeout_sec=left_s)

    with ExitStack() as stack:
        processes = {name: stack.enter_context(process(command)) for name, command in command_lines.items()}
        subscription = observer.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
        began_s = time.monotonic()
        while waiting := [name for name in processes if name not in newest or not newest[name].count]:
            spin(0.2)
            for name, started in processes.items():
                if started.poll() is not None:
                    raise RuntimeError(f"{name} ended with exit code {started.returncode}: its output says why")
            if time.monotonic() - began_s > START_LIMIT_S:
                raise RuntimeError(f"nothing has come from {', '.join(waiting)} for {START_LIMIT_S:.0f} s")
        spin(WARM_UP_S)
        before = dict(newest)
        spin(seconds)
        observer.destroy_subscription(subscription)
    return {name: (before[name], newest[name]) for name in processes}


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each node, alone and beside the other, in each round. Medians of the rounds follow, if there are several."""
    rows: list[Row] = []
    with ros():
        observer = rclpy.create_node("observer")
        for number in range(options.rounds):
            for title, nodes in SET_UPS:
                if title not in options.set_ups:
                    continue
                found = run(observer, commands(options, nodes), options.seconds)
                for name in nodes:
                    rows.append({"round": number + 1} | row_of(title, name, found))
                    yield rows[-1]
    if options.rounds > 1:
        of_a_round = len(rows) // options.rounds
        yield from (median_row(rows[first::of_a_round]) for first in range(of_a_round))


def row_of(title: str, name: str, found: Mapping[str, tuple[Sample, Sample]]) -> Row:
    """A node's figures, and those of who sends and listens to it."""
    (_, node), (_, listener) = found[name], found[LISTENERS[name]]
    row: Row = {"run": title, "of": "labels" if name == LABELS else "clouds", "sent Hz": rate_hz(*found[CAMERA])}
    row |= {"Hz": rate_hz(*found[LISTENERS[name]])}
    row |= {f"p{p} ms": float(listener.values[f"p{p}_ms"]) for p in (50, 99)}
    row |= {
        f"making p{p} ms": float(node.values[key]) if (key := f"making_p{p}_ms") in node.values else None for p in (50, 99)
    }
    processes = {"CPU": name, "camera CPU": CAMERA, "listener CPU": LISTENERS[name]}
    row |= {f"{column} ms": processor_ms(*found[process]) for column, process in processes.items()}
    row |= {
        "cores": sum(
            (after.processor_s - before.processor_s) / (after.time_s - before.time_s) for before, after in found.values()
        )
    }
    return row | {"failed": int(node.values["failed"]) if "failed" in node.values else None}


def rate_hz(before: Sample, after: Sample) -> float:
    """Messages a second."""
    return (after.count - before.count) / (after.time_s - before.time_s)


def processor_ms(before: Sample, after: Sample) -> float:
    """Processor time for each message."""
    return 1000 * (after.processor_s - before.processor_s) / max(after.count - before.count, 1)


def median_row(rounds: Sequence[Row]) -> Row:
    """The same node's figures in the middle of its rounds."""

    def median(column: str) -> float | None:
        figures = [row[column] for row in rounds if row[column] is not None]
        return float(np.median(figures)) if figures else None

    titles = {"round": "median", "run": rounds[0]["run"], "of": rounds[0]["of"]}
    return titles | {column: median(column) for column in rounds[0] if column not in titles}


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--seconds", type=float, default=30.0)
    options.add_argument("--rate", type=float, default=15.0)
    options.add_argument("--width", type=int, default=640)
    options.add_argument("--height", type=int, default=480)
    options.add_argument("--model", default=DEFAULT_MODEL)
    options.add_argument("--inference-size", type=int, default=240)
    cores = ",".join(map(str, sorted(os.sched_getaffinity(0))))
    options.add_argument("--node-cores", default=cores, help="of the segmentation node, as for taskset -c; all unless given")
    options.add_argument("--cloud-cores", default=cores, help="of the cloud node and who listens to clouds")
    options.add_argument("--camera-cores", default=cores, help="of the camera and who listens to labels")
    options.add_argument("--niceness", type=int, default=CloudConfig().niceness, help="the cloud node's parameter")
    options.add_argument("--confidence", default="true", help="the cloud node's parameter")
    senders = list(SENDERS.values())
    options.add_argument(
        "--shared-memory", nargs="*", choices=senders, default=senders, metavar="SENDER", help=f"who has 64 MB, of {senders}"
    )
    titles = [title for title, _ in SET_UPS]
    options.add_argument("--set-ups", nargs="+", choices=titles, default=titles, metavar="TITLE", help=f"of {titles}")
    options.add_argument("--rounds", type=int, default=1)
    return options


if __name__ == "__main__":
    arguments = parser().parse_args()
    machine = f"{len(os.sched_getaffinity(0))} cores at load {os.getloadavg()[0]:.1f}"
    print(f"{arguments.width}x{arguments.height} at {arguments.rate} Hz, {machine}:", flush=True)
    list(printed(measure(arguments)))
