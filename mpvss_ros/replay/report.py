"""What an evaluation leaves behind: ``report.json``, ``overlay.mp4`` and ``report.png``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np

from mpvss_model import DataError
from mpvss_model.class_names import distinct_names
from mpvss_model.config import DecodingConfig
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.evaluation.metrics import ConfusionMatrix
from mpvss_model.overlay import PALETTE, overlay
from mpvss_model.semantics import UNLABELED
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_frames import BROKEN_MESSAGE
from mpvss_ros.diagnostics.statistics import percentile
from mpvss_ros.replay.answers import LabelledFrame
from mpvss_ros.replay.evaluated_frames import EvaluatedFrame, evaluated_frames
from mpvss_ros.replay.frame_counts import FrameCounts
from mpvss_ros.replay.output_folder import output_folder
from mpvss_ros.replay.run_result import RunResult, RunSettings

__all__ = ["write_report"]

KEY_FRAME_COLOR = (255, 200, 0)
KEY_FRAME_BORDER_PX = 4
DEFAULT_FRAME_RATE_HZ = 15.0
OVERLAY_ALPHA = 0.6
MAX_PICTURE_SIDE_PX = 4096


def write_report(
    out_dir: Path,
    *,
    bag: Bag,
    topic: str,
    answers: Mapping[int, LabelledFrame],
    class_names: tuple[str, ...],
    settings: RunSettings,
    counts: FrameCounts | None = None,
    decoding: DecodingConfig | None = None,
) -> RunResult:
    """Evaluate the answers and write the three files, all or none of them.

    Ground truth with labels that the model does not have belongs to other classes and is not compared with.

    Args:
        out_dir: Is made if need be.
        bag: Where the camera frames and the ground truth are.
        topic: Of the camera.
        answers: By the number of their camera frame in the bag, from 0.
        class_names: Of the model.
        settings: What was replayed, and how.
        counts: What the node says of frames without an answer, if anything.
        decoding: Of the bag's images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If the bag's frames cannot be read, or nothing can be written to the folder.
    """
    with output_folder(out_dir) as folder:
        # Room for any label, since the recording may have been labelled with other classes than the model's.
        confusion = ConfusionMatrix(UNLABELED)
        source = SourceCounts()
        frames = evaluated_frames(bag, topic, answers, confusion, source, decoding=decoding)
        timeline = _write_video(folder / "overlay.mp4", frames, class_names)
        notes = source.ground_truth_lines()
        if confusion.counts[len(class_names) :].any():
            confusion = ConfusionMatrix(len(class_names))
            timeline = [replace(moment, miou=float("nan")) for moment in timeline]
            notes.append(
                "the ground truth has labels beyond the model's classes, so it belongs to other classes: nothing "
                "was compared with it"
            )
        dropped = bag.count(topic) - len(answers)
        latencies_ms = [moment.latency_ms for moment in timeline if moment.is_answered]
        counts = counts or FrameCounts()
        iou_per_class = zip(distinct_names(class_names), confusion.iou_per_class[: len(class_names)], strict=True)
        result = RunResult(
            frames_in=bag.count(topic),
            labels_out=len(answers),
            dropped=dropped,
            dropped_by_reason=_dropped_by_reason(dropped, {**counts.refused, BROKEN_MESSAGE: source.left_out[BROKEN_MESSAGE]}),
            last_refusal=counts.last_refusal,
            key_frames=sum(moment.is_key_frame for moment in timeline),
            miou=_number(confusion.miou),
            weighted_iou=_number(confusion.weighted_iou),
            iou_per_class={name: _number(iou) for name, iou in iou_per_class},
            ground_truth_left_out=dict(source.ground_truth_left_out),
            notes=notes,
            latency_p50_ms=_number(percentile(latencies_ms, 50)),
            latency_p99_ms=_number(percentile(latencies_ms, 99)),
            settings=settings,
        )
        _write_plot(folder / "report.png", timeline)
        (folder / "report.json").write_text(json.dumps(result.as_dict(), indent=2) + "\n")
    return result


def _dropped_by_reason(dropped: int, known: Mapping[str, int]) -> dict[str, int]:
    """Those of known reasons; whatever there is beside them was lost on the way."""
    by_reason = {reason: count for reason, count in known.items() if count}
    lost = dropped - sum(by_reason.values())
    return {**by_reason, "no answer": lost} if lost > 0 else by_reason


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return None if np.isnan(value) else round(float(value), 4)


@dataclass(frozen=True)
class Moment:
    """What the plot shows of one frame; labels and image would not fit into memory for all of them.

    Attributes:
        time_s: In the recording, since its first frame.
        miou: Of this frame alone; NaN without ground truth or answer.
        is_answered: Whether there are labels.
        is_key_frame: Whether they were segmented rather than propagated.
        latency_ms: From the frame to its labels; NaN if there are none.
    """

    time_s: float
    miou: float
    is_answered: bool
    is_key_frame: bool
    latency_ms: float

    @classmethod
    def from_frame(cls, frame: EvaluatedFrame, *, first_ns: int) -> Moment:
        """Keep the figures."""
        time_s, answer = (frame.stamp_ns - first_ns) * 1e-9, frame.answer
        if answer is None:
            return cls(time_s, frame.miou, False, False, float("nan"))
        return cls(time_s, frame.miou, True, answer.is_key_frame, answer.latency_ms)


def _write_video(path: Path, frames: Iterable[EvaluatedFrame], class_names: tuple[str, ...]) -> list[Moment]:
    """Camera image and labels side by side. Returns the frames' figures."""
    timeline: list[Moment] = []
    writer, legend, size, first_ns = None, None, None, 0
    for frame in frames:
        if writer is None:
            first_ns = frame.stamp_ns
            picture_width, picture_height = _picture_size(frame.image)
            legend = _legend(class_names, picture_width)
            size = (picture_width, picture_height + legend.shape[0])
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), DEFAULT_FRAME_RATE_HZ, size)
            if not writer.isOpened():
                raise DataError(f"cannot write a video of {size[0]} x {size[1]} pixels with OpenCV {cv2.__version__}")
        timeline.append(Moment.from_frame(frame, first_ns=first_ns))
        picture = cv2.resize(_side_by_side(frame), (size[0], size[1] - legend.shape[0]))
        writer.write(cv2.cvtColor(np.vstack([picture, legend]), cv2.COLOR_RGB2BGR))
    if writer is None:
        raise DataError("the bag has no camera frame that can be decoded")
    writer.release()
    return timeline


