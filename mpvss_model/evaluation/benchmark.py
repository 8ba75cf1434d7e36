"""This project against ``transformers`` frame by frame: time, labels and memory, in one process, on the same frames."""

from __future__ import annotations

import re
import statistics
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.checkpoints.random_model import save_random_model
from mpvss_model.config import DEFAULT_MODEL, FRAME_SIZE, StreamConfig
from mpvss_model.errors import ConfigError, first_line
from mpvss_model.evaluation.timing import Stopwatch, Timings
from mpvss_model.image import resized
from mpvss_model.runtime.device import resolve_device
from mpvss_model.runtime.frame_parts import REST, FrameParts
from mpvss_model.segmentor.mask2former.reference import reference_labeller
from mpvss_model.segmentor.shipped_models import WEIGHTS_DIR
from mpvss_model.semantics import relevant_queries
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["PRESETS", "BenchmarkReport", "PartsReport", "Preset", "VariantReport", "parts_of_frames", "run_benchmark"]

STREAM_INTERVALS = (5, 10)
STREAM_FRAMES = 10
NUM_CLASSES = 124
TRANSFORMERS = "transformers"
COMPILED = "transformers, compiled, half"

Labeller = Callable[[np.ndarray, float], np.ndarray]


@dataclass(frozen=True)
class Preset:
    """What to measure.

    Attributes:
        model: A shipped model's name, or a backbone of the paper, which then gets random weights and a motion module.
        frame_size: Height and width in pixels.
    """

    model: str
    frame_size: tuple[int, int]


PRESETS = {
    "r50": Preset("r50", (480, 864)),
    "swin-t": Preset("swin-t", (480, 864)),
    "default-320x240": Preset(DEFAULT_MODEL, (240, 320)),
    "default-640x480": Preset(DEFAULT_MODEL, (480, 640)),
    "default-1920x1080": Preset(DEFAULT_MODEL, (1080, 1920)),
}


@dataclass
class VariantReport:
    """Figures of one way to label a stream.

    Attributes:
        name: Of the variant.
        frame_ms: Median time per frame; None if it could not be measured.
        ratio: How many times faster than ``transformers``.
        agreement: Share of pixels that get the same label as from ``transformers``.
        peak_mb: Highest resident memory of a process that does only this; on a GPU, of memory allocated there.
        left_out: Why it could not be measured.
    """

    name: str
    frame_ms: float | None = None
    ratio: float | None = None
    agreement: float | None = None
    peak_mb: float | None = None
    left_out: str = ""


@dataclass
class PartsReport:
    """Where the time of a kind of frame goes, from runs in which each part is waited for.

    They take longer than the others, in which processor and GPU work at the same time.

    Attributes:
        name: Of the variant with these frames.
        frame_ms: Median time per frame, with the waits.
        parts_ms: Median time of each part: ``flow``, optical flow on the processor; ``upload`` to the device; ``graph``,
            network, propagation or warp; ``labels`` of masks; ``download`` of the labels; ``rest``. On the CPU nothing is
            recorded as a graph, and uploads and downloads are next to nothing.
    """

    name: str
    frame_ms: float
    parts_ms: dict[str, float]


