"""Text files that people write and programs read: UTF-8, with one line of error where they are not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mpvss_model.errors import DataError, MPVSSError

__all__ = ["read_json_object", "read_text"]


def read_text(path: str | Path, error_type: type[MPVSSError] = DataError) -> str:
    """The contents of a UTF-8 text file, without the byte order mark that some editors put before it.

    Args:
        path: Of the file.
        error_type: What to raise.

    Raises:
        MPVSSError: Of the given type, if the file cannot be read or is not UTF-8.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except OSError as error:
        raise error_type(f"cannot read {str(path)!r}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        byte = error.object[error.start]
        raise error_type(f"{str(path)!r} is not UTF-8 text: byte 0x{byte:02x} in line {line}; save it as UTF-8") from error


def read_json_object(path: str | Path, error_type: type[MPVSSError] = DataError) -> dict[str, Any]:
    """The object that a JSON file holds.

    Args:
        path: Of the file.
        error_type: What to raise.

    Raises:
        MPVSSError: Of the given type, if the file cannot be read, is not UTF-8, no JSON, or holds something else.
    """
    text = read_text(path, error_type)
    try:
        value = json.loads(text)
    except ValueError as error:
        raise error_type(f"{str(path)!r} is no JSON file: {error}") from error
    except RecursionError as error:
        raise error_type(f"{str(path)!r} is no JSON file that can be read: it is nested too deeply") from error
    if not isinstance(value, dict):
        raise error_type(f"{str(path)!r} must hold a JSON object, such as {{...}}, but holds a {type(value).__name__}")
    return value
