"""Key frames by ONNX Runtime and by OpenVINO beside the fast path, in one process, in turns, with one thread.

    python -m benchmarks.onnx_runtime [--models rooms-lite:640x480,r50:864x480] [--rounds N] [--json FILE]

Each model, a shipped one's name, a directory, or ``r50`` and the other backbones of the paper with random weights, is exported
for frames of its size. Times are of the network from a frame to mask logits, as processor time of the whole process, so that
others who use the machine count little; the least of all rounds. ``openvino`` is left out where it is not installed.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.rows import Row, printed
from mpvss_model.errors import ConfigError
from mpvss_model.evaluation.flops import parse_frame_size
from mpvss_model.image import resized
from mpvss_model.runtime.device import processor_name
from mpvss_model.runtime.threads import use_threads
from mpvss_model.segmentor.exported.export import export_network
from mpvss_model.segmentor.exported.network import ExportedNetwork
from mpvss_model.segmentor.mask2former.backbones import BACKBONES
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.semantics import best_labels
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_frames import bag_frames
from mpvss_ros.cli.common.json_output import write_json
from mpvss_ros.cli.common.options import SAMPLE_BAG

CPU = torch.device("cpu")
PROVIDERS = {"ONNX Runtime": "cpu", "OpenVINO": "openvino"}
FAST = "fast path"
VSPW_CLASSES = 124
# Masks and class logits of a frame.
Outputs = tuple[torch.Tensor, torch.Tensor]
Runner = Callable[[np.ndarray], Outputs]


def runners(location: str, file: Path) -> dict[str, Runner]:
    """Whatever can run a model here, by name, the fast path first."""
    segmentor = load_model(location, device=CPU).segmentor
    segmentor.accelerate(torch.float32)

    def fast(frame: np.ndarray) -> Outputs:
        key_frame = segmentor.segment(frame, 0.0)
        return key_frame.mask_logits, key_frame.class_logits

    found = {FAST: fast}
    for name, provider in PROVIDERS.items():
        try:
            found[name] = exported(ExportedNetwork(file, provider=provider))
        except ConfigError as error:
            print(f"  without {name}: {error}")
    return found


def exported(network: ExportedNetwork) -> Runner:
    """A network in ONNX Runtime."""

    def run(frame: np.ndarray) -> Outputs:
        masks, classes, _ = network.run(frame[None])
        return masks[0], classes[0]

    return run


def figures_of(location: str, size: str, folder: Path, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each runner, how often faster than the fast path it is, and its share of the fast path's labels."""
    frame_size = parse_frame_size(size)
    with Bag(SAMPLE_BAG) as bag:
        frame = resized(next(iter(bag_frames(bag, bag.image_topic(None)))).read_image(), frame_size)
    done = export_network(load_model(location, device=CPU).segmentor, folder / "network.onnx", frames=[frame])
    candidates = runners(location, done.file)
    labels = {
        name: best_labels(*run(frame), done.description.padding).numpy() for name, run in candidates.items()
    }  # which pays the first calls' costs, too
    least_s = dict.fromkeys(candidates, float("inf"))
    for _ in range(rounds):
        for name, run in candidates.items():
            started_s = time.process_time()
            run(frame)
            least_s[name] = min(least_s[name], time.process_time() - started_s)
    return {
        name: {
            "ms": 1e3 * least_s[name],
            "times_faster": least_s[FAST] / least_s[name],
            "same_labels": float((labels[name] == labels[FAST]).mean()),
        }
        for name in candidates
    }


@contextlib.contextmanager
def model_directory(model: str) -> Iterator[str]:
    """Of a model, or of one of the paper's backbones with random weights."""
    if model not in BACKBONES:
        yield model_location(model)
        return
    from mpvss_model.checkpoints.random_model import save_random_model

    frame = np.random.default_rng(0).integers(0, 255, (12, 16, 3), np.uint8).repeat(20, 0).repeat(20, 1)
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(model, Path(folder) / model, num_classes=VSPW_CLASSES, frame=frame)
        yield str(Path(folder) / model)


def all_figures(options: argparse.Namespace) -> Iterator[tuple[str, dict[str, dict[str, float]]]]:
    """Each entry of the models to measure, with the figures of its runners; one after the other."""
    use_threads(1)
    for entry in options.models.split(","):
        model, _, size = entry.rpartition(":")
        with tempfile.TemporaryDirectory() as folder, model_directory(model) as location:
            yield entry, figures_of(location, size, Path(folder), options.rounds)


def rows_of(entry: str, figures: dict[str, dict[str, float]]) -> list[Row]:
    """Of the table."""
    return [
        {
            "model": entry,
            "runner": name,
            "ms": row["ms"],
            "times faster": row["times_faster"],
            "same labels %": 100 * row["same_labels"],
        }
        for name, row in figures.items()
    ]


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """A row for each model and what runs it."""
    for entry, figures in all_figures(options):
        yield from rows_of(entry, figures)


def parser() -> argparse.ArgumentParser:
    """Of the command line."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--models", default="rooms-lite:640x480,r50:864x480", help="MODEL:WIDTHxHEIGHT, separated by commas")
    options.add_argument("--rounds", type=int, default=5, help="how often each runner has its turn")
    options.add_argument("--json", type=Path, help="file to write")
    return options


def main() -> None:
    """Run the benchmark."""
    options = parser().parse_args()
    print(f"{processor_name()}, one thread")
    figures = {}

    def rows() -> Iterator[Row]:
        for entry, found in all_figures(options):
            figures[entry] = found
            yield from rows_of(entry, found)

    list(printed(rows()))
    if options.json is not None:
        write_json(options.json, {"processor": processor_name(), "rounds": options.rounds, "models": figures})


if __name__ == "__main__":
    main()
