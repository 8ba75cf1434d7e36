"""A folder of labels in the making, in the folder layout of `mpvss_model.data.folder`.

::

    <root>/classes.txt                 the classes
    <root>/labelling.json              what the labels were made with
    <root>/<clip>/images/*             the frames: linked, copied, or as PNG
    <root>/<clip>/labels/*.png         class indices, 255 for unlabeled
    <root>/<clip>/confidence/*.png     0..255
    <root>/<clip>/frames.csv           a line for each frame that is done: name, stamp, stamp of its key frame
"""

from __future__ import annotations

import csv
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from mpvss_model.data.clip import Frame
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.images.jpeg import JPEG_START
from mpvss_model.text_files import read_json_object, read_text

__all__ = ["CONFIDENCE_LEVELS", "ClipLabels", "FrameRow", "LabelFolder"]

SETTINGS_FILE, CLASSES_FILE, FRAMES_FILE, UNFINISHED = "labelling.json", "classes.txt", "frames.csv", ".unfinished"
COLUMNS = ("frame", "stamp_ns", "key_stamp_ns")
CONFIDENCE_LEVELS = 255


@dataclass(frozen=True)
class FrameRow:
    """A frame that is done.

    Attributes:
        name: Of its files, without suffix.
        stamp_ns: When it was taken.
        key_stamp_ns: Of the key frame that its masks come from.
    """

    name: str
    stamp_ns: int
    key_stamp_ns: int

    @property
    def is_key_frame(self) -> bool:
        """Whether it was segmented itself."""
        return self.stamp_ns == self.key_stamp_ns


class LabelFolder:
    """Files appear in it whole or not at all, so that work can stop at any moment and go on.

    Args:
        root: Its path.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def prepare(self, settings: Mapping[str, Any], class_names: Sequence[str]) -> None:
        """Make the folder, or check that its labels were made with the same settings.

        Args:
            settings: All that labels depend on, by name, as JSON can hold it.
            class_names: By class index.

        Raises:
            ConfigError: If the settings differ; it names those.
            DataError: If there is something else, or nothing can be written.
        """
        record, settings = self.root / SETTINGS_FILE, json.loads(json.dumps(settings))
        if record.is_file():
            self._check_unchanged(settings, read_json_object(record, ConfigError))
            return
        try:
            if self.root.exists() and any(self.root.iterdir()):
                raise DataError(
                    f"{str(self.root)!r} holds something else than labels of an earlier start: choose another folder"
                )
            self.root.mkdir(parents=True, exist_ok=True)
            self._write(self.root / CLASSES_FILE, "".join(f"{name}\n" for name in class_names).encode())
            self._write(record, (json.dumps(settings, indent=2) + "\n").encode())
        except OSError as error:
            raise DataError(f"cannot write labels to {str(self.root)!r}: {error.strerror}") from error

    def clip(self, name: str, *, with_images: bool = True) -> ClipLabels:
        """The part for a clip."""
        return ClipLabels(self, self.root / name.replace("/", "_"), with_images=with_images)

    def list_clips(self, split: str, names: Sequence[str]) -> None:
        """Say which clips make a split of the data set."""
        self._write(self.root / f"{split}.txt", "".join(f"{name}\n" for name in names).encode())

    def _check_unchanged(self, settings: Mapping[str, Any], recorded: Mapping[str, Any]) -> None:
        changed = [
            f"{name}: {recorded.get(name)}, now {settings.get(name)}"
            for name in dict.fromkeys((*recorded, *settings))
            if recorded.get(name) != settings.get(name)
        ]
        if changed:
            raise ConfigError(
                f"{str(self.root)!r} holds labels that were made with other settings ({'; '.join(changed)}): give those "
                "again, or choose another folder"
            )

    def _write(self, path: Path, content: bytes) -> None:
        """One whole file; nothing that a dead process left is ever among the images or labels."""
        unfinished = self.root / UNFINISHED
        unfinished.write_bytes(content)
        os.replace(unfinished, path)

    def _link_or_copy(self, source: Path, target: Path) -> None:
        target.unlink(missing_ok=True)
        try:
            os.link(source.resolve(), target)
        except OSError:  # another disk, or one that knows no links
            shutil.copyfile(source, self.root / UNFINISHED)
            os.replace(self.root / UNFINISHED, target)


class ClipLabels:
    """The labels of one clip.

    Args:
        folder: That it is a part of.
        path: Its own folder.
        with_images: Whether the frames are put beside their labels.

    Attributes:
        path: Its own folder.
        rows: Frames that are done, in their order.
    """

    def __init__(self, folder: LabelFolder, path: Path, *, with_images: bool) -> None:
        self.path = path
        self._folder = folder
        self._with_images = with_images
        self.rows = self._recorded()

    def add(self, frame: Frame, name: str, labels: np.ndarray, confidence: np.ndarray, *, key_stamp_ns: int) -> None:
        """Write a frame that is not done yet; it is done when it is listed, which comes last.

        Args:
            frame: The frame.
            name: Of its files, without suffix.
            labels: uint8 ``[H, W]``.
            confidence: float32 ``[H, W]`` in 0..1.
            key_stamp_ns: Of the key frame that its masks come from.
        """
        for kind in ("labels", "confidence", *(["images"] if self._with_images else [])):
            (self.path / kind).mkdir(parents=True, exist_ok=True)
        levels = np.rint(confidence * CONFIDENCE_LEVELS).astype(np.uint8)
        if self._with_images:
            self._put_image(frame, name)
        self._folder._write(self.path / "confidence" / f"{name}.png", _png(levels))
        self._folder._write(self.path / "labels" / f"{name}.png", _png(labels))
        self.list_frames([FrameRow(name, frame.stamp_ns, key_stamp_ns)])

    def list_frames(self, rows: Sequence[FrameRow]) -> None:
        """Say that frames are done whose files are there."""
        is_new = not self.rows
        with (self.path / FRAMES_FILE).open("a", encoding="utf-8", newline="") as file:
            lines = csv.writer(file, lineterminator="\n")
            if is_new:
                lines.writerow(COLUMNS)
            lines.writerows((row.name, row.stamp_ns, row.key_stamp_ns) for row in rows)
        self.rows.extend(rows)

    def _put_image(self, frame: Frame, name: str) -> None:
        images = self.path / "images"
        if frame.image_file is not None:
            self._folder._link_or_copy(frame.image_file, images / (name + frame.image_file.suffix))
            return
        encoded = None if frame.read_encoded is None else frame.read_encoded()
        if encoded is None:
            encoded = _png(cv2.cvtColor(frame.read_image(), cv2.COLOR_RGB2BGR))
        self._folder._write(images / (name + (".jpg" if encoded.startswith(JPEG_START) else ".png")), encoded)

    def _recorded(self) -> list[FrameRow]:
        """What an earlier start listed; a line that it did not finish is taken away."""
        path = self.path / FRAMES_FILE
        if not path.is_file():
            return []
        text = read_text(path)
        whole = text[: text.rfind("\n") + 1]
        try:
            rows = [FrameRow(name, int(stamp), int(key)) for name, stamp, key in list(csv.reader(whole.splitlines()))[1:]]
        except ValueError as error:
            raise DataError(f"{path} is damaged: delete the folder {self.path}, and its frames are labelled again") from error
        if whole != text or not rows:
            self._folder._write(path, whole.encode() if rows else b"")
        return rows


def _png(values: np.ndarray) -> bytes:
    return cv2.imencode(".png", values)[1].tobytes()
