"""The node's parameters: one table, from which descriptors, checks and a typed configuration are made."""

from __future__ import annotations

import re
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.node import Node

from mpvss_model import ConfigError, StreamConfig
from mpvss_model.config import DEFAULT_MODEL, PRECISIONS, UNLABELED, DecodingConfig, ExecutionConfig
from mpvss_model.propagation.registry import AUTO, propagation_choices
from mpvss_model.settings import Setting, settings_of
from mpvss_ros.messages.label_ids import LABEL_ENCODINGS, LabelIds
from mpvss_ros.node.class_map import parse_entries

__all__ = ["PARAMETERS", "NodeConfig", "Parameter", "checked_config", "declare_parameters"]


KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
LISTS = {int: "a list of whole numbers", str: "a list of texts"}
MAX_LABEL_SIZE = 16_384
# Whether a parameter may change, as its descriptor says it.
LIVE = "may change live, from the next frame on"
FIXED = "fixed while a model is loaded: clean up the node before it changes"
# ROS has no empty list to start from: these stand for it.
NO_TEXTS = ("",)
INPUT_SIZE = (0, 0)


def _is_device(value: str) -> bool:
    return re.fullmatch(r"auto|cpu|cuda(:\d+)?", value) is not None


def _are_camera_names(value: tuple[str, ...]) -> bool:
    names = [name for name in value if name]
    return len(set(names)) == len(names) and all(re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) for name in names)


def _is_label_size(value: tuple[int, ...]) -> bool:
    return value == INPUT_SIZE or (len(value) == 2 and all(1 <= side <= MAX_LABEL_SIZE for side in value))


@dataclass(frozen=True, kw_only=True)
class Parameter:
    """One row of the table.

    Attributes:
        name: As users write it.
        default: Also fixes the type; a tuple stands for a list.
        description: One line for ``ros2 param describe``.
        minimum: Smallest value of a number.
        maximum: Largest value of a number.
        choices: The values a string may take; empty for any.
        accepts: Whether a value of the right type may be used, where no range and no choices say it.
        requirement: What ``accepts`` asks for, in words.
        live: Whether it may change while a model is loaded.
    """

    name: str
    default: Any
    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    accepts: Callable[[Any], bool] = lambda value: True
    requirement: str = ""
    live: bool = False

    @property
    def ros_default(self) -> Any:
        """The default as rclpy takes it."""
        return list(self.default) if isinstance(self.default, tuple) else self.default

    def checked(self, value: Any) -> Any:
        """The value as the node uses it; raises `ConfigError`, naming parameter, value and range, if it may not be used."""
        if isinstance(self.default, tuple):
            value = self._checked_list(value)
        elif type(value) is not type(self.default) and not (isinstance(self.default, float) and type(value) is int):
            raise self._error(KINDS[type(self.default)], value)
        if self.choices and value not in self.choices:
            raise self._error(f"one of {', '.join(self.choices)}", value)
        if self.minimum is not None and not self.minimum <= value <= self.maximum:
            raise self._error(f"in {self.minimum} .. {self.maximum}", value)
        if not self.accepts(value):
            raise self._error(self.requirement, value)
        return value

    def _checked_list(self, value: Any) -> tuple:
        # An empty list on the command line or in a parameter file arrives as no value at all.
        items = () if value is None else value
        kind = type(self.default[0])
        if not isinstance(items, (list, tuple, array)) or any(type(item) is not kind for item in items):
            raise self._error(LISTS[kind], value)
        return tuple(items) or self.default

    def _error(self, requirement: str, value: Any) -> ConfigError:
        shown = list(value) if isinstance(value, (tuple, array)) else value
        return ConfigError(f"parameter {self.name!r} must be {requirement}, got {shown!r}")

    def descriptor(self) -> ParameterDescriptor:
        """For ``declare_parameter``."""
        # rclpy's own check of types names neither parameter nor value, and refuses 2 where 2.0 is meant.
        descriptor = ParameterDescriptor(name=self.name, description=self.description, dynamic_typing=True)
        # `read_only` would forbid changes before a model is loaded, too.
        change = LIVE if self.live else FIXED
        allowed = f"one of: {', '.join(self.choices)}" if self.choices else self.requirement
        descriptor.additional_constraints = f"{allowed}; {change}" if allowed else change
        if isinstance(self.default, float):
            descriptor.floating_point_range = [FloatingPointRange(from_value=self.minimum, to_value=self.maximum)]
        elif self.minimum is not None:
            descriptor.integer_range = [IntegerRange(from_value=self.minimum, to_value=self.maximum, step=0)]
        return descriptor


