"""By which a model's exported networks are found again in a folder."""

from __future__ import annotations

import glob
import re
from pathlib import Path

from mpvss_model.segmentor.key_frame import KeyFrameSegmentor

__all__ = ["file_name", "frame_size_of"]

DIGEST_DIGITS = 12


def file_name(segmentor: KeyFrameSegmentor, frame_size: tuple[int, int] | None) -> str:
    """Of a segmentor's network for frames of some height and width; changes with all that decides what it computes.

    Args:
        segmentor: That it was made from.
        frame_size: Height and width in pixels; None for a pattern that fits all sizes.
    """
    name, digest = segmentor.name.replace("/", "--"), segmentor.digest().hex()[:DIGEST_DIGITS]
    if frame_size is None:
        return f"{glob.escape(name)}-*x*-{digest}.onnx"
    height, width = frame_size
    return f"{name}-{width}x{height}-{digest}.onnx"


def frame_size_of(file: Path) -> tuple[int, int] | None:
    """Height and width in a file's name; None if it has none."""
    found = re.search(r"-(\d+)x(\d+)-[0-9a-f]+$", file.stem)
    return None if found is None else (int(found[2]), int(found[1]))