def _picture_size(image: np.ndarray) -> tuple[int, int]:
    """Width and height of two images side by side, made smaller if MPEG-4 could not hold them; the width is even."""
    height, width = image.shape[:2]
    scale = min(1.0, MAX_PICTURE_SIDE_PX / (2 * width), MAX_PICTURE_SIDE_PX / height)
    return 2 * max(1, int(width * scale)), max(1, int(height * scale))


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


def _write_plot(path: Path, timeline: list[Moment]) -> None:
    # matplotlib is slow to import, and nothing else here needs it.
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (miou_axis, latency_axis) = pyplot.subplots(2, 1, sharex=True, figsize=(9, 5.5), constrained_layout=True)
    miou_axis.plot([moment.time_s for moment in timeline], [moment.miou for moment in timeline], color="#2563a8")
    miou_axis.set(ylabel="mIoU of the frame", ylim=(0, 1), title="Labels against ground truth, and how long they took")
    if all(np.isnan(moment.miou) for moment in timeline):
        note = "no ground truth of the model's classes in this bag"
        miou_axis.text(0.5, 0.5, note, ha="center", transform=miou_axis.transAxes)
    for kind, is_key, color in (("key frames", True, "#d97706"), ("propagated", False, "#2563a8")):
        points = [(m.time_s, m.latency_ms) for m in timeline if m.is_answered and m.is_key_frame == is_key]
        latency_axis.scatter(*zip(*points, strict=True), s=12, color=color, label=kind) if points else None
    latency_axis.set(xlabel="time in the recording [s]", ylabel="latency [ms]", ylim=(0, None))
    latency_axis.legend(loc="upper right")
    for axis in (miou_axis, latency_axis):
        axis.grid(alpha=0.3)
    figure.savefig(path, dpi=110)
    pyplot.close(figure)
