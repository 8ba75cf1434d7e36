"""What labelled point clouds cost: their rate and time, and the latency of labels with and without them.

    python -m benchmarks.cloud --seconds 30

An RGB-D camera, the shipped clip enlarged, sends images and depth at a fixed rate: first to a cloud node alone, with labels
from the clip, then to a segmentation node, then to both, each in a process of its own, while somebody listens to what they
make. Latencies are those that the nodes report in ``/diagnostics``; on fewer than three free cores the processes take the time
from each other: ``--node-cores 0 --cloud-cores 1 --camera-cores 1`` leave one of two to the labels. With ``--rounds`` all is
measured again in turn, and the medians of the rounds are the last rows. Processor time is that of the whole process, threads
and DDS included, for each message that it published: a busy machine blurs it less.
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
from itertools import cycle
from pathlib import Path

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.publisher import Publisher
from sensor_msgs.msg import CameraInfo, Image, PointCloud2
from std_msgs.msg import Header

from benchmarks.rows import Row, printed
from benchmarks.running_node import ros
from mpvss_model.config import DEFAULT_MODEL
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.bags.rooms_bag import CAMERA_INFO_TOPIC, DEPTH_TOPIC, FRAME_ID
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.cloud.parameters import CloudConfig
from mpvss_ros.messages.conversions import image_message, labels_from_message

FRAMES = 30
WARM_UP_S = 5.0
LABELS, CLOUD = "segmentation: output", "/mpvss/cloud: points"
SET_UPS = (("clouds alone", (CLOUD,)), ("labels alone", (LABELS,)), ("both", (LABELS, CLOUD)))
# Images of this size do not fit into DDS's shared memory, and many would be lost.
RELIABLE = "qos_overrides./image.subscription.reliability"


class RgbdCamera:
    """Publishes frames of the clip in turn.

    Args:
        node: Owns the publishers.
        size: Width and height of all images.
    """

    def __init__(self, node: Node, size: tuple[int, int]) -> None:
        self._node = node
        with Bag(SAMPLE_BAG) as bag:
            images = [frame.read_image() for frame, _ in zip(bag_frames(bag, bag.image_topic()), range(FRAMES), strict=False)]
            depths = [_depth(m) for m, _ in zip(bag.messages(DEPTH_TOPIC), range(FRAMES), strict=False)]
            labels = [labels_from_message(m) for m, _ in zip(bag.messages(GROUND_TRUTH_TOPIC), range(FRAMES), strict=False)]
            info = next(iter(bag.messages(CAMERA_INFO_TOPIC)))
        self._frames = cycle(
            (cv2.resize(image, size), *(cv2.resize(values, size, interpolation=cv2.INTER_NEAREST) for values in pixels))
            for image, *pixels in zip(images, depths, labels, strict=True)
        )
        scale = np.array([size[0] / info.width, size[1] / info.height, 1.0])
        self._info = CameraInfo(width=size[0], height=size[1], k=(np.diag(scale) @ info.k.reshape(3, 3)).ravel())
        topics = {"image": Image, "depth": Image, "camera_info": CameraInfo}
        self._publishers = {topic: node.create_publisher(kind, f"/{topic}", 5) for topic, kind in topics.items()}
        self._labels: Publisher | None = None

    @contextmanager
    def labelling(self) -> Iterator[None]:
        """Sends the clip's own labels, too, as long as the block lasts."""
        self._labels = self._node.create_publisher(Image, "/mpvss/labels", 5)
        try:
            yield
        finally:
            self._node.destroy_publisher(self._labels)
            self._labels = None

    def send(self) -> None:
        """One frame, stamped now."""
        image, depth, labels = next(self._frames)
        header = Header(stamp=self._node.get_clock().now().to_msg(), frame_id=FRAME_ID)
        self._info.header = header
        in_bytes = image_message(depth.view(np.uint8), "16UC1", header)
        in_bytes.width = depth.shape[1]
        self._publishers["camera_info"].publish(self._info)
        self._publishers["image"].publish(image_message(image, "rgb8", header))
        self._publishers["depth"].publish(in_bytes)
        if self._labels is not None:
            self._labels.publish(image_message(labels, "mono8", header))


def _depth(message) -> np.ndarray:
    return np.frombuffer(message.data, "<u2").reshape(message.height, message.width)


@contextmanager
def process(module: str, parameters: Mapping[str, object], cores: str) -> Iterator[subprocess.Popen]:
    """A node in a process of its own, on these cores, until the block ends."""
    remappings = ("image:=/image", "depth:=/depth", "camera_info_in:=/camera_info")
    arguments = [text for name, value in parameters.items() for text in ("-p", f"{name}:={value}")]
    arguments += [text for remapping in remappings for text in ("-r", remapping)]
    command = ["taskset", "-c", cores, sys.executable, "-m", f"mpvss_ros.{module}", "--ros-args", *arguments]
    started = subprocess.Popen(command)
    try:
        yield started
    finally:
        started.send_signal(signal.SIGINT)
        started.wait()


def processor_s(process: subprocess.Popen) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    return sum(map(int, fields[11:13])) / os.sysconf("SC_CLK_TCK")


