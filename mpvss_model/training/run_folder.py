"""The folder of a training run: its configuration, checkpoints that it goes on from, and the best model so far.

Each checkpoint is a model directory; what else the run needs to go on lies in its folder ``state``.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mpvss_model.errors import ConfigError
from mpvss_model.text_files import read_json_object

__all__ = ["STATE_DIR", "Progress", "RunFolder"]

RUN_DIR = "training"
BEST_DIR = "best"
CHECKPOINT_PREFIX = "checkpoint-"
STATE_DIR = "state"
PROGRESS_FILE = "progress.json"
VALIDATION_FILE = "validation.json"
# May be changed between a run and its continuation.
RUNTIME_SETTINGS = (
    "steps",
    "workers",
    "log_interval",
    "checkpoint_interval",
    "checkpoint_minutes",
    "validation_interval",
    "validation_clips",
    "max_minutes",
)


@dataclass(frozen=True)
class Progress:
    """How far a run has come.

    Attributes:
        step: Optimizer steps taken.
        minutes: That they took, validations and earlier parts of the run included.
        is_validated: Whether the validation that is due after the last of them, if one is, is done.
    """

    step: int = 0
    minutes: float = 0.0
    is_validated: bool = False


class RunFolder:
    """Where a run writes.

    Args:
        out_dir: The model directory that the run is to make.
    """

    def __init__(self, out_dir: Path) -> None:
        self.out_dir = out_dir
        self.path = out_dir / RUN_DIR
        self.best = out_dir / BEST_DIR

    def prepare(self, settings: Mapping[str, Any], *, resume: bool) -> None:
        """Make the folder, or check that the run in it had the same settings, but for those that may change.

        Args:
            settings: The configuration, nested.
            resume: Whether the run that the folder holds goes on; else it is deleted.

        Raises:
            ConfigError: If the settings differ, or nothing can be written there.
        """
        record = self.path / "config.json"
        if (self.out_dir / "config.json").exists() and not record.exists():
            raise ConfigError(f"{self.out_dir} holds a model that was not trained there: choose another output directory")
        if not resume:
            for folder in [*self.checkpoints(), self.path / "logs", self.best]:
                shutil.rmtree(folder, ignore_errors=True)
        settings = json.loads(json.dumps(settings))
        if self.checkpoints():
            self._check_unchanged(settings, read_json_object(record, ConfigError))
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            _write_json(record, settings)
        except OSError as error:
            raise ConfigError(f"cannot write to output directory {self.out_dir}: {error.strerror}") from error

    def _check_unchanged(self, settings: Mapping[str, Any], recorded: Mapping[str, Any]) -> None:
        changed = [name for name in settings if name not in RUNTIME_SETTINGS and settings[name] != recorded.get(name)]
        if changed:
            raise ConfigError(
                f"{self.path} holds a run with other settings ({', '.join(changed)}): continue it with its own, choose "
                "another output directory, or start over (--restart)"
            )
        done = self.progress().step
        if settings["steps"] < done:
            raise ConfigError(
                f"{self.path} holds a run of {done} steps, more than steps: {settings['steps']}: raise steps, or start over "
                "without resuming"
            )

    def checkpoints(self) -> list[Path]:
        """Those that are whole, the newest last."""
        return sorted(self.path.glob(f"{CHECKPOINT_PREFIX}*"))

    def progress(self) -> Progress:
        """Of the newest checkpoint."""
        found = self.checkpoints()
        return Progress(**read_json_object(found[-1] / STATE_DIR / PROGRESS_FILE, ConfigError)) if found else Progress()

    def newest_state(self) -> Path | None:
        """The folder that the newest checkpoint's state was written to."""
        found = self.checkpoints()
        return found[-1] / STATE_DIR if found else None

    def unfinished(self) -> Path:
        """A folder to write a checkpoint to before it is one."""
        return self.path / "unfinished"

    def add_checkpoint(self, progress: Progress, save_model: Callable[[Path], None]) -> None:
        """Make a checkpoint of a model and the state in `unfinished`, and only then remove older ones."""
        partial, older = self.unfinished(), self.checkpoints()
        save_model(partial)
        _write_json(partial / STATE_DIR / PROGRESS_FILE, asdict(progress))
        partial.rename(self.path / f"{CHECKPOINT_PREFIX}{progress.step:08d}")
        for checkpoint in older:
            shutil.rmtree(checkpoint)

    def note_validation(self, step: int) -> None:
        """Say in the newest checkpoint, if it is that of ``step``, that a run that goes on from it need not validate again."""
        progress = self.progress()
        if self.checkpoints() and progress.step == step:
            _write_json(self.checkpoints()[-1] / STATE_DIR / PROGRESS_FILE, asdict(replace(progress, is_validated=True)))

    def best_metrics(self) -> Mapping[str, float]:
        """What the best model so far was validated with, and its ``step``; empty if there is none."""
        file = self.best / VALIDATION_FILE
        return read_json_object(file, ConfigError) if file.is_file() else {}

    def keep_best(self, metrics: Mapping[str, float], save_model: Callable[[Path], None]) -> None:
        """Make a model the best one.

        Args:
            metrics: By name; among them ``step``.
            save_model: Writes the model into a folder.
        """
        partial = self.path / "unfinished-best"
        shutil.rmtree(partial, ignore_errors=True)
        save_model(partial)
        _write_json(partial / VALIDATION_FILE, metrics)
        shutil.rmtree(self.best, ignore_errors=True)
        partial.rename(self.best)

    def write_model(self, save_model: Callable[[Path], None]) -> None:
        """Put whole files in their places, config.json last: without it, a directory is no model."""
        partial = self.path / "unfinished-model"
        shutil.rmtree(partial, ignore_errors=True)
        save_model(partial)
        for file in sorted(partial.iterdir(), key=lambda file: file.name == "config.json"):
            os.replace(file, self.out_dir / file.name)
        partial.rmdir()


def _write_json(path: Path, values: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".unfinished")
    partial.write_text(json.dumps(values, indent=2) + "\n")
    os.replace(partial, path)
