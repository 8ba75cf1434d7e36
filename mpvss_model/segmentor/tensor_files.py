"""Reads files of tensors, and says what is wrong with one that cannot be read."""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open

from mpvss_model.errors import CheckpointError, one_line

__all__ = ["check_tensor_file", "foreign_content", "read_released"]

# What downloads and clones leave in place of a file of tensors, by how it begins.
FOREIGN_CONTENTS = {
    b"version https://git-lfs": "a git-lfs pointer in place of the file itself: run 'git lfs pull' where it was cloned",
    b"<!doctype": "a web page in place of the file itself: download it again",
    b"<html": "a web page in place of the file itself: download it again",
    b"<?xml": "a web page in place of the file itself: download it again",
    b"\x1f\x8b": "a gzip archive: unpack it",
}


def foreign_content(file: str | os.PathLike) -> str | None:
    """What a file is, if it is one of the things that are often found in place of tensors, and what to do about it."""
    with open(file, "rb") as opened:
        beginning = opened.read(512)
    if not beginning:
        return "an empty file: download it again"
    known = (what for magic, what in FOREIGN_CONTENTS.items() if beginning.lstrip().lower().startswith(magic))
    return next(known, None) or _foreign_archive(file)


def check_tensor_file(file: str | os.PathLike) -> None:
    """Raise a `CheckpointError` that names a ``.safetensors``, ``.bin`` or ``.pth`` file and its fault, if it has one."""
    try:
        foreign = foreign_content(file)
    except OSError as error:
        raise CheckpointError(f"cannot read {str(file)!r}: {error.strerror or error}") from error
    if foreign is not None:
        raise CheckpointError(f"{str(file)!r} is {foreign}")
    if Path(file).suffix != ".safetensors":
        read_released(file)
        return
    try:
        with safe_open(file, framework="pt"):
            pass
    except Exception as error:  # SafetensorError is no public name in all versions
        raise CheckpointError(f"{str(file)!r} is damaged or incomplete, get it again: {one_line(error)}") from error


def read_released(file: str | os.PathLike) -> dict[str, torch.Tensor]:
    """The tensors of a ``.pth`` file by name. Only tensors are unpickled: nothing in the file is executed.

    Raises:
        CheckpointError: If the file is missing, broken, or holds anything but named tensors.
    """
    if not Path(file).is_file():
        raise CheckpointError(f"no checkpoint file at {str(file)!r}")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a truncated file shows as RuntimeError, EOFError, OSError, KeyError, ...
        raise _unreadable(file, error) from error
    if isinstance(content, Mapping) and isinstance(content.get("model"), Mapping):
        content = content["model"]
    if not isinstance(content, Mapping) or not content:
        raise CheckpointError(f"checkpoint {str(file)!r} holds no named tensors, but a {type(content).__name__}")
    foreign = [str(name) for name, value in content.items() if not (isinstance(name, str) and isinstance(value, torch.Tensor))]
    if foreign:
        few = ", ".join(foreign[:5]) + ", ..." * (len(foreign) > 5)
        raise CheckpointError(f"checkpoint {str(file)!r} holds other things than named tensors: {few}")
    return dict(content)


def _unreadable(file: str | os.PathLike, error: Exception) -> CheckpointError:
    """What to say of a file that torch refuses; torch itself advises to run the code in it."""
    unpickled = isinstance(error, pickle.UnpicklingError)
    foreign = re.search(r"GLOBAL (\S+)", str(error)) if unpickled else None
    if foreign is not None:
        return CheckpointError(
            f"checkpoint {str(file)!r} holds {foreign[1]}, and only tensors are read, since anything else could run code: "
            "save its state dict as plain tensors"
        )
    what = foreign_content(file)
    cause = f"it is {what}" if what else "it cannot be unpickled" if unpickled else one_line(error)
    return CheckpointError(f"checkpoint {str(file)!r} is broken or no PyTorch file: {cause}")


def _foreign_archive(file: str | os.PathLike) -> str | None:
    """Of a zip archive that PyTorch did not write: PyTorch's holds a pickle."""
    try:
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return None
    return None if any(name.endswith("data.pkl") for name in names) else "a zip archive of other files: unpack it"
