"""The models that come with the package."""

from __future__ import annotations

from pathlib import Path

__all__ = ["WEIGHTS_DIR", "model_location"]

WEIGHTS_DIR = Path(__file__).parents[1] / "weights"


def model_location(model: str) -> str:
    """The directory of a shipped model, or ``model`` itself if it is a directory or hub id."""
    shipped = WEIGHTS_DIR / model
    return str(shipped) if "/" not in model and shipped.is_dir() else model
