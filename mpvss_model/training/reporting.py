"""What a run tells while it goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mpvss_model.data import ClipSet
from mpvss_model.runtime.progress import ProgressReporter, duration

__all__ = ["CLASS_PREFIX", "Reporter", "data_summary"]

# Of the metrics of single classes.
CLASS_PREFIX = "iou/"


class Reporter(ProgressReporter):
    """Writes a run's losses and validations; a context manager."""

    def losses(self, step: int, losses: Mapping[str, float], *, learning_rate: float, steps_per_s: float) -> None:
        """Say how it goes, with the mean losses of the last steps."""
        parts = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = duration((self._total - step) / steps_per_s)
        self.say(
            f"step {step}/{self._total}: loss {sum(losses.values()):.3f} ({parts}), learning rate {learning_rate:.2e}, "
            f"{steps_per_s:.2f} steps/s, {left} left"
        )

    def validation(self, step: int, metrics: Mapping[str, float]) -> None:
        """Say how good the model is, without what the validation clips cannot tell."""
        known = {name: value for name, value in metrics.items() if math.isfinite(value)}
        totals = ", ".join(f"{name} {value:.4f}" for name, value in known.items() if not name.startswith(CLASS_PREFIX))
        if not known:
            return
        self.say(f"step {step}: {totals}")
        classes = [
            f"{name.removeprefix(CLASS_PREFIX)} {value:.3f}" for name, value in known.items() if name.startswith(CLASS_PREFIX)
        ]
        if classes:
            self.say(f"  IoU: {', '.join(classes)}")


def data_summary(role: str, clips: ClipSet) -> str:
    """One line about clips: ``training on ...: 3 clips, 367 of 367 frames labelled, 11 classes (sky, ...)``."""
    frames = [frame for clip in clips.clips for frame in clip.frames]
    labelled = sum(frame.is_labelled for frame in frames)
    names = clips.class_names or ()
    return (
        f"{role} on {clips.name}: {len(clips.clips)} clips, {labelled} of {len(frames)} frames labelled, {len(names)} classes "
        f"({', '.join(names)})"
    )
