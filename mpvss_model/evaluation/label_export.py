"""Label images as the servers of benchmarks take them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

import numpy as np
from PIL import Image

from mpvss_model.data import Frame
from mpvss_model.data.cityscapes import CLASS_VALUES
from mpvss_model.data.class_order import indices_by_name
from mpvss_model.data.vspw import VSPW_CLASSES
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["EXPORTS", "LabelExport"]


@dataclass(frozen=True)
class ExportFormat:
    """How a benchmark wants its label images.

    Attributes:
        values: By class name, the class's value; None for the model's class indices.
        unlabeled: Of pixels without a label.
        labelled_only: Whether frames without ground truth are left out.
        file_name: From the clip's and the frame's name.
    """

    values: dict[str, int] | None
    unlabeled: int
    labelled_only: bool
    file_name: Callable[[str, str], str]


# VSPW: class indices from 0, "wall", as its code saves and compares them; its masks count from 1.
# Cityscapes: the ids of gtFine_labelIds, in one folder, found by their first three parts: city, sequence and frame.
EXPORTS = {
    "index": ExportFormat(None, UNLABELED, False, lambda clip, frame: f"{clip}/{frame}.png"),
    "vspw": ExportFormat(
        {name: index for index, name in enumerate(VSPW_CLASSES)}, UNLABELED, False, lambda clip, frame: f"{clip}/{frame}.png"
    ),
    "cityscapes": ExportFormat(CLASS_VALUES, 0, True, lambda clip, frame: f"{frame.removesuffix('_leftImg8bit')}_pred.png"),
}


class LabelExport:
    """A folder of 8-bit PNG files with the labels of frames, which appears whole when the ``with`` block ends well.

    Args:
        folder: Must not exist, or be empty.
        ids: One of `EXPORTS`: whose ids and file names.

    Raises:
        ConfigError: If there are no such ids.
        DataError: If there is something in the folder.
    """

    def __init__(self, folder: Path, ids: str = "index") -> None:
        if ids not in EXPORTS:
            raise ConfigError(f"ids must be one of {', '.join(EXPORTS)}, got {ids!r}")
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{str(folder)!r} is there already: labels go to a folder that is new or empty")
        self.folder = folder
        self._ids = ids
        self._format = EXPORTS[ids]
        self._unfinished = folder.with_name(f".unfinished-{folder.name}")
        self._clip = ""
        self._value_of = np.zeros(UNLABELED + 1, np.uint8)

    def __enter__(self) -> LabelExport:
        shutil.rmtree(self._unfinished, ignore_errors=True)
        self._unfinished.mkdir(parents=True)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if kind is None:
            os.replace(self._unfinished, self.folder)  # an empty folder makes room
        else:
            shutil.rmtree(self._unfinished, ignore_errors=True)

    def use_classes(self, class_names: Sequence[str], model_name: str) -> None:
        """Say which classes the labels stand for; upper and lower case, spaces, ``_`` and ``-`` make no difference.

        Args:
            class_names: By class index of the model.
            model_name: For messages.

        Raises:
            DataError: If they are not those of the benchmark.
        """
        values = [*range(len(class_names))]
        if self._format.values is not None:
            indices = indices_by_name(list(self._format.values), class_names)
            if indices is None:
                raise DataError(
                    f"model {model_name!r} has other classes than {self._ids}: its ids cannot be written; use --ids index"
                )
            for index, value in zip(indices, self._format.values.values(), strict=True):
                values[index] = value
        self._value_of[:] = self._format.unlabeled
        self._value_of[: len(values)] = values

    def start_clip(self, name: str) -> None:
        """Say that the next frame belongs to another clip."""
        self._clip = name

    def write(self, frame: Frame, labels: np.ndarray) -> None:
        """Write the labels of the clip's next frame, uint8 ``[H, W]``.

        Raises:
            DataError: If there is a file of that name already.
        """
        if self._format.labelled_only and not frame.is_labelled:
            return
        path = self._unfinished / self._format.file_name(self._clip, frame.name or str(frame.stamp_ns))
        if path.exists():
            raise DataError(f"two frames would be called {path.relative_to(self._unfinished)} with --ids {self._ids}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(self._value_of[labels]).save(path)
