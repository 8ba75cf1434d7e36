"""The entries of a checkpoint's image processor, checked as they are asked for."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mpvss_model.errors import CheckpointError
from mpvss_model.text_files import read_json_object

__all__ = ["Entries", "is_number", "model_file", "processor_entries"]


def processor_entries(name_or_dir: str) -> Entries | None:
    """Those of ``preprocessor_config.json``, or of the image processor in ``processor_config.json``, which takes precedence.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.

    Returns:
        None where there is neither file.

    Raises:
        CheckpointError: If a file is broken.
    """
    file = model_file(name_or_dir, "processor_config.json")
    if file is not None:
        settings = read_json_object(file, CheckpointError)
        if "image_processor" in settings:
            processor = settings["image_processor"]
            if not isinstance(processor, dict):
                raise CheckpointError(f"{str(file)!r}: image_processor is {reprlib.repr(processor)}; expected an object")
            return Entries(file, processor)
    file = model_file(name_or_dir, "preprocessor_config.json")
    return None if file is None else Entries(file, read_json_object(file, CheckpointError))


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
