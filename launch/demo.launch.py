"""Replay the shipped clip through the nodes and look at it: ``ros2 launch mpvss_ros demo.launch.py``."""

import os
from pathlib import Path

from ament_index_python.packages import PackageNotFoundError, get_package_prefix
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, LogInfo, OpaqueFunction, Shutdown
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

import mpvss_ros
from mpvss_ros.process.launch_arguments import flag, warn_of_unknown_arguments


def installed(package: str) -> bool:
    """Whether ROS finds a package."""
    try:
        get_package_prefix(package)
    except (PackageNotFoundError, OSError):  # OSError: in a shell in which no ROS is set up
        return False
    return True


# Name, default and description of each argument.
ARGUMENTS = (
    ("rviz", str(installed("rviz2")).lower(), "Show it in rviz2; by default where that is installed"),
    ("foxglove", "false", "Start foxglove_bridge, for Foxglove or Lichtblick with config/foxglove/mpvss.json"),
    ("model", "", "Shipped model's name, checkpoint directory, hub id or .onnx file; empty for the node's default"),
    ("rate", "1.0", "Speed of the replay: 1 as recorded, 2 twice as fast"),
    ("loop", "true", "Replay the clip again and again; false ends everything after it"),
)
CONFIG = Path(__file__).parents[1] / "config"
BAG = Path(mpvss_ros.__file__).parent / "samples" / "rooms"
NAMESPACE = "mpvss"
SEGMENTATION = f"/{NAMESPACE}/segmentation"
IMAGE, CAMERA_INFO, DEPTH = "/camera/image_raw", "/camera/camera_info", "/camera/depth_registered/image_raw"
NO_VIEWER = "nothing shows the results: give rviz:=true or foxglove:=true, or subscribe to /mpvss/overlay and /mpvss/points"
# The clip has compressed images only, and stamps of when it was made: all nodes take the time from /clock.
FROM_CLIP = {"image_transport": "compressed", "use_sim_time": True}
# The replay offers it, and then DDS sends again what large images lose on the way.
RELIABLE = {f"qos_overrides.{IMAGE}/compressed.subscription.reliability": "reliable"}


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and what is started."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context) -> list:
    """The nodes, and what shows their results.

    Raises:
        ValueError: If an argument cannot be used, with one line that says why.
    """
    warn_of_unknown_arguments(context, (name for name, _, _ in ARGUMENTS), launch_file=__file__)
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    viewers = [
        *([rviz()] if wanted("rviz", given["rviz"], package="rviz2") else []),
        *([foxglove_bridge()] if wanted("foxglove", given["foxglove"], package="foxglove_bridge") else []),
    ]
    replay = replay_node(rate(given["rate"]), loop=flag("loop", given["loop"]))
    return [segmentation_node(given["model"]), cloud_node(), replay, *(viewers or [LogInfo(msg=NO_VIEWER)])]


def segmentation_node(model: str) -> Node:
    """Labels of the clip's images; without it there is nothing to look at."""
    return Node(
        package="mpvss_ros",
        executable="segmentation_node",
        name="segmentation",
        namespace=NAMESPACE,
        output="screen",
        parameters=[FROM_CLIP | RELIABLE | ({"model": ParameterValue(model, value_type=str)} if model else {})],
        remappings=[("image", IMAGE), ("camera_info_in", CAMERA_INFO)],
        on_exit=Shutdown(reason="the segmentation node has ended"),
    )


def cloud_node() -> Node:
    """The cloud, in the colours of the classes."""
    return Node(
        package="mpvss_ros",
        executable="cloud_node",
        name="cloud",
        namespace=NAMESPACE,
        output="screen",
        parameters=[FROM_CLIP | {"colors": "classes"}],
        remappings=[("depth", DEPTH), ("image", IMAGE), ("camera_info_in", CAMERA_INFO)],
    )


def replay_node(rate: float, *, loop: bool) -> Node:
    """The clip's messages and their time."""
    return Node(
        package="mpvss_ros",
        executable="replay_node",
        name="replay",
        namespace=NAMESPACE,
        output="screen",
        # rviz subscribes to the images, too, and sooner.
        parameters=[{"bag": str(BAG), "rate": rate, "loop": loop, "publish_clock": True, "wait_for_node": SEGMENTATION}],
        on_exit=Shutdown(reason="the replay has ended"),
    )


def rviz() -> Node:
    """rviz2 with camera, labels, overlay, confidence and cloud."""
    return Node(
        package="rviz2",
        executable="rviz2",
        name="rviz",
        arguments=["-d", str(CONFIG / "rviz" / "mpvss.rviz")],
        parameters=[{"use_sim_time": True}],
    )


def foxglove_bridge() -> Node:
    """What Foxglove and Lichtblick connect to, at ws://localhost:8765."""
    return Node(
        package="foxglove_bridge",
        executable="foxglove_bridge",
        name="foxglove_bridge",
        output="screen",
        parameters=[{"use_sim_time": True}],
    )


def wanted(name: str, text: str, *, package: str) -> bool:
    """Whether an argument asks for a viewer, which then has to be installed."""
    if not flag(name, text):
        return False
    if not installed(package):
        debian = f"ros-{os.environ.get('ROS_DISTRO', 'DISTRO')}-{package.replace('_', '-')}"
        raise ValueError(f"{name}:={text} needs {package}, which is not installed: sudo apt install {debian}")
    return True


def rate(text: str) -> float:
    """A speed above 0."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value < float("inf"):
        raise ValueError(f"rate:={text} must be a number above 0")
    return value
