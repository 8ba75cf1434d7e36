"""ROS parameter files: which of their blocks are meant for a node. Needs no ROS."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

__all__ = ["files_without_effect", "matches", "parameter_blocks"]

MAX_KEYS = 5


def parameter_blocks(tree: dict, key: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The blocks of a parameter file.

    >>> list(parameter_blocks({"mpvss": {"segmentation": {"ros__parameters": {"threads": 2}}}}))
    [('/mpvss/segmentation', {'threads': 2})]

    Args:
        tree: Contents of the file.
        key: Of the namespaces around.

    Yields:
        Key, as a path of namespaces and a node's name, and parameters of each block.
    """
    for name, value in tree.items():
        if name == "ros__parameters" and isinstance(value, dict):
            yield key, value
        elif isinstance(value, dict):
            yield from parameter_blocks(value, f"{key}/{str(name).strip('/')}")


def matches(key: str, node_name: str) -> bool:
    """Whether a block's key is meant for a node: ``*`` stands for one part of its name, ``**`` for any number of them.

    >>> matches("/**", "/mpvss/segmentation"), matches("/segmentation", "/mpvss/segmentation")
    (True, False)

    Args:
        key: As `parameter_blocks` gives it.
        node_name: Fully qualified.
    """
    wildcards = {"*": "/[^/]+", "**": "(/[^/]+)*"}
    pattern = "".join(wildcards.get(part, "/" + re.escape(part)) for part in key.strip("/").split("/"))
    return re.fullmatch(pattern, node_name) is not None


def files_without_effect(paths: Iterable[str], node_name: str) -> list[str]:
    """Say of each parameter file that holds nothing for a node, which rcl passes over in silence, what was to be written.

    Args:
        paths: Of files that rcl has read.
        node_name: Fully qualified.

    Returns:
        One line for each file that has blocks, but none that is meant for the node.
    """
    texts = []
    for path in dict.fromkeys(paths):
        keys = _keys(path)
        if keys and not any(matches(key, node_name) for key in keys):
            shown = ", ".join(repr(key.removeprefix("/")) for key in keys[:MAX_KEYS])
            more = f" and {len(keys) - MAX_KEYS} more" if len(keys) > MAX_KEYS else ""
            texts.append(
                f"parameter file {path!r} has no effect on this node: its parameters are those of {shown}{more}; "
                f"the key of this node is {node_name!r}, and '/**' is that of all nodes"
            )
    return texts


def _keys(path: str) -> list[str]:
    try:
        contents = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError):  # rcl has read it all the same, or has said why not
        return []
    return [key for key, _ in parameter_blocks(contents)] if isinstance(contents, dict) else []
