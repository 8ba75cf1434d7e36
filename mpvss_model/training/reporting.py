"""What a run tells while it goes on: a progress bar in terminals, and lines everywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from mpvss_model.data import ClipSet

__all__ = ["CLASS_PREFIX", "Reporter", "data_summary", "new_console"]

# Of the metrics of single classes.
CLASS_PREFIX = "iou/"


def new_console(*, visible: bool) -> Console:
    """On the standard error stream, so that results alone go to standard output."""
    return Console(stderr=True, quiet=not visible, highlight=False, soft_wrap=True)


class Reporter:
    """Writes a run's progress; a context manager.

    Args:
        console: Where to.
        title: Of the progress bar.
        steps: Of the run.
        first_step: Those that earlier parts of the run took.
    """

    def __init__(self, console: Console, *, title: str, steps: int, first_step: int) -> None:
        self._console = console
        self._steps = steps
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self._task = self._bar.add_task(title, total=steps, completed=first_step)

    def __enter__(self) -> Reporter:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def say(self, line: str) -> None:
        """Write a line."""
        self._console.print(line, markup=False)

    def advance(self, step: int) -> None:
        """Move the progress bar."""
        self._bar.update(self._task, completed=step)

    def losses(self, step: int, losses: Mapping[str, float], *, learning_rate: float, steps_per_s: float) -> None:
        """Say how it goes, with the mean losses of the last steps."""
        parts = ", ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = duration((self._steps - step) / steps_per_s) if steps_per_s else "unknown"
        self.say(
            f"step {step}/{self._steps}: loss {sum(losses.values()):.3f} ({parts}), learning rate {learning_rate:.2e}, "
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


def duration(seconds: float) -> str:
    """``"45 s"``, ``"12 min"`` or ``"3 h 05 min"``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60:02d} min"
