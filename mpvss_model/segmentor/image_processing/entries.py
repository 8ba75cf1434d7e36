"""The entries of a checkpoint's image processor, checked as they are asked for."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpvss_model.errors import CheckpointError
from mpvss_model.text_files import read_json_object

__all__ = ["IMAGE_PROCESSOR", "Entries", "is_number", "model_file", "processor_entries", "processor_settings"]

IMAGE_PROCESSOR = "image_processor"
# Where a checkpoint has its processor's settings: an entry of `processor_config.json`, or else the first of these files.
FILES = {
    IMAGE_PROCESSOR: ("preprocessor_config.json",),
    "video_processor": ("video_preprocessor_config.json", "preprocessor_config.json"),
}


def processor_entries(name_or_dir: str, processor: str = IMAGE_PROCESSOR) -> Entries | None:
    """As `processor_settings`, to be checked as they are asked for."""
    found = processor_settings(name_or_dir, processor)
    return None if found is None else Entries(*found)


def processor_settings(name_or_dir: str, processor: str) -> tuple[Path, dict[str, Any]] | None:
    """The file with a processor's settings, and the settings; None if there is none.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        processor: ``image_processor`` or ``video_processor``.

    Raises:
        CheckpointError: If a file is broken.
    """
    file = model_file(name_or_dir, "processor_config.json")
    if file is not None:
        settings = read_json_object(file, CheckpointError)
        if processor in settings:
            found = settings[processor]
            if not isinstance(found, dict):
                raise CheckpointError(f"{str(file)!r}: {processor} is {reprlib.repr(found)}; expected an object")
            return file, found
    files = (model_file(name_or_dir, name) for name in FILES[processor])
    file = next((file for file in files if file is not None), None)
    return None if file is None else (file, read_json_object(file, CheckpointError))


def model_file(name_or_dir: str, name: str) -> Path | None:
    """A file of a model directory or of a model of the hub; None if it has no such file."""
    if Path(name_or_dir).is_dir():
        path = Path(name_or_dir) / name
        return path if path.is_file() else None
    from transformers.utils import cached_file  # takes seconds, and is for models of the hub alone

    try:
        found = cached_file(name_or_dir, name, _raise_exceptions_for_missing_entries=False)
    except OSError:  # without a network, a file that is not on this machine is like one that the model does not have
        return None
    return None if found is None else Path(found)


class Entries:
    """Entries of an image processor; null is the same as none.

    Args:
        file: They come from.
        entries: By name.
    """

    def __init__(self, file: Path, entries: Mapping[str, Any]) -> None:
        self._file = file
        self._entries = entries

    def value(self, name: str) -> Any:
        """As it is; None where there is none."""
        return self._entries.get(name)

    def flag(self, name: str, default: bool) -> bool:
        """True or false.

        Raises:
            CheckpointError: If it is something else.
        """
        value = self.value(name)
        if value is not None and not isinstance(value, bool):
            raise self.refusal(name, "true or false")
        return default if value is None else value

    def refusal(self, name: str, expected: str) -> CheckpointError:
        """An error that names the file, the entry, its value and what is expected."""
        return CheckpointError(f"{str(self._file)!r}: {name} is {reprlib.repr(self.value(name))}; expected {expected}")


def is_number(value: object) -> bool:
    """Whether it is a finite one."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
