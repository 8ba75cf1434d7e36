"""A camera's recording with labels beside its images."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mpvss_model.config import DecodingConfig, StreamConfig
from mpvss_model.errors import DataError
from mpvss_model.files import full_disk_named
from mpvss_model.labelling import ClassMapping, Labelling, LabellingConfig, label_clips
from mpvss_model.labelling.label_folder import ClipLabels
from mpvss_model.settings import changed_settings
from mpvss_ros.bags.bag import CONFIDENCE_TOPIC, LABELS_TOPIC, Bag, BagWriter
from mpvss_ros.bags.labelled_source import is_bag, open_labelled_source

__all__ = [
    "DISK_IS_FULL",
    "LABEL_INFO_TOPIC",
    "given_settings",
    "is_single_file",
    "label_source",
    "write_labelled_bag",
]

LABEL_INFO_TOPIC = "/mpvss/label_info"
# Of the package vision_msgs, which need not be installed.
VISION_CLASS = "uint16 class_id\nstring class_name\n"
DISK_IS_FULL = "free some, and the same command goes on; what is labelled stays"
LABEL_INFO = "std_msgs/Header header\nvision_msgs/VisionClass[] class_map\nfloat32 threshold\n"


def is_single_file(out: Path) -> bool:
    """Whether a labelled bag of this name is one file, rather than a directory with ``metadata.yaml``."""
    return out.suffix == ".mcap"


def label_source(
    source: Path,
    out: Path,
    *,
    as_bag: bool = False,
    model: str,
    config: LabellingConfig,
    mapping: ClassMapping | None = None,
    stream: StreamConfig | None = None,
    topic: str | None = None,
    split: str | None = None,
    decoding: DecodingConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> Labelling:
    """Label whatever a user may give; the same call goes on where an earlier one was stopped.

    Args:
        source: See `open_labelled_source`.
        out: Folder in the layout of `mpvss_model.data`, or the bag of `write_labelled_bag`.
        as_bag: Whether to write a bag. Until it is written, labels are kept in a hidden folder beside it.
        model: See `label_clips`, as all that follow, but for ``topic``, ``split`` and ``decoding`` of `open_labelled_source`.
        config: How frames are labelled.
        mapping: To other classes.
        stream: Further settings of the stream.
        topic: Of a bag's camera, if it has several.
        split: Which part of a data set.
        decoding: Of images.
        device: Where the model runs.
        precision: Of the model.
        on_frame: Called with the frames done and their total.

    Raises:
        MPVSSError: As `label_clips`, and if the bag cannot be written or the source is none.
        Interrupted: If SIGINT or SIGTERM came; what was labelled stays.
    """
    if as_bag:
        _check_new(out)
        if not is_bag(source):
            raise DataError(
                f"{str(source)!r} is no bag, whose images and headers a bag of labels has: give a folder as output"
            )
    clips = open_labelled_source(source, split=split, whole=True, topic=topic, decoding=decoding, with_ground_truth=False)
    given = given_settings(source, topic=topic, split=split, decoding=decoding, stream=stream)
    folder = out.with_name(f".{out.name}.labels") if as_bag else out
    labelling = label_clips(
        clips,
        folder,
        model=model,
        given=given,
        config=config,
        mapping=mapping,
        stream=stream,
        device=device,
        precision=precision,
        with_images=not as_bag,
        on_frame=on_frame,
    )
    if as_bag:
        camera_topic = clips.clips[0].frames.topic
        with Bag(source) as bag, full_disk_named(out.parent, DISK_IS_FULL):
            write_labelled_bag(
                bag,
                camera_topic,
                labelling.clips[0],
                out,
                class_names=labelling.class_names,
                threshold=config.min_confidence,
            )
        shutil.rmtree(folder)
    return labelling


def given_settings(
    source: Path,
    *,
    topic: str | None,
    split: str | None,
    decoding: DecodingConfig | None,
    stream: StreamConfig | None,
) -> dict[str, Any]:
    """What the labels of a source depend on beside the model and how it is asked; see `label_source`."""
    given = {"source": str(source.resolve()), "topic": topic, "split": split}
    return given | changed_settings(decoding or DecodingConfig()) | changed_settings(stream or StreamConfig())


def _check_new(out: Path) -> None:
    """Raise `DataError` if there is something at a bag's place already."""
    if out.exists():
        raise DataError(f"{str(out)!r} exists already: choose another path for the bag")


def write_labelled_bag(
    bag: Bag, topic: str, labels: ClipLabels, out: Path, *, class_names: Sequence[str], threshold: float
) -> None:
    """Write a camera's images as they are, and labels and confidence as PNG under the very headers of their images.

    The classes' names are on `LABEL_INFO_TOPIC`, latched, with the definition of their type.

    Args:
        bag: The recording.
        topic: Of the camera.
        labels: Of its frames.
        out: A new MCAP file, if it ends with ``.mcap``, or else a new rosbag2 directory; whole or not at all.
        class_names: By class index.
        threshold: Pixels of lower confidence were made unlabeled; 0 for none.

    Raises:
        DataError: If there is something at ``out`` already, or it cannot be written.
    """
    _check_new(out)
    # A bag's file is called like its directory.
    directory = out.with_name(f".{out.stem}.bag") / out.stem if is_single_file(out) else out
    try:
        with BagWriter(directory) as writer:
            _write(writer, bag, topic, labels, class_names, threshold)
        if is_single_file(out):
            os.replace(directory / f"{out.stem}.mcap", out)
    finally:
        if is_single_file(out):
            shutil.rmtree(directory.parent, ignore_errors=True)


def _write(writer: BagWriter, bag: Bag, topic: str, labels: ClipLabels, class_names: Sequence[str], threshold: float) -> None:
    writer.define("vision_msgs/msg/VisionClass", VISION_CLASS)
    writer.define("vision_msgs/msg/LabelInfo", LABEL_INFO)
    rows = iter(labels.rows)
    row = next(rows, None)
    is_first = True
    for raw in bag.raw_messages([topic]):
        header = bag.deserialized(raw).header
        if is_first:
            names = [
                writer.message("vision_msgs/msg/VisionClass", class_id=i, class_name=n) for i, n in enumerate(class_names)
            ]
            values = {"header": header, "class_map": names, "threshold": threshold}
            writer.write_latched(LABEL_INFO_TOPIC, "vision_msgs/msg/LabelInfo", time_ns=raw.time_ns, **values)
            is_first = False
        writer.copy(raw)
        # Frames that could not be used have no row.
        if row is not None and _stamp_ns(header) == row.stamp_ns:
            for kind, label_topic in (("labels", LABELS_TOPIC), ("confidence", CONFIDENCE_TOPIC)):
                data = (labels.path / kind / f"{row.name}.png").read_bytes()
                writer.write_under_header(label_topic, header, time_ns=raw.time_ns, file_format="png", data=data)
            row = next(rows, None)


def _stamp_ns(header) -> int:
    return header.stamp.sec * 1_000_000_000 + header.stamp.nanosec
