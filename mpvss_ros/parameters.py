"""The node's parameters: one table, from which descriptors, checks and a typed configuration are made."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from mpvss_model import ConfigError, StreamConfig
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.precision import PRECISIONS
from mpvss_model.propagation import PROPAGATIONS

__all__ = ["PARAMETERS", "NodeConfig", "Parameter", "checked_config", "declare_parameters"]


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: As users write it.
        default: Also fixes the type.
        description: One line for ``ros2 param describe``.
        minimum: Smallest value of a number.
        maximum: Largest value of a number.
        choices: The values a string may take; empty for any.
        live: Whether it may change while a model is loaded.
    """

    name: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    live: bool = False

    def check(self, value: Any) -> None:
        """Raise `ConfigError`, naming parameter, value and range, unless the value may be used."""
        kind = type(self.default)
        if type(value) is not kind and not (kind is float and type(value) is int):
            raise ConfigError(f"parameter {self.name!r} must be {KINDS[kind]}, got {value!r}")
        if self.choices and value not in self.choices:
            raise ConfigError(f"parameter {self.name!r} must be one of {', '.join(self.choices)}, got {value!r}")
        if self.minimum is not None and not self.minimum <= value <= self.maximum:
            raise ConfigError(f"parameter {self.name!r} must be in {self.minimum} .. {self.maximum}, got {value!r}")

    def descriptor(self) -> ParameterDescriptor:
        """For ``declare_parameter``."""
        # rclpy's own check of types names neither parameter nor value, and refuses 2 where 2.0 is meant.
        descriptor = ParameterDescriptor(name=self.name, description=self.description, dynamic_typing=True)
        if self.choices:
            descriptor.additional_constraints = f"one of: {', '.join(self.choices)}"
        if isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
        elif self.minimum is not None:
            descriptor.integer_range = [IntegerRange(from_value=self.minimum, to_value=self.maximum, step=0)]
        return descriptor


PARAMETERS = (
    Parameter(
        name="model",
        default=DEFAULT_MODEL,
        description="Mask2Former checkpoint: name of a shipped model, a directory, or a hub id (downloads on first use)",
    ),
    Parameter(
        name="propagation",
        default="auto",
        description="How masks reach the frames in between; auto: segment if the model has a motion module, else dense flow",
        choices=PROPAGATIONS,
    ),
    Parameter(name="device", default="auto", description="Where the model runs: auto, cpu, cuda or cuda:N"),
    Parameter(
        name="precision",
        default="auto",
        description="Floating-point type of the networks; auto: fp16 on a GPU, else fp32",
        choices=PRECISIONS,
    ),
    Parameter(
        name="threads",
        default=0,
        description="CPU threads for the model and optical flow; 0 leaves the libraries' choice",
        minimum=0,
        maximum=256,
    ),
    Parameter(
        name="mode",
        default="realtime",
        description="realtime: the newest frame wins and older ones are dropped; lossless: every frame is answered once",
        choices=("realtime", "lossless"),
    ),
    Parameter(
        name="queue_size",
        default=256,
        description="Frames that may wait in lossless mode; those that come when it is full are counted as dropped",
        minimum=1,
        maximum=100_000,
    ),
    Parameter(
        name="image_transport",
        default="raw",
        description="raw: sensor_msgs/Image on 'image'; compressed: sensor_msgs/CompressedImage on 'image/compressed'",
        choices=("raw", "compressed"),
    ),
    Parameter(
        name="interval_frames",
        default=StreamConfig.interval_frames,
        description="A key frame at least every so many frames; 1 runs the segmentor on each frame",
        minimum=1,
        maximum=100_000,
        live=True,
    ),
    Parameter(
        name="max_interval_s",
        default=StreamConfig.max_interval_s,
        description="A key frame also when the last one is this old, in seconds of frame stamps; 0 for max_key_age_s",
        minimum=0.0,
        maximum=3600.0,
        live=True,
    ),
    Parameter(
        name="max_key_age_s",
        default=StreamConfig.max_key_age_s,
        description="Masks this old are not propagated any more, and a longer gap between frames resets the stream",
        minimum=0.001,
        maximum=3600.0,
        live=True,
    ),
    Parameter(
        name="overlay_alpha",
        default=0.5,
        description="Opacity of the class colours in the overlay image",
        minimum=0.0,
        maximum=1.0,
        live=True,
    ),
    Parameter(
        name="autostart",
        default=True,
        description="Configure and activate by itself; false leaves the lifecycle transitions to a manager",
    ),
)


@dataclass(frozen=True, kw_only=True)
class NodeConfig:
    """The values of all parameters, by the table's names, checked."""

    model: str
    propagation: str
    device: str
    precision: str
    threads: int
    mode: str
    queue_size: int
    image_transport: str
    interval_frames: int
    max_interval_s: float
    max_key_age_s: float
    overlay_alpha: float
    autostart: bool

    @property
    def stream(self) -> StreamConfig:
        """What the model side needs of it."""
        return StreamConfig(
            interval_frames=self.interval_frames,
            max_interval_s=self.max_interval_s,
            max_key_age_s=self.max_key_age_s,
        )


def checked_config(values: dict[str, Any]) -> NodeConfig:
    """Build a `NodeConfig` from all parameters' values; raises `ConfigError` if any of them is out of range."""
    for parameter in PARAMETERS:
        parameter.check(values[parameter.name])
    config = NodeConfig(**{field.name: values[field.name] for field in fields(NodeConfig)})
    config.stream  # noqa: B018  raises if the combination is refused
    return config


def declare_parameters(node: Node) -> NodeConfig:
    """Declare the table on a node and return the values it starts with.

    Raises:
        ConfigError: If a given value is of another type or out of range.
    """
    try:
        values = {p.name: node.declare_parameter(p.name, p.default, p.descriptor()).value for p in PARAMETERS}
    except Exception as error:  # rclpy has one exception type for each way in which a value can be wrong
        raise ConfigError(str(error)) from error
    return checked_config(values)
