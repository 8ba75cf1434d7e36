"""Which files a recording consists of."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from mpvss_model import DataError
from mpvss_ros.bags.offered_qos import OfferedQos, YamlLoader, parse_offered_qos

__all__ = ["BAG_SUFFIXES", "METADATA", "BagFiles", "find_bag_files", "is_bag_file", "is_bag_folder"]

METADATA = "metadata.yaml"
BAG_SUFFIXES = (".mcap", ".db3", ".mcap.zstd", ".db3.zstd")
MAX_NAMES = 5


@dataclass(frozen=True)
class BagFiles:
    """The files of a recording, in the order of time.

    Attributes:
        paths: At least one.
        offered_qos: By topic, where ``metadata.yaml`` tells; the files tell, too.
    """

    paths: tuple[Path, ...]
    offered_qos: dict[str, tuple[OfferedQos, ...]] = field(default_factory=dict)


def is_bag_file(path: Path) -> bool:
    """Whether a path is named as a recording's file is; a ROS 1 bag too, whose error tells how to convert it."""
    return path.name.endswith((*BAG_SUFFIXES, ".bag"))


def is_bag_folder(path: Path) -> bool:
    """Whether there is a recording in a directory, perhaps without its ``metadata.yaml``."""
    try:
        return path.is_dir() and ((path / METADATA).is_file() or bool(_bag_files_in(path)))
    except OSError:
        return False


def find_bag_files(path: Path) -> BagFiles:
    """The files of a recording.

    Args:
        path: Its directory, or one of its files, which then is read alone.

    Raises:
        DataError: If there is nothing to read, with what may be done about it.
    """
    shown = repr(str(path))
    try:
        if path.is_dir():
            return _files_of_folder(path)
        if not path.exists():
            raise DataError(f"no bag at {shown}: give a rosbag2 directory or a file such as recording.mcap")
        if path.name == METADATA:
            return _files_of_folder(path.parent)
    except OSError as error:
        raise DataError(f"cannot read bag {shown}: {error.strerror}") from error
    if path.suffix == ".bag":
        raise DataError(f"bag {shown} is a ROS 1 bag: convert it with 'rosbags-convert' first")
    return BagFiles((path,))


def _files_of_folder(folder: Path) -> BagFiles:
    shown = repr(str(folder))
    files = _bag_files_in(folder)
    ways_out = f"run 'ros2 bag reindex' on it, or give one of its files ({_some([f.name for f in files])})"
    if not (folder / METADATA).exists():
        if files:
            raise DataError(f"bag {shown} has no {METADATA}: {ways_out}")
        raise DataError(f"no bag in directory {shown}: {_hint(folder)}")
    try:
        information = _load(folder / METADATA)["rosbag2_bagfile_information"]
        paths = tuple(_existing(folder, name) for name in information["relative_file_paths"])
        offered_qos = _offered_qos(information.get("topics_with_message_count"))
    except FileNotFoundError as error:
        raise DataError(f"bag {shown} lacks its file {str(error)!r}: bring it back, or {ways_out}") from error
    except (yaml.YAMLError, ValueError, RecursionError, LookupError, TypeError, AttributeError) as error:
        raise DataError(f"bag {shown} has a {METADATA} that is empty or damaged: {ways_out}") from error
    if not paths:
        raise DataError(f"bag {shown} has a {METADATA} that names no files: {ways_out}")
    return BagFiles(paths, offered_qos)


def _load(path: Path) -> Any:
    return yaml.load(path.read_text(encoding="utf-8"), YamlLoader)


def _existing(folder: Path, name: str) -> Path:
    # Old versions of rosbag2 write the directory, too. Files may have been packed or unpacked since.
    plain = PurePosixPath(name).name
    for candidate in (name, plain, plain + ".zstd", plain.removesuffix(".zstd")):
        if (folder / candidate).is_file():
            return folder / candidate
    raise FileNotFoundError(plain)


def _offered_qos(topics: Any) -> dict[str, tuple[OfferedQos, ...]]:
    """By topic; empty where it cannot be read, since no message depends on it."""
    try:
        entries = [entry["topic_metadata"] for entry in topics]
        profiles = {entry["name"]: parse_offered_qos(entry.get("offered_qos_profiles")) for entry in entries}
    except (LookupError, TypeError, AttributeError):
        return {}
    return {topic: offered for topic, offered in profiles.items() if offered}


def _bag_files_in(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.endswith(BAG_SUFFIXES) and path.is_file())


def _hint(folder: Path) -> str:
    bags = sorted(path.parent.name for path in folder.glob(f"*/{METADATA}")) + [path.name for path in folder.glob("*.bag")]
    return f"it holds {_some(bags)}" if bags else "give a rosbag2 directory or a file such as recording.mcap"


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MAX_NAMES} more" if len(names) > MAX_NAMES else ""
    return ", ".join(names[:MAX_NAMES]) + more if names else "it has none"
