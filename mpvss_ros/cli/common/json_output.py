"""Reports as JSON, for other programs."""

from __future__ import annotations

import json
from pathlib import Path

from mpvss_model.files import write_whole

__all__ = ["print_json", "write_json"]


def print_json(value: object) -> None:
    """Print a report."""
    print(json.dumps(value, indent=2))


def write_json(path: Path, value: object) -> None:
    """Write a report to a file, whole or not at all."""
    write_whole(path, lambda unfinished: unfinished.write_text(json.dumps(value, indent=2) + "\n"))
