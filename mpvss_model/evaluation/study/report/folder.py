"""The folder that a study writes to, which may hold an earlier one, or something else."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mpvss_model.errors import ConfigError
from mpvss_model.text_files import read_json_object

__all__ = ["PAGE_FILE", "PICTURE_PREFIX", "PLOT_FILES", "STUDY_FILE", "StudyFolder"]

STUDY_FILE = "study.json"
PAGE_FILE = "README.md"
PLOT_FILES = ("miou_over_interval.png", "miou_over_distance.png", "robustness.png")
PICTURE_PREFIX = "worst-"
CACHE_DIR = ".cache"
UNFINISHED_DIR = ".unfinished"


class StudyFolder:
    """Holds the result of one study, and what was measured for it.

    A new study of the same model takes the place of the old one, with all its pictures. Other files stay as they are.

    Args:
        path: Of the folder.
        model: Where the model is, as the user gave it.
    """

    def __init__(self, path: Path, model: str) -> None:
        self._path = path
        self._model = model

    @property
    def cache_dir(self) -> Path:
        """For what was measured on single clips; a folder for each source."""
        return self._path / CACHE_DIR

    def check(self, *, overwrite: bool) -> None:
        """Find out early, before hours of work, whether the folder may get the result. Changes nothing.

        Args:
            overwrite: Whether the study of another model may be replaced.

        Raises:
            ConfigError: If it is a file, or holds the study of another model, or files of a study's names that no study wrote.
        """
        if self._path.exists() and not self._path.is_dir():
            raise ConfigError(
                f"cannot write a study to {str(self._path)!r}: there is a file; choose another folder with --out"
            )
        if not (self._path / STUDY_FILE).is_file():
            names = [PAGE_FILE, STUDY_FILE, *PLOT_FILES, *(file.name for file in self._path.glob(f"{PICTURE_PREFIX}*.png"))]
            for name in names:
                if os.path.lexists(self._path / name):
                    raise ConfigError(f"{self._path} holds {name}, which no study wrote: choose another folder with --out")
            return
        model = self._recorded()["model_location"]
        if os.path.normpath(model) != os.path.normpath(self._model) and not overwrite:
            raise ConfigError(
                f"{self._path} holds a study of model {model!r}, not of {self._model!r}: choose another folder with --out, or "
                "replace that study with --overwrite"
            )

    def make(self) -> None:
        """Make the folder, if there is none.

        Raises:
            ConfigError: If nothing can be written there.
        """
        try:
            self.cache_dir.mkdir(parents=True, exist_ok=True)
            self._new_folder().rmdir()
        except OSError as error:
            raise ConfigError(
                f"cannot write a study to {str(self._path)!r}: {error.strerror}; choose another folder with --out"
            ) from error

    @contextmanager
    def result(self) -> Iterator[Path]:
        """A folder to write all files of the result to.

        They take the place of an earlier result when the block ends; if it ends with an error, nothing does.
        """
        new = self._new_folder()
        try:
            yield new
            self._put_in_place(new)
        finally:
            shutil.rmtree(new, ignore_errors=True)

    def _new_folder(self) -> Path:
        new = self._path / UNFINISHED_DIR
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir()
        return new

    def _put_in_place(self, new: Path) -> None:
        # study.json first: should this be cut short, it names every file that is a study's.
        files = sorted(new.iterdir(), key=lambda file: file.name != STUDY_FILE)
        if (self._path / STUDY_FILE).is_file():
            for picture in self._recorded_pictures() - {file.name for file in files}:
                (self._path / picture).unlink(missing_ok=True)
        for file in files:
            os.replace(file, self._path / file.name)

    def _recorded(self) -> dict[str, Any]:
        """What the earlier study found.

        Raises:
            ConfigError: If no study wrote the file.
        """
        file = self._path / STUDY_FILE
        recorded = read_json_object(file, ConfigError)
        if not {"model_location", "sources"} <= recorded.keys():
            raise ConfigError(f"{file} was not written by this version of a study: choose another folder with --out")
        return recorded

    def _recorded_pictures(self) -> set[str]:
        """Names of the earlier study's pictures, none of them anywhere else."""
        return {Path(name).name for source in self._recorded()["sources"] for name in source["pictures"].values()}
