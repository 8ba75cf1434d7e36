"""Opens whatever a user may give as labelled video: a bag, a folder of frames or a data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mpvss_model import ConfigError
from mpvss_model.config import DecodingConfig
from mpvss_model.data import Clip, ClipSet, Frame, evaluated_split, open_clips, path_and_split
from mpvss_model.data.plain_images import holds_images, open_images
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.evaluation.study.source import Source
from mpvss_model.fleet.ledger import different_names
from mpvss_model.images.sixteen_bits import SixteenBitRange
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_files import is_bag_file, is_bag_folder
from mpvss_ros.bags.bag_storage import EVER, TimeRange

__all__ = ["BagFrames", "is_bag", "open_labelled_source", "open_sources"]


@dataclass
class BagFrames:
    """A bag's camera frames, read anew each time they are iterated over; can be sent to another process.

    Attributes:
        path: Of the bag.
        topic: Of its camera.
        listed: How many frames the bag says that it has.
        decoding: Of images and label images.
        with_ground_truth: Whether frames have their labels; without, memory does not grow with the recording.
        when: Times of recording that are read; ``listed`` is of these.
        counts: Of the last time that they were read, complete when it came to the end.
        sixteen_bits: Of the last time that they were read.
    """

    path: Path
    topic: str
    listed: int
    decoding: DecodingConfig = field(default_factory=DecodingConfig)
    with_ground_truth: bool = True
    when: TimeRange = EVER
    counts: SourceCounts = field(default_factory=SourceCounts, compare=False)
    sixteen_bits: SixteenBitRange = field(default_factory=SixteenBitRange, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        from mpvss_ros.bags.bag_frames import bag_frames  # needs ROS, which folders do not

        self.counts = SourceCounts()
        self.sixteen_bits = SixteenBitRange(significant_bits=self.decoding.significant_bits)
        with Bag(self.path) as bag:
            yield from bag_frames(
                bag,
                self.topic,
                self.counts,
                decoding=self.decoding,
                sixteen_bits=self.sixteen_bits,
                with_ground_truth=self.with_ground_truth,
                when=self.when,
                listed=self.listed,
            )


def open_labelled_source(
    location: str | Path,
    *,
    split: str | None = None,
    whole: bool = False,
    topic: str | None = None,
    decoding: DecodingConfig | None = None,
    with_ground_truth: bool = True,
) -> ClipSet:
    """The clips of a source; a bag is a single clip of `BagFrames`, whose labels have no names.

    Args:
        location: A rosbag2 recording, a folder in one of the layouts of `mpvss_model.data`, of which ``FOLDER:SPLIT`` is a
            part, or a folder that holds images itself.
        split: Which part of a data set, unless the location says so; by default ``val``, or ``test`` where there is no such
            part, and everything where there is neither.
        whole: Take everything of a plain folder where no split is named.
        topic: Of a bag's camera, if it has several.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.
        with_ground_truth: Of a bag, see `BagFrames`.

    Raises:
        DataError: If the source is missing or broken.
        ConfigError: If two splits are named, or one of a bag.
    """
    path, split = path_and_split(str(location), split)
    if not is_bag(path) and split is None and holds_images(path):
        return open_images(path, decoding=decoding)
    if not is_bag(path):
        return open_clips(path, split=split or (None if whole else evaluated_split(path)), decoding=decoding)
    if split and path.exists():
        raise ConfigError(f"bag {str(path)!r} has no splits, got {split!r}")
    with Bag(path) as bag:
        camera_topic = bag.image_topic(topic)
        frames = BagFrames(path, camera_topic, bag.count(camera_topic), decoding or DecodingConfig(), with_ground_truth)
    return ClipSet(str(path), None, (Clip(path.resolve().name, frames),))


def open_sources(
    locations: Sequence[str],
    *,
    names: Sequence[str] = (),
    split: str | None = None,
    whole: bool = False,
    topic: str | None = None,
    decoding: DecodingConfig | None = None,
) -> list[Source]:
    """Open everything that a study is to measure.

    Args:
        locations: Bags, folders and data sets, as `open_labelled_source` takes them; ``FOLDER:SPLIT`` is a part of one.
        names: As many, or none to call them what their paths or splits are called.
        split: Of all of them, see `open_labelled_source`.
        whole: Likewise.
        topic: Of the bags' camera, if they have several.
        decoding: Of images and label images; by default with the limits of `DecodingConfig`.

    Raises:
        DataError: If a source is missing or broken.
        ConfigError: If the names are not as many as the sources.
    """
    if names and len(names) != len(locations):
        raise ConfigError(f"got {len(names)} names ({', '.join(names)}) for {len(locations)} sources")
    sources = []
    for location, name in zip(locations, names or _own_names(locations), strict=True):
        clips = open_labelled_source(location, split=split, whole=whole, topic=topic, decoding=decoding)
        path, _ = path_and_split(location)
        measured = f"{path}:{clips.split}" if clips.split else location
        sources.append(Source(name=name, location=measured, clip_set=clips))
    return sources


def _own_names(locations: Sequence[str]) -> list[str]:
    """What sources are called by their paths or splits, with the folders above where that is not enough."""
    wanted = {}
    for location in locations:
        path, named = path_and_split(location)
        wanted[location] = named or (path.stem if path.is_file() else path.resolve().name)
    names = different_names(wanted, {})
    return [names[location] for location in locations]


def is_bag(path: Path) -> bool:
    """Whether a source is read as a bag, also where there is nothing: a bag's errors tell what may be given."""
    return is_bag_file(path) or is_bag_folder(path) or not path.exists()
