"""A model's ``config.json``: is there one, and what kind of model does it say it is of?"""

from __future__ import annotations

import codecs
import reprlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from mpvss_model.config import FRAME_SIZE, StreamConfig
from mpvss_model.errors import CheckpointError, ConfigError, one_line
from mpvss_model.segmentor.tensor_files import foreign_content
from mpvss_model.settings import settings_of
from mpvss_model.text_files import read_json_object

__all__ = ["check_location", "listed_things", "model_name", "read_config", "recommended_inference_size"]

FILE_NAME = "config.json"


def check_location(name_or_dir: str) -> None:
    """Raise `CheckpointError` unless there is a directory with a ``config.json``, or the name can be a hub id."""
    path = Path(name_or_dir)
    if not path.exists():
        if name_or_dir.count("/") == 1 and not name_or_dir.startswith((".", "~", "/")):
            return
        raise CheckpointError(
            f"no model at {name_or_dir!r}: give a directory with config.json and model.safetensors, a hub id such as "
            "facebook/mask2former-swin-tiny-cityscapes-semantic, or the name of a shipped model"
        )
    if not path.is_dir():
        raise CheckpointError(
            f"model {name_or_dir!r} is a file: give the directory that holds config.json and model.safetensors"
        )
    if not (path / FILE_NAME).is_file():
        raise CheckpointError(f"model directory {name_or_dir!r} has no config.json")


def model_name(name_or_dir: str) -> str:
    """How to call a model in reports: its hub id, or the name of its directory."""
    return Path(name_or_dir).name if Path(name_or_dir).is_dir() else name_or_dir


def recommended_inference_size(config: dict[str, Any], name_or_dir: str) -> int | None:
    """What a model recommends for `StreamConfig.inference_size`: the ``inference_size`` of its ``config.json``.

    Args:
        config: Its contents.
        name_or_dir: Where it comes from.

    Returns:
        0 where it recommends the frame's own size; None where the file does not say.

    Raises:
        CheckpointError: If it is no such size.
    """
    if "inference_size" not in config:
        return None
    size = config["inference_size"]
    allowed = next(row for row in settings_of(StreamConfig) if row.name == "inference_size")
    try:
        replace(allowed, special=(FRAME_SIZE,)).check(size)
    except ConfigError as error:
        raise CheckpointError(f"config.json of model {name_or_dir!r}: {error}") from error
    return int(size)


def listed_things(config: dict[str, Any], name_or_dir: str) -> tuple[str | int, ...]:
    """The ``thing_classes`` of a model's ``config.json``: names or indices of classes that are things; none if it has none.

    Args:
        config: Its contents.
        name_or_dir: Where it comes from.

    Raises:
        CheckpointError: If it is no list of names and indices.
    """
    things = config.get("thing_classes") or []
    if not isinstance(things, list) or not all(type(thing) in (str, int) for thing in things):
        raise CheckpointError(
            f"config.json of model {name_or_dir!r}: thing_classes must be a list of names or indices of its classes, got "
            f"{reprlib.repr(things)}"
        )
    return tuple(things)


def read_config(name_or_dir: str) -> dict[str, Any]:
    """The contents of ``config.json``, with a ``model_type``.

    Args:
        name_or_dir: A model directory, or the id of a model of the hub.

    Raises:
        CheckpointError: If the file is missing, broken, or lacks what every model has.
    """
    if not Path(name_or_dir).is_dir():
        return _checked_config(_hub_file(name_or_dir))
    try:
        return _checked_config(Path(name_or_dir) / FILE_NAME)
    except (OSError, CheckpointError) as error:
        raise CheckpointError(f"cannot load model {name_or_dir!r}: {error}") from error


def _hub_file(name: str) -> Path:
    from transformers.utils import cached_file  # takes seconds, and is for models of the hub alone

    try:
        return Path(cached_file(name, FILE_NAME))
    except Exception as error:  # a hub that does not answer shows in many ways
        raise CheckpointError(
            f"cannot load model {name!r}: {one_line(error)} Give the directory of a model where there is no network"
        ) from error


def _checked_config(file: Path) -> dict[str, Any]:
    foreign = foreign_content(file)
    if foreign is not None:
        raise CheckpointError(f"{str(file)!r} is {foreign}")
    if file.read_bytes().startswith(codecs.BOM_UTF8):  # which transformers does not read
        raise CheckpointError(f"{str(file)!r} begins with a byte order mark: save it as UTF-8 without one")
    config = read_json_object(file, CheckpointError)
    if config.get("model_type") is None:
        raise CheckpointError(f"{str(file)!r} has no model_type, which says what kind of model it is, such as 'mask2former'")
    names = config.get("id2label")
    if names is not None and not (isinstance(names, dict) and all(number.strip().isdecimal() for number in names)):
        raise CheckpointError(
            f"{str(file)!r}: id2label is {reprlib.repr(names)}; expected an object from class index to name, "
            'such as {"0": "wall", "1": "floor"}'
        )
    return config