def _parameter_of(setting: Setting) -> Parameter:
    """A setting of the model side as a parameter."""
    smallest, largest = setting.offered or (setting.minimum, setting.maximum)
    row = Parameter(
        name=setting.name,
        default=setting.default,
        description=setting.description,
        choices=setting.choices,
        live=setting.live,
    )
    if isinstance(setting.default, str):
        return row
    if not setting.special:
        return replace(row, minimum=smallest, maximum=largest)
    special = ", ".join(map(str, setting.special))
    return replace(row, accepts=setting.allows, requirement=f"{special} or in {smallest} .. {largest}")


def _with_auto(row: Parameter) -> Parameter:
    """The parameter ``key_frames``, which the node's mode decides unless it is given."""
    description = f"{row.description}; auto: async in realtime mode"
    return replace(row, default="auto", choices=("auto", *row.choices), description=description)


PARAMETERS = (
    Parameter(
        name="model",
        default=DEFAULT_MODEL,
        description="Checkpoint of a segmentor: name of a shipped model, a directory, a hub id (downloads on first use), or "
        "an .onnx file",
        accepts=bool,
        requirement="the name of a model",
    ),
    Parameter(
        name="propagation",
        default=AUTO,
        description="How masks reach the frames in between; auto: what the model recommends, tracked without a motion module",
        choices=propagation_choices(),
    ),
    Parameter(
        name="device",
        default="auto",
        description="Where the model runs: auto (CUDA where there is one), cpu, cuda or cuda:N",
        accepts=_is_device,
        requirement="auto, cpu, cuda or cuda:N",
    ),
    Parameter(
        name="precision",
        default="auto",
        description="Floating-point type of the networks; auto: fp16 on a GPU, bf16 on CPUs made for it, else fp32",
        choices=PRECISIONS,
    ),
    *map(_parameter_of, settings_of(ExecutionConfig)),
    Parameter(
        name="threads",
        default=0,
        description="CPU threads for the model and optical flow; 0: half of the cores",
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
    *map(_parameter_of, settings_of(DecodingConfig)),
    Parameter(
        name="cameras",
        default=NO_TEXTS,
        description="Names of several cameras, each with topics and services of its own below its name; empty for one camera",
        accepts=_are_camera_names,
        requirement="a list of different names of letters, digits and _, each beginning with a letter",
    ),
    *(_with_auto(row) if row.name == "key_frames" else row for row in map(_parameter_of, settings_of(StreamConfig))),
    Parameter(
        name="output_size",
        default=INPUT_SIZE,
        description="Width and height of labels and confidence, resized to the nearest pixel; [0, 0] for the camera image's",
        accepts=_is_label_size,
        requirement=f"[width, height] in 1 .. {MAX_LABEL_SIZE}, or [0, 0]",
        live=True,
    ),
    Parameter(
        name="class_map",
        default=NO_TEXTS,
        description="Published classes: 'class=name' each; equal names merge, '*' stands for the rest, no name: unlabeled",
        requirement="a list of 'class=name' that names each class once",
    ),
    Parameter(
        name="thing_classes",
        default=NO_TEXTS,
        description="The model's classes that are things, for the topics panoptic and instances; by default as the model says",
        requirement="a list of the names of the model's classes",
    ),
    Parameter(
        name="label_encoding",
        default="mono8",
        description="Of the label images: mono8, or signed 16 bits, 16SC1, as Hydra and Kimera take them",
        choices=LABEL_ENCODINGS,
    ),
    Parameter(
        name="unlabeled_id",
        default=UNLABELED,
        description="What pixels without a class are in label images; ids of classes leave it out: with 0, they begin at 1",
        minimum=-(2**15),
        maximum=2**15 - 1,
    ),
    Parameter(
        name="score_classes",
        default=NO_TEXTS,
        description="Published classes that the topic class_scores has a channel for, in this order; all by default",
        requirement="a list of the names of published classes",
    ),
    Parameter(
        name="label_info_period_s",
        default=2.0,
        description="The names of the classes are published again so often, in seconds; 0: once, latched",
        minimum=0.0,
        maximum=3600.0,
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
    """The values of all parameters, checked: those of the model side in its own configurations, the others by their names."""

    model: str
    propagation: str
    device: str
    precision: str
    execution: ExecutionConfig
    threads: int
    mode: str
    queue_size: int
    image_transport: str
    decoding: DecodingConfig
    cameras: tuple[str, ...]
    key_frames: str
    stream: StreamConfig
    output_size: tuple[int, ...]
    class_map: tuple[str, ...]
    thing_classes: tuple[str, ...]
    label_encoding: str
    unlabeled_id: int
    score_classes: tuple[str, ...]
    label_info_period_s: float
    overlay_alpha: float
    autostart: bool

    @classmethod
    def from_values(cls, values: Mapping[str, Any]) -> NodeConfig:
        """From a value for each parameter, of the right type and in its range.

        Raises:
            ConfigError: If values do not go together.
        """
        automatic = "sync" if values["mode"] == "lossless" else "async"
        key_frames = automatic if values["key_frames"] == "auto" else values["key_frames"]
        own = {field.name: values[field.name] for field in fields(cls) if field.name in values}
        return cls(
            **own,
            execution=ExecutionConfig(**_values_of(ExecutionConfig, values)),
            decoding=DecodingConfig(**_values_of(DecodingConfig, values)),
            stream=StreamConfig(**{**_values_of(StreamConfig, values), "key_frames": key_frames}),
        )

    @property
    def values(self) -> dict[str, Any]:
        """Of the parameters by name, as `from_values` takes them."""
        parts = {**vars(self.execution), **vars(self.decoding), **vars(self.stream), **vars(self)}
        return {row.name: parts[row.name] for row in PARAMETERS}

    @property
    def camera_names(self) -> tuple[str, ...]:
        """One empty name for a node with one camera, whose topics need no prefix."""
        return tuple(name for name in self.cameras if name) or ("",)

    @property
    def class_map_entries(self) -> tuple[str, ...]:
        """What `ClassMap` needs of it."""
        return tuple(entry for entry in self.class_map if entry)

    @property
    def thing_class_names(self) -> tuple[str, ...]:
        """What is given of it."""
        return tuple(name for name in self.thing_classes if name)

    @property
    def score_class_names(self) -> tuple[str, ...]:
        """What is given of it; none for all classes."""
        return tuple(name for name in self.score_classes if name)

    def label_ids(self, count: int = 0) -> LabelIds:
        """Of so many published classes; raises `ConfigError` if ``label_encoding`` cannot hold ``unlabeled_id``."""
        return LabelIds(count, encoding=self.label_encoding, unlabeled_id=self.unlabeled_id)

    @property
    def label_size(self) -> tuple[int, int] | None:
        """Width and height of the label images; None for the camera image's."""
        return None if self.output_size == INPUT_SIZE else self.output_size


def _values_of(config: type, values: Mapping[str, Any]) -> dict[str, Any]:
    return {setting.name: values[setting.name] for setting in settings_of(config)}


def checked_config(values: Mapping[str, Any]) -> NodeConfig:
    """Build a `NodeConfig` from all parameters' values; raises `ConfigError` if any of them is out of range."""
    config = NodeConfig.from_values({p.name: p.checked(values[p.name]) for p in PARAMETERS})
    parse_entries(config.class_map_entries)
    config.label_ids()
    return config


def declare_parameters(node: Node) -> NodeConfig:
    """Declare the table on a node and return the values it starts with.

    Raises:
        ConfigError: If a given value is of another type or out of range.
    """
    try:
        values = {p.name: node.declare_parameter(p.name, p.ros_default, p.descriptor()).value for p in PARAMETERS}
    except Exception as error:  # rclpy has one exception type for each way in which a value can be wrong
        raise ConfigError(str(error)) from error
    return checked_config(values)