@dataclass
class BenchmarkReport:
    """Figures of one preset.

    Attributes:
        preset: Its name.
        frame_size: Height and width in pixels.
        device: Where the models ran.
        precision: Of this project's variants; once measured, what ``auto`` stood for, as `VideoSegmentor.precision` calls it.
        propagation: Likewise, and not ``auto`` once measured.
        threads: CPU threads.
        inference_size: Of this project, see `StreamConfig`.
        relevant_queries: Queries that matter in the last key frame, of how many.
        gemm_gflops: Multiplications and additions per second, in 1e9, of a large matrix product in fp32.
        conv_gflops: Likewise of a large 3x3 convolution.
        variants: In the order of the table.
        parts: Where the time of this project's frames goes, by the kind of frame.
    """

    preset: str
    frame_size: tuple[int, int]
    device: str
    precision: str
    propagation: str
    threads: int
    inference_size: int = FRAME_SIZE
    relevant_queries: tuple[int, int] = (0, 0)
    gemm_gflops: float = 0.0
    conv_gflops: float = 0.0
    variants: list[VariantReport] = field(default_factory=list)
    parts: list[PartsReport] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def run_benchmark(
    preset: str,
    frames: Sequence[np.ndarray],
    *,
    device: str = "auto",
    precision: str = "auto",
    propagation: str = "auto",
    inference_size: int = FRAME_SIZE,
    rounds: int = 3,
    compiled: bool = True,
    on_round: Callable[[int, int], None] = lambda done, total: None,
) -> BenchmarkReport:
    """Measure one preset.

    Args:
        preset: One of `PRESETS`.
        frames: At least 10 uint8 RGB images of the preset's size, of a video.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of this project, see `VideoSegmentor.from_pretrained`; ``transformers`` runs in fp32.
        propagation: Likewise; ``auto`` is segment-aware flow for the models with random weights.
        inference_size: Of this project, see `StreamConfig`; ``transformers`` sees the frames at their own size.
        rounds: How often each variant has its turn; the variants alternate.
        compiled: Whether to measure ``transformers`` with ``torch.compile``, too, which takes minutes to start.
        on_round: Called with the rounds done and their total.

    Raises:
        ConfigError: If there is no such preset, device, precision or propagation, or too few frames.
    """
    if preset not in PRESETS:
        raise ConfigError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    if len(frames) < STREAM_FRAMES:
        raise ConfigError(f"the benchmark needs {STREAM_FRAMES} frames, got {len(frames)}")
    torch_device = resolve_device(device)
    size = PRESETS[preset].frame_size
    report = BenchmarkReport(preset, size, _device_name(torch_device), precision, propagation, torch.get_num_threads())
    report.inference_size = inference_size
    report.gemm_gflops, report.conv_gflops = _ceilings(torch_device)
    with _model(PRESETS[preset].model, frames[0]) as location:
        _measure(report, location, frames, torch_device, rounds, compiled, on_round)
        for variant in report.variants:
            if variant.frame_ms is not None and not variant.name.endswith("frame"):
                variant.peak_mb = _in_new_process(
                    _peak_mb, variant.name, location, frames[:6], device, precision, propagation, inference_size
                )
    return report


def _measure(
    report: BenchmarkReport,
    location: str,
    frames: Sequence[np.ndarray],
    device: torch.device,
    rounds: int,
    compiled: bool,
    on_round: Callable[[int, int], None],
) -> None:
    plain = _transformers(location, device)
    plain(frames[0], 0.0)
    labellers: dict[str, Labeller] = {TRANSFORMERS: plain}
    left_out = {}
    if compiled:
        try:
            labellers[COMPILED] = _compiled(location, device)
            labellers[COMPILED](frames[0], 0.0)
        except Exception as error:  # no compiler shows in many ways
            labellers.pop(COMPILED, None)
            left_out[COMPILED] = f"torch.compile does not work here: {first_line(error)}"
    streams = {
        interval: _mpvss(location, device, report.precision, report.propagation, interval, report.inference_size)
        for interval in STREAM_INTERVALS
    }
    report.propagation = streams[STREAM_INTERVALS[0]].propagator.name
    report.precision = streams[STREAM_INTERVALS[0]].precision
    for stream in streams.values():
        stream.step(frames[0], 0.0)
        stream.step(frames[1], 0.1)
    times = Timings()
    same: dict[str, list[float]] = {}
    for i in range(rounds):
        expected = {}
        for name, labeller in labellers.items():
            # One frame is enough: they all cost the same.
            labels = times.call(name, labeller, frames[0], float(i))
            expected.setdefault("labels", labels)
            same.setdefault(name, []).append(float((labels == expected["labels"]).mean()))
        for interval, stream in streams.items():
            stream.reset()
            whole_s = 0.0
            for j, frame in enumerate(frames[:STREAM_FRAMES]):
                is_key = j % interval == 0
                name = _frame_name(is_key)
                result = times.call(name, stream.step, frame, i + j / STREAM_FRAMES)
                whole_s += times.seconds[name][-1]
                if j == 0:
                    same.setdefault(name, []).append(float((result.labels == expected["labels"]).mean()))
            times.add(f"mpvss, interval {interval}", whole_s / STREAM_FRAMES)
        on_round(i + 1, rounds)
    stream = streams[STREAM_INTERVALS[0]]
    report.parts = parts_of_frames(stream, frames[:STREAM_FRAMES], rounds=rounds, device=device)
    key_frame = stream.segmentor.segment(resized(frames[0], stream.inference_size(report.frame_size)), 0.0)
    queries = relevant_queries(key_frame.mask_logits, key_frame.class_logits, StreamConfig.query_tolerance)
    report.relevant_queries = len(queries), len(key_frame.queries)
    medians_ms = times.medians_ms()
    for name, median_ms in medians_ms.items():
        agreement = statistics.mean(same[name]) if name in same else None
        report.variants.append(VariantReport(name, median_ms, medians_ms[TRANSFORMERS] / median_ms, agreement))
    report.variants += [VariantReport(name, left_out=reason) for name, reason in left_out.items()]


