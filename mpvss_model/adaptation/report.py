"""What an adaptation did, as a page with pictures and as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpvss_model.adaptation.teaching_set import TeachingSet
from mpvss_model.adaptation.verdict import Measured, Verdict
from mpvss_model.data import ClipSet, Frame
from mpvss_model.evaluation.study.report.pictures import Tile, tile_figure
from mpvss_model.evaluation.study.report.plots import save_figure
from mpvss_model.files import write_whole
from mpvss_model.overlay import PALETTE, overlay
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["NO_MIX_RISK", "AdaptationReport", "write_report"]

PICTURE = "before-after.png"
# Of the frames that gained most and of those that lost most.
PICTURED_EACH = 2
OPACITY = 0.6
NO_MIX_RISK = (
    "Nothing was mixed in: what the recordings do not show may have been forgotten, and nothing here tells. "
    "A labelled folder of the same classes for --mix, such as 'mpvss rooms' writes, prevents and measures that."
)


@dataclass(frozen=True)
class AdaptationReport:
    """All that is told of an adaptation.

    Attributes:
        teacher: Its name.
        student: Its name.
        sources: As the user gave them.
        teaching: Of what there was to learn from.
        steps: Of training.
        verdict: Whether the result is taken.
        photographs: Names of the clips that are no video.
    """

    teacher: str
    student: str
    sources: Sequence[str]
    teaching: TeachingSet
    steps: int
    verdict: Verdict
    photographs: Sequence[str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        verdict = self.verdict
        return {
            "taken": verdict.is_taken,
            "reason": verdict.reason,
            "teacher": self.teacher,
            "student": self.student,
            "sources": list(self.sources),
            "frames": dict(self.teaching.frames),
            "taught_share": self._taught_share,
            "photographs": list(self.photographs),
            "steps": self.steps,
            "held_back": _figures(verdict.held_back),
            "mixed": None if verdict.mixed is None else _figures(verdict.mixed),
        }

    def markdown(self) -> str:
        """The page."""
        verdict = self.verdict
        frames = self.teaching.frames
        parts = [
            f"# `{self.student}` adapted by `{self.teacher}`",
            f"**{verdict.reason[0].upper()}{verdict.reason[1:]}.**",
            f"- Recordings: {', '.join(f'`{source}`' for source in self.sources)}\n"
            f"- Frames: {frames['train']} taught, {frames['val']} were held back; {100 * self._taught_share:.0f} % of their "
            "pixels have a label: those of which the teacher is sure, or on which other frames or views agree\n"
            f"- Photographs rather than video: {', '.join(self.photographs) or 'none'}\n"
            f"- Training: {self.steps} steps, `recipe.yaml`",
            *([] if verdict.mixed is not None else [NO_MIX_RISK]),
            "## Held-back frames",
            f"IoU in % on {verdict.held_back.frames} frames, against the teacher's labels, which are no ground truth: a "
            "student that copies the teacher's mistakes is right here.",
            _table(verdict.held_back),
            *([] if verdict.mixed is None else ["## Mixed-in data", _mixed_text(verdict.mixed), _table(verdict.mixed)]),
            "## Pictures",
            "The held-back frames that gained most, then those that lost most.",
            f"![Frames before and after]({PICTURE})",
        ]
        return "\n\n".join(parts) + "\n"

    @property
    def _taught_share(self) -> float:
        return self.teaching.taught_pixels / max(self.teaching.pixels, 1)


def write_report(
    report: AdaptationReport, out: Path, held_back: ClipSet, *, before: VideoSegmentor, after: VideoSegmentor
) -> None:
    """Write ``report.md``, ``report.json`` and a picture, each whole or not at all.

    Args:
        report: What to tell.
        out: Folder.
        held_back: The clips that ``report.verdict.held_back`` is about.
        before: The model before.
        after: The model after.
    """
    _write_picture(report.verdict.held_back, out / PICTURE, held_back, (before, after))
    write_whole(out / "report.json", lambda path: path.write_text(json.dumps(report.as_dict(), indent=1) + "\n"))
    write_whole(out / "report.md", lambda path: path.write_text(report.markdown(), encoding="utf-8"))


def _write_picture(result: Measured, path: Path, held_back: ClipSet, models: tuple[VideoSegmentor, VideoSegmentor]) -> None:
    frames = [(clip.name, frame) for clip in held_back.clips for frame in clip.frames if frame.is_labelled]
    chosen = _most_changed(result)
    labels = [_labels([frames[i][1] for i in chosen], model) for model in models]
    rows = {}
    for place, i in enumerate(chosen):
        name, frame = frames[i]
        image, taught = frame.read_image(), frame.read_label()
        shown = [Tile(image), Tile(overlay(image, taught, OPACITY), "of the teacher")]
        for when, found, right in zip(("before", "after"), labels, result.agreement[:, i], strict=True):
            shown.append(Tile(overlay(image, found[place], OPACITY), f"{100 * right:.0f} % as the teacher, {when}"))
        rows[f"{name}\n{frame.name}"] = [*shown, Tile(labels[1][place])]
    columns = ["image", "labels that teach", "before", "after", "after, labels alone"]
    figure, seen = tile_figure(rows, columns, held_back.class_names or ())
    save_figure(figure, path, kept_colors=PALETTE[seen])


def _most_changed(result: Measured) -> list[int]:
    """Frames that gained most, then those that lost most."""
    gain = np.nan_to_num(result.agreement[1] - result.agreement[0])
    order = np.argsort(-gain, kind="stable").tolist()
    return list(dict.fromkeys([*order[:PICTURED_EACH], *order[-PICTURED_EACH:]]))


def _labels(frames: Sequence[Frame], segmentor: VideoSegmentor) -> list[np.ndarray]:
    found = []
    for frame in frames:
        segmentor.reset()
        found.append(segmentor.step(frame.read_image(), stamp_ns=frame.stamp_ns).labels)
    return found


def _figures(result: Measured) -> dict[str, Any]:
    return {
        "frames": result.frames,
        "miou": [_number(value) for value in result.miou],
        "iou_per_class": {name: [_number(value) for value in pair] for name, pair in result.iou_per_class.items()},
    }


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return value if math.isfinite(value) else None


def _mixed_text(result: Measured) -> str:
    return f"IoU in % on {result.frames} frames, against their ground truth."


def _table(result: Measured) -> str:
    rows = {**result.iou_per_class, "**mean**": result.miou}
    lines = ["| class | before | after | |", "| --- | ---: | ---: | ---: |"]
    for name, (before, after) in rows.items():
        change = f"{100 * (after - before):+.1f}" if math.isfinite(after - before) else ""
        cells = [name.replace("|", "\\|"), *(f"{100 * v:.1f}" if math.isfinite(v) else "-" for v in (before, after)), change]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)
