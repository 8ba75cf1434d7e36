"""What a checkpoint wants subtracted from its images, and what they are to be divided by."""

from __future__ import annotations

import math
import reprlib
from pathlib import Path
from typing import Any

from transformers.utils import cached_file

from mpvss_model.errors import CheckpointError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.text_files import read_json_object

__all__ = ["RGB", "image_statistics", "processor_settings"]

RGB = tuple[float, float, float]

MAX_VALUE = 255
DEFAULT_RESCALE_FACTOR = 1 / MAX_VALUE
# Steps of other image processors that change colours, which nothing here does.
UNKNOWN_STEPS = ("do_flip_channel_order", "do_grayscale")
# Where a checkpoint has its processor's settings: an entry of `processor_config.json`, or else the first of these files.
FILES = {
    "image_processor": ("preprocessor_config.json",),
    "video_processor": ("video_preprocessor_config.json", "preprocessor_config.json"),
}


def image_statistics(name_or_dir: str, *, processor: str = "image_processor") -> tuple[RGB, RGB]:
    """RGB mean and standard deviation, on the 0..1 scale, that a checkpoint was trained with.

    They are those of ``preprocessor_config.json``, or of the image processor in ``processor_config.json``, which takes
    precedence as it does in ``transformers``; ImageNet's where there is neither file or an entry is missing or null.
    ``transformers`` rescales pixels before it normalises them: mean and deviation are of rescaled pixels, and are brought to
    the 0..1 scale here. Without normalisation the mean is 0. Entries on size and padding are not read, since
    `mpvss_model.config.StreamConfig` says at which size frames are segmented; ``do_reduce_labels`` is not either, since it
    concerns the labels of training alone.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        processor: Which of `FILES`; that of videos is in ``video_preprocessor_config.json``, if there is one.

    Raises:
        CheckpointError: If a file is broken or asks for what cannot be done; names the file, the entry and its value.
    """
    found = processor_settings(name_or_dir, processor)
    return (tuple(IMAGENET_MEAN), tuple(IMAGENET_STD)) if found is None else _Settings(*found).statistics()


def processor_settings(name_or_dir: str, processor: str) -> tuple[Path, dict[str, Any]] | None:
    """The file with a processor's settings, and the settings; None if there is none.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        processor: ``image_processor`` or ``video_processor``.

    Raises:
        CheckpointError: If a file is broken.
    """
    file = _file(name_or_dir, "processor_config.json")
    if file is not None:
        settings = read_json_object(file, CheckpointError)
        if processor in settings:
            found = settings[processor]
            if not isinstance(found, dict):
                raise CheckpointError(f"{str(file)!r}: {processor} is {reprlib.repr(found)}; expected an object")
            return file, found
    files = (_file(name_or_dir, name) for name in FILES[processor])
    file = next((file for file in files if file is not None), None)
    return None if file is None else (file, read_json_object(file, CheckpointError))


def _file(name_or_dir: str, name: str) -> Path | None:
    if Path(name_or_dir).is_dir():
        path = Path(name_or_dir) / name
        return path if path.is_file() else None
    try:
        found = cached_file(name_or_dir, name, _raise_exceptions_for_missing_entries=False)
    except OSError:  # without a network, a file that is not on this machine is like one that the model does not have
        return None
    return None if found is None else Path(found)


class _Settings:
    """Entries of an image processor, checked as they are asked for.

    Args:
        file: They come from.
        settings: The entries.
    """

    def __init__(self, file: Path, settings: dict[str, Any]) -> None:
        self._file = file
        self._settings = settings

    def statistics(self) -> tuple[RGB, RGB]:
        """Mean and standard deviation on the 0..1 scale."""
        for name in UNKNOWN_STEPS:
            if self._flag(name, False):
                raise self._refusal(name, "false, since models are given RGB images as they are")
        scale = self._rescale_factor() * MAX_VALUE  # of the largest value there is, after rescaling
        if not self._flag("do_normalize", True):
            return (0.0, 0.0, 0.0), (1 / scale,) * 3
        mean = self._numbers("image_mean", [value * scale for value in IMAGENET_MEAN])
        std = self._numbers("image_std", [value * scale for value in IMAGENET_STD])
        self._check_scale(mean, std, scale)
        return tuple(value / scale for value in mean), tuple(value / scale for value in std)

    def _check_scale(self, mean: RGB, std: RGB, scale: float) -> None:
        """Refuse a mean that no image on the scale of the rescaled pixels can have, or only a black one."""
        if not all(0 <= value <= scale for value in mean):
            raise self._refusal("image_mean", f"0..{scale:g}, as pixels are once do_rescale and rescale_factor are applied")
        if min(std) <= 0:
            raise self._refusal("image_std", "three numbers above 0")
        if scale == MAX_VALUE and 0 < max(mean) <= 1 and max(std) <= 1:
            raise self._refusal(
                "image_mean", "a mean of 0..255, since do_rescale or rescale_factor leave pixels on that scale"
            )

    def _rescale_factor(self) -> float:
        if not self._flag("do_rescale", True):
            return 1.0
        factor = self._settings.get("rescale_factor")
        if factor is None:
            return DEFAULT_RESCALE_FACTOR
        if not _is_number(factor) or factor <= 0:
            raise self._refusal("rescale_factor", "a number above 0, such as 0.00392156862745098")
        return float(factor)

    def _flag(self, name: str, default: bool) -> bool:
        value = self._settings.get(name)
        if value is not None and not isinstance(value, bool):
            raise self._refusal(name, "true or false")
        return default if value is None else value

    def _numbers(self, name: str, default: list[float]) -> RGB:
        values = self._settings.get(name)
        values = default if values is None else values
        if not isinstance(values, list) or len(values) != 3 or not all(map(_is_number, values)):
            raise self._refusal(name, "three numbers, for red, green and blue")
        return tuple(map(float, values))

    def _refusal(self, name: str, expected: str) -> CheckpointError:
        value = reprlib.repr(self._settings.get(name))
        return CheckpointError(f"{str(self._file)!r}: {name} is {value}; expected {expected}")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
