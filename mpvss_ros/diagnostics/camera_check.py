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
        inputs: What the graph says of the topics that are read.
        outputs: What the graph says of the topics that are published.
        sequence: What the images' headers say about the camera, one line each.
        camera_info: Why no calibration is published; empty if nothing is wrong with it.
    """

    active: bool
    inputs: TopicReport = field(default_factory=TopicReport)
    outputs: TopicReport = field(default_factory=TopicReport)
    sequence: tuple[str, ...] = ()
    camera_info: str = ""

    @property
    def to_log(self) -> Iterator[str]:
        """Each finding in one line, with the way out."""
        for topic in (*self.inputs.incompatible_qos, *self.outputs.incompatible_qos):
            yield (
                f"incompatible QoS on {topic}: no messages will pass between this node and that peer; compare their "
                f"reliability and durability with 'ros2 topic info -v {topic}'"
            )
        yield from self.inputs.troubles
        yield from self.sequence
        yield from (text for text in (self.inputs.nobody, self.camera_info) if text)
