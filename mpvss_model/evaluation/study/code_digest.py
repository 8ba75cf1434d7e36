"""A digest of the program itself: results that are kept are only good for the code that computed them."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

import cv2
import numpy as np
import torch

__all__ = ["code_digest", "library_versions", "sources_digest"]

PACKAGE = Path(__file__).parents[2]
# What computes nothing that a study keeps: how models and data sets are made.
UNUSED = ("training", "data/rooms")


@cache
def code_digest() -> bytes:
    """Changes with this package's sources and with the versions of the libraries that compute."""
    digest = hashlib.sha256(sources_digest(PACKAGE))
    digest.update(repr(library_versions()).encode())
    return digest.digest()


def library_versions() -> dict[str, str]:
    """Versions of the libraries that compute, by name."""
    libraries = {"opencv": cv2, "numpy": np, "torch": torch}
    return {name: library.__version__ for name, library in libraries.items()} | {"transformers": version("transformers")}


def sources_digest(package: Path) -> bytes:
    """Changes with the names and contents of a package's Python files, but for those that have no say in a study.

    Args:
        package: Its folder.
    """
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        name = file.relative_to(package)
        if not any(name.is_relative_to(folder) for folder in UNUSED):
            content = file.read_bytes()
            digest.update(f"{name.as_posix()} {len(content)} ".encode())
            digest.update(content)
    return digest.digest()
