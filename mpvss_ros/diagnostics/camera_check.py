"""What is wrong with a camera and its peers at one moment."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from mpvss_ros.diagnostics.topic_check import TopicReport

__all__ = ["CameraCheck"]


@dataclass(frozen=True, kw_only=True)
class CameraCheck:
    """The findings of one look at a camera.

    Attributes:
        active: Whether the node listens to the camera at all.
        image_topic: Full name of the topic that its images come on; empty while the node does not listen.
        camera_info_topic: Full name of the topic that its calibration comes on; empty while the node does not listen.
        inputs: What the graph says of the topics that are read.
        outputs: What the graph says of the topics that are published.
        sequence: What the images' headers say about the camera, one line each.
        camera_info: Why no calibration is published; empty if nothing is wrong with it.
        clock: Why the node has no time; empty if it has.
    """

    active: bool
    image_topic: str = ""
    camera_info_topic: str = ""
    inputs: TopicReport = field(default_factory=TopicReport)
    outputs: TopicReport = field(default_factory=TopicReport)
    sequence: tuple[str, ...] = ()
    camera_info: str = ""
    clock: str = ""

    @property
    def to_log(self) -> Iterator[str]:
        """Each finding in one line, with the way out."""
        yield from (self.clock,) if self.clock else ()
        yield from (*self.inputs.qos_troubles, *self.outputs.qos_troubles)
        yield from (*self.inputs.troubles, *self.outputs.troubles)
        yield from self.sequence
        yield from (text for text in (self.inputs.nobody, self.camera_info) if text)