def run(node: Node, camera: RgbdCamera, options: argparse.Namespace, nodes: Sequence[str]) -> dict[str, dict[str, str]]:
    """Values of the nodes' last diagnostics by status, and ``processor_ms`` for each message that was published.

    Args:
        node: Listens.
        camera: Sends; also labels, where no node does.
        options: Of the command line.
        nodes: `LABELS`, `CLOUD` or both.
    """
    newest: dict[str, dict[str, str]] = {}

    def note(message: DiagnosticArray) -> None:
        newest.update({status.name: {pair.key: pair.value for pair in status.values} for status in message.status})

    def spin(seconds: float) -> None:
        end_s = time.monotonic() + seconds
        while time.monotonic() < end_s:
            rclpy.spin_once(node, timeout_sec=0.1)

    def used() -> dict[str, np.ndarray]:
        return {name: np.array([processor_s(p), int(newest[name]["published"])]) for name, p in processes.items()}

    of_labels = {"model": options.model, "threads": 1, "inference_size": options.inference_size, RELIABLE: "reliable"}
    settings = {LABELS: ("node.main", of_labels), CLOUD: ("cloud.main", {"niceness": options.niceness})}
    with ExitStack() as stack:
        if LABELS not in nodes:
            stack.enter_context(camera.labelling())
        cores = {LABELS: options.node_cores, CLOUD: options.cloud_cores}
        processes = {name: stack.enter_context(process(*settings[name], cores[name])) for name in nodes}
        subscriptions = [node.create_subscription(DiagnosticArray, "/diagnostics", note, 10)]
        outputs = {LABELS: (Image, "/mpvss/labels"), CLOUD: (PointCloud2, "/mpvss/points")}
        for name in nodes:
            subscriptions.append(node.create_subscription(*outputs[name], lambda data: None, 2, raw=True))
        while not all(int(newest.get(name, {}).get("published", 0)) for name in processes):
            camera.send()
            spin(0.2)
        timer = node.create_timer(1.0 / options.rate, camera.send)
        spin(WARM_UP_S)
        before = used()
        spin(options.seconds)
        for name, after in used().items():
            seconds, count = after - before[name]
            newest[name]["processor_ms"] = f"{1000 * seconds / max(count, 1):.1f}"
        node.destroy_timer(timer)
        for subscription in subscriptions:
            node.destroy_subscription(subscription)
    return newest


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each node, alone and beside the other, in each round; latencies are from stamp to publish.

    Medians of the rounds follow, if there are several.
    """
    rows: list[Row] = []
    with ros(), on_cores(options.camera_cores):
        node = rclpy.create_node("camera")
        camera = RgbdCamera(node, (options.width, options.height))
        for number in range(options.rounds):
            for title, nodes in SET_UPS:
                found = run(node, camera, options, nodes)
                for name in nodes:
                    rows.append({"round": number + 1} | row_of(title, name, found[name]))
                    yield rows[-1]
    if options.rounds > 1:
        of_a_round = len(rows) // options.rounds
        yield from (median_row(rows[first::of_a_round]) for first in range(of_a_round))


@contextmanager
def on_cores(cores: str) -> Iterator[None]:
    """All threads of this process are on some cores, as for ``taskset -c``, until the block ends."""
    before = every_core()
    _pin(cores)
    try:
        yield
    finally:
        _pin(before)


def every_core() -> str:
    """Those that this process may use, as for ``taskset -c``."""
    return ",".join(map(str, sorted(os.sched_getaffinity(0))))


def _pin(cores: str) -> None:
    subprocess.run(["taskset", "-acp", cores, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def row_of(title: str, name: str, values: Mapping[str, str]) -> Row:
    """What a node's diagnostics say."""
    figures = {"Hz": "rate_hz", "p50 ms": "stamp_to_publish_p50_ms", "p99 ms": "stamp_to_publish_p99_ms"}
    figures |= {"CPU ms": "processor_ms", "making p50 ms": "making_p50_ms", "making p99 ms": "making_p99_ms"}
    row: Row = {"run": title, "of": "labels" if name == LABELS else "clouds"}
    row |= {column: float(values[key]) if key in values else None for column, key in figures.items()}
    return row | {"failed": int(values["failed"]) if "failed" in values else None}


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
    cores = every_core()
    options.add_argument("--node-cores", default=cores, help="as for taskset -c; all unless given")
    options.add_argument("--cloud-cores", default=cores, help="as for taskset -c; all unless given")
    options.add_argument("--camera-cores", default=cores, help="of camera and listeners, as for taskset -c; all unless given")
    options.add_argument("--niceness", type=int, default=CloudConfig().niceness, help="the cloud node's parameter")
    options.add_argument("--rounds", type=int, default=1)
    return options


if __name__ == "__main__":
    arguments = parser().parse_args()
    machine = f"{len(os.sched_getaffinity(0))} cores at load {os.getloadavg()[0]:.1f}"
    print(f"{arguments.width}x{arguments.height} at {arguments.rate} Hz, {machine}:", flush=True)
    list(printed(measure(arguments)))