def parts_of_frames(
    stream: VideoSegmentor, frames: Sequence[np.ndarray], *, rounds: int, device: torch.device
) -> list[PartsReport]:
    """Where the time of a stream's frames goes: of key frames, then of the others.

    Args:
        stream: Made ready for frames of this size; it begins anew with each round.
        frames: uint8 RGB images ``[H, W, 3]`` of a video.
        rounds: How often the frames are gone through.
        device: Where the stream's model runs.
    """
    seconds: dict[str, list[dict[str, float]]] = {}
    for i in range(rounds):
        stream.reset()
        for j, frame in enumerate(frames):
            with FrameParts(device) as parts:
                answer = stream.step(frame, i + j / len(frames))
            seconds.setdefault(_frame_name(answer.is_key_frame), []).append(parts.seconds)
    return [_parts_report(name, measured) for name, measured in seconds.items()]


def _parts_report(name: str, measured: Sequence[dict[str, float]]) -> PartsReport:
    """Of the seconds of each part of each frame."""
    names = [*dict.fromkeys(part for parts in measured for part in parts if part != REST), REST]
    return PartsReport(
        name,
        frame_ms=1e3 * statistics.median(sum(parts.values()) for parts in measured),
        parts_ms={part: 1e3 * statistics.median(parts.get(part, 0.0) for parts in measured) for part in names},
    )


def _frame_name(is_key_frame: bool) -> str:
    return f"mpvss, {'key' if is_key_frame else 'propagated'} frame"


def _transformers(location: str, device: torch.device, compiled: bool = False) -> Labeller:
    label = reference_labeller(location, device=device, compiled=compiled)
    return lambda frame, _stamp_s: label(frame)


def _compiled(location: str, device: torch.device) -> Labeller:
    return _transformers(location, device, compiled=True)


def _mpvss(
    location: str, device: torch.device, precision: str, propagation: str, interval: int, inference_size: int
) -> VideoSegmentor:
    return VideoSegmentor.from_pretrained(
        location,
        device=str(device),
        precision=precision,
        propagation=propagation,
        config=StreamConfig(max_interval_frames=interval, max_key_age_s=1e6, inference_size=inference_size),
    )


@contextmanager
def _model(name: str, frame: np.ndarray) -> Iterator[str]:
    """Where a preset's model lies; a random one is written for the time being."""
    if (WEIGHTS_DIR / name).is_dir():
        yield str(WEIGHTS_DIR / name)
        return
    with tempfile.TemporaryDirectory() as folder:
        save_random_model(name, Path(folder), num_classes=NUM_CLASSES, frame=frame)
        yield folder


def _in_new_process(function: Callable, *arguments: object):
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, torch.get_num_threads(), *arguments).result()


def _peak_mb(
    threads: int,
    name: str,
    location: str,
    frames: Sequence[np.ndarray],
    device: str,
    precision: str,
    propagation: str,
    inference_size: int,
) -> float:
    torch.set_num_threads(threads)
    torch_device = resolve_device(device)
    if name.startswith(TRANSFORMERS):
        labeller = _transformers(location, torch_device, compiled=name == COMPILED)
    else:
        labeller = _mpvss(location, torch_device, precision, propagation, int(name.split()[-1]), inference_size).step
    for i, frame in enumerate(frames):
        labeller(frame, float(i))
    if torch_device.type == "cuda":
        return torch.cuda.max_memory_allocated(torch_device) / 2**20
    # What getrusage tells includes the parent process, which this one was forked from.
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 2**10


@torch.inference_mode()
def _ceilings(device: torch.device) -> tuple[float, float]:
    """What the machine reaches in fp32 where nothing holds it up: GFLOP/s of a matrix product and of a convolution."""
    matrix = torch.randn(2048, 2048, device=device)
    image = torch.randn(1, 256, 120, 216, device=device).contiguous(memory_format=torch.channels_last)
    kernel = torch.randn(256, 256, 3, 3, device=device).contiguous(memory_format=torch.channels_last)
    products = (
        (2 * 2048**3, lambda: matrix @ matrix),
        (2 * image[0, 0].numel() * kernel.numel(), lambda: F.conv2d(image, kernel, padding=1)),
    )
    rates = []
    for flops, product in products:
        watch = Stopwatch()
        for _ in range(4):
            with watch:
                product()
                if device.type == "cuda":
                    torch.cuda.synchronize(device)
        rates.append(flops / min(watch.laps_s) / 1e9)
    return tuple(rates)


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
