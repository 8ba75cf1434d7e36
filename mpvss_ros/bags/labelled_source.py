"""Opens whatever a user may give as labelled video: a bag, a folder of frames or a data set."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mpvss_model.data import Clip, ClipSet, Frame, open_clips
from mpvss_ros.bags.bag import Bag
from mpvss_ros.bags.bag_files import is_bag_file, is_bag_folder
from mpvss_ros.bags.source_counts import SourceCounts

__all__ = ["BagFrames", "is_bag", "open_labelled_source"]


@dataclass
class BagFrames:
    """A bag's camera frames, read anew each time they are iterated over; can be sent to another process.

    Attributes:
        path: Of the bag.
        topic: Of its camera.
        listed: How many frames the bag says that it has.
        counts: Of the last time that they were read, complete when it came to the end.
    """

    path: Path
    topic: str
    listed: int
    counts: SourceCounts = field(default_factory=SourceCounts, compare=False)

    def __iter__(self) -> Iterator[Frame]:
        from mpvss_ros.bags.bag_frames import bag_frames  # needs ROS, which folders do not

        self.counts = SourceCounts()
        with Bag(self.path) as bag:
            yield from bag_frames(bag, self.topic, self.counts)


def open_labelled_source(path: Path, *, split: str | None = None, topic: str | None = None) -> ClipSet:
    """The clips of a source; a bag is a single clip of `BagFrames`, whose labels have no names.

    Args:
        path: A rosbag2 recording, or a folder in one of the layouts of `mpvss_model.data`.
        split: Which part of a data set.
        topic: Of a bag's camera, if it has several.

    Raises:
        DataError: If the source is missing or broken.
    """
    if not is_bag(path):
        return open_clips(path, split=split)
    with Bag(path) as bag:
        camera_topic = bag.image_topic(topic)
        frames = BagFrames(path, camera_topic, bag.count(camera_topic))
    return ClipSet(str(path), None, (Clip(path.name, frames),))


def is_bag(path: Path) -> bool:
    """Whether a source is read as a bag, also where there is nothing: a bag's errors tell what may be given."""
    return is_bag_file(path) or is_bag_folder(path) or not path.exists()
