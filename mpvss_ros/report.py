"""What an evaluation leaves behind: ``report.json``, ``overlay.mp4`` and ``report.png``."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np

from mpvss_model import DataError
from mpvss_model.class_names import distinct_names
from mpvss_model.files import write_whole
from mpvss_model.metrics import ConfusionMatrix
from mpvss_model.semantics import UNLABELED
from mpvss_ros.bag import Bag
from mpvss_ros.evaluation import EvaluatedFrame, LabelledFrame, evaluated_frames
from mpvss_ros.overlay import PALETTE, overlay
from mpvss_ros.statistics import percentile

__all__ = ["write_report"]

KEY_FRAME_COLOR = (255, 200, 0)
KEY_FRAME_BORDER_PX = 4
DEFAULT_FRAME_RATE_HZ = 15.0
OVERLAY_ALPHA = 0.6


def write_report(
    out_dir: Path,
    *,
    bag: Bag,
    topic: str,
    answers: dict[int, LabelledFrame],
    class_names: tuple[str, ...],
    settings: dict[str, object],
) -> dict[str, object]:
    """Evaluate the answers and write the three files, each whole or not at all.

    Ground truth with labels that the model does not have belongs to other classes and is not compared with.

    Args:
        out_dir: Is made if need be.
        bag: Where the camera frames and the ground truth are.
        topic: Of the camera.
        answers: By stamp in nanoseconds.
        class_names: Of the model.
        settings: Further entries of the report, such as the model and the interval.

    Returns:
        The contents of ``report.json``.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    # Room for any label, since the recording may have been labelled with other classes than the model's.
    confusion = ConfusionMatrix(UNLABELED)
    frames = evaluated_frames(bag, topic, answers, confusion)
    timeline = _write_video(out_dir / "overlay.mp4", frames, class_names)
    if confusion.counts[len(class_names) :].any():
        confusion = ConfusionMatrix(len(class_names))
        timeline = [(replace(frame, miou=float("nan")), time_s) for frame, time_s in timeline]
    latencies_ms = [answer.latency_ms for answer in answers.values()]
    report = {
        "frames_in": bag.count(topic),
        "labels_out": len(answers),
        "dropped": bag.count(topic) - len(answers),
        "key_frames": sum(answer.is_key_frame for answer in answers.values()),
        "miou": _number(confusion.miou),
        "weighted_iou": _number(confusion.weighted_iou),
        "iou_per_class": {name: _number(iou) for name, iou in zip(distinct_names(class_names), confusion.iou_per_class)},
        "latency_ms": {f"p{p}": _number(percentile(latencies_ms, p)) for p in (50, 99)},
        **settings,
    }
    _write_plot(out_dir / "report.png", timeline)
    write_whole(out_dir / "report.json", lambda path: path.write_text(json.dumps(report, indent=2) + "\n"))
    return report


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else round(float(value), 4)


def _write_video(
    path: Path, frames: Iterable[EvaluatedFrame], class_names: tuple[str, ...]
) -> list[tuple[EvaluatedFrame, float]]:
    """Camera image and labels side by side. Returns the frames without their images, each with its time in seconds."""
    timeline: list[tuple[EvaluatedFrame, float]] = []
    unfinished = path.with_name(f".unfinished-{path.name}")
    writer, legend, size = None, None, None
    for frame in frames:
        if writer is None:
            legend = _legend(class_names, frame.image.shape[1] * 2)
            size = (frame.image.shape[1] * 2, frame.image.shape[0] + legend.shape[0])
            writer = cv2.VideoWriter(str(unfinished), cv2.VideoWriter_fourcc(*"mp4v"), DEFAULT_FRAME_RATE_HZ, size)
        first_ns = timeline[0][0].stamp_ns if timeline else frame.stamp_ns
        timeline.append((replace(frame, image=None), (frame.stamp_ns - first_ns) * 1e-9))
        picture = cv2.resize(_side_by_side(frame), (size[0], size[1] - legend.shape[0]))
        writer.write(cv2.cvtColor(np.vstack([picture, legend]), cv2.COLOR_RGB2BGR))
    if writer is None:
        raise DataError("the bag has no camera frame that can be decoded")
    writer.release()
    os.replace(unfinished, path)
    return timeline


def _side_by_side(frame: EvaluatedFrame) -> np.ndarray:
    if frame.answer is None:
        return np.hstack([frame.image, np.zeros_like(frame.image)])
    labelled = overlay(frame.image, frame.answer.labels, OVERLAY_ALPHA)
    if frame.answer.is_key_frame:
        height, width = labelled.shape[:2]
        cv2.rectangle(labelled, (0, 0), (width - 1, height - 1), KEY_FRAME_COLOR, KEY_FRAME_BORDER_PX)
        cv2.putText(labelled, "KEY", (10, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.6, KEY_FRAME_COLOR, 2, cv2.LINE_AA)
    return np.hstack([frame.image, labelled])


def _legend(class_names: tuple[str, ...], width: int, limit: int = 24) -> np.ndarray:
    """Coloured boxes with the classes' names, uint8 RGB ``[h, width, 3]``."""
    columns = max(1, width // 106)
    shown = class_names[:limit]
    rows = -(-len(shown) // columns)
    legend = np.full((rows * 18 + 6, width, 3), 24, np.uint8)
    for i, name in enumerate(shown):
        x, y = 6 + i % columns * 106, 6 + i // columns * 18
        cv2.rectangle(legend, (x, y), (x + 12, y + 12), PALETTE[i].tolist(), cv2.FILLED)
        cv2.putText(legend, name[:12], (x + 18, y + 11), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (230, 230, 230), 1, cv2.LINE_AA)
    return np.pad(legend, ((0, legend.shape[0] % 2), (0, 0), (0, 0)))


def _write_plot(path: Path, timeline: list[tuple[EvaluatedFrame, float]]) -> None:
    # matplotlib is slow to import, and nothing else here needs it.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    answered = [(frame, time_s) for frame, time_s in timeline if frame.answer is not None]
    figure, (miou_axis, latency_axis) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5.5), constrained_layout=True)
    times_s = [time_s for _, time_s in timeline]
    miou_axis.plot(times_s, [frame.miou for frame, _ in timeline], color="#2563a8")
    miou_axis.set(ylabel="mIoU of the frame", ylim=(0, 1), title="Labels against ground truth, and how long they took")
    if all(np.isnan(frame.miou) for frame, _ in timeline):
        note = "no ground truth of the model's classes in this bag"
        miou_axis.text(0.5, 0.5, note, ha="center", transform=miou_axis.transAxes)
    for kind, is_key, color in (("key frames", True, "#d97706"), ("propagated", False, "#2563a8")):
        points = [(time_s, frame.answer.latency_ms) for frame, time_s in answered if frame.answer.is_key_frame == is_key]
        latency_axis.scatter(*zip(*points), s=12, color=color, label=kind) if points else None
    latency_axis.set(xlabel="time in the recording [s]", ylabel="latency [ms]", ylim=(0, None))
    latency_axis.legend(loc="upper right")
    for axis in (miou_axis, latency_axis):
        axis.grid(alpha=0.3)
    write_whole(path, lambda unfinished: figure.savefig(unfinished, dpi=110, format="png"))
    pyplot.close(figure)
