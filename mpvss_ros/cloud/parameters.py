"""The cloud node's parameters."""

from __future__ import annotations

from dataclasses import dataclass

from rcl_interfaces.msg import ParameterDescriptor
from rclpy.node import Node

from mpvss_model import ConfigError
from mpvss_model.config import UNLABELED
from mpvss_model.errors import first_line
from mpvss_ros.node.parameters import Parameter

__all__ = ["PARAMETERS", "CloudConfig", "declare_parameters"]

MAX_QUEUE = 1000

PARAMETERS = (
    Parameter(
        name="source",
        default="depth",
        choices=("depth", "cloud"),
        description="Where points come from: the depth image, or the cloud on 'cloud_in', which gets label fields",
    ),
    Parameter(
        name="organized",
        default=True,
        description="Clouds of depth have the labels' rows and columns, with NaN where there is no depth; false: only points",
    ),
    Parameter(
        name="colors",
        default="image",
        choices=("image", "classes"),
        description="What rgb shows in clouds of depth: the camera's image, or the classes' colours",
    ),
    Parameter(
        name="confidence",
        default=True,
        description="Take probability from the topic 'confidence', which the segmentation node then computes; false: 1",
    ),
    Parameter(
        name="min_probability",
        default=0.0,
        minimum=0.0,
        maximum=1.0,
        description="Points that are less certain become unlabeled (255)",
    ),
    Parameter(
        name="unlabeled_id",
        default=UNLABELED,
        minimum=-(2**15),
        maximum=2**15 - 1,
        description="The segmentation node's parameter: what pixels without a class are; in clouds these are 255",
    ),
    Parameter(
        name="max_depth_m",
        default=0.0,
        minimum=0.0,
        maximum=1000.0,
        description="Depth that is larger counts as not measured; 0 for no limit",
    ),
    Parameter(
        name="depth_transport",
        default="raw",
        choices=("raw", "compressedDepth"),
        description="How depth comes: on 'depth', or on 'depth/compressedDepth'",
    ),
    Parameter(
        name="image_transport",
        default="raw",
        choices=("raw", "compressed"),
        description="How the camera's images come: on 'image', or on 'image/compressed'",
    ),
    Parameter(
        name="rectified",
        default=False,
        description="The camera's images are rectified: P of camera_info holds, and no distortion",
    ),
    Parameter(
        name="slop_s",
        default=0.05,
        minimum=0.0,
        maximum=10.0,
        description="How far apart the stamps of what makes a cloud may be; labels are under the stamp of their image",
    ),
    Parameter(
        name="queue_size",
        default=30,
        minimum=2,
        maximum=MAX_QUEUE,
        description="Messages kept of each topic: enough for the frames that come while one is being labelled",
    ),
    Parameter(
        name="occlusion_tolerance_m",
        default=0.0,
        minimum=0.0,
        maximum=100.0,
        description="Points of 'cloud_in' that are this much further away than the depth image says get no label; 0: no check",
    ),
    Parameter(
        name="fixed_frame",
        default="",
        description="Frame that does not move, such as odom, to account for motion between the stamps of cloud_in and labels",
    ),
    Parameter(
        name="transform_wait_s",
        default=0.5,
        minimum=0.0,
        maximum=10.0,
        description="How long a cloud in another frame waits for its transform, which may come later than the cloud",
    ),
    Parameter(
        name="niceness",
        default=10,
        minimum=0,
        maximum=19,
        description="Of the process: where processors are short, labels and other nodes that have 0 come first",
    ),
)


@dataclass(frozen=True)
class CloudConfig:
    """The values of `PARAMETERS`, see there."""

    source: str = "depth"
    organized: bool = True
    colors: str = "image"
    confidence: bool = True
    min_probability: float = 0.0
    unlabeled_id: int = UNLABELED
    max_depth_m: float = 0.0
    depth_transport: str = "raw"
    image_transport: str = "raw"
    rectified: bool = False
    slop_s: float = 0.05
    queue_size: int = 30
    occlusion_tolerance_m: float = 0.0
    fixed_frame: str = ""
    transform_wait_s: float = 0.5
    niceness: int = 10

    @property
    def leader(self) -> str:
        """The input whose messages are answered."""
        return "labels" if self.source == "depth" else "cloud_in"

    @property
    def required(self) -> tuple[str, ...]:
        """The inputs that each cloud needs a message of beside the leader."""
        if self.source == "depth":
            return ("depth", "image") if self.colors == "image" else ("depth",)
        return ("labels", "depth") if self.occlusion_tolerance_m else ("labels",)

    @property
    def optional(self) -> tuple[str, ...]:
        """The inputs that a cloud may lack."""
        return ("confidence",) if self.confidence or self.min_probability else ()


def declare_parameters(node: Node) -> CloudConfig:
    """Declare the table on a node; the values stand until the node ends.

    Raises:
        ConfigError: If a given value is of another type or out of range.
    """
    try:
        given = {p.name: node.declare_parameter(p.name, p.default, _descriptor(p)).value for p in PARAMETERS}
    except Exception as error:  # rclpy has one exception type for each way in which a value can be wrong
        raise ConfigError(first_line(error)) from error
    return CloudConfig(**{p.name: p.checked(given[p.name]) for p in PARAMETERS})


def _descriptor(parameter: Parameter) -> ParameterDescriptor:
    # Types are checked here: rclpy's own check names neither parameter nor value, and refuses 2 where 2.0 is meant.
    constraints = f"one of: {', '.join(parameter.choices)}" if parameter.choices else ""
    return ParameterDescriptor(
        name=parameter.name,
        description=parameter.description,
        additional_constraints=constraints,
        dynamic_typing=True,
        read_only=True,
    )
