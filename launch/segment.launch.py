"""Start the segmentation node: ``ros2 launch mpvss_ros segment.launch.py image:=/my_camera/image_raw``."""

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration, PathJoinSubstitution
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue
from launch_ros.substitutions import FindPackageShare

# Name, default and description of each argument.
ARGUMENTS = (
    ("cameras", "[]", "Names of several cameras, such as ['front','rear']; empty for one, with topics without prefix"),
    (
        "image",
        "/{camera}/image_raw",
        "Camera topic; {camera} stands for each camera's name, 'camera' if there is only one. "
        "With image_transport:=compressed the node reads <image>/compressed",
    ),
    ("camera_info", "/{camera}/camera_info", "Camera info topic, republished beside the labels; {camera} likewise"),
    (
        "params_file",
        PathJoinSubstitution([FindPackageShare("mpvss_ros"), "config", "segment.yaml"]),
        "Parameters of the node; arguments that are given win over it",
    ),
    ("model", "", "Shipped model's name, checkpoint directory or hub id; empty for the one in params_file"),
    ("device", "", "auto, cpu, cuda or cuda:N; empty for the one in params_file"),
    ("image_transport", "", "raw or compressed; empty for the one in params_file"),
    ("namespace", "mpvss", "Namespace of the node and its topics"),
    ("use_sim_time", "false", "Take the time from /clock"),
    ("log_level", "info", "debug, info, warn, error or fatal"),
    ("autostart", "true", "Configure and activate by itself; false leaves that to a lifecycle manager"),
)
STRING_PARAMETERS = ("model", "device", "image_transport")
FLAG_PARAMETERS = ("use_sim_time", "autostart")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=start_node)])


def start_node(context) -> list[Node]:
    """The node, with those parameters that were given as arguments; called when the arguments' values are known."""
    given = {name: LaunchConfiguration(name).perform(context) for name in STRING_PARAMETERS}
    parameters = {name: ParameterValue(value, value_type=str) for name, value in given.items() if value}
    parameters |= {name: ParameterValue(LaunchConfiguration(name), value_type=bool) for name in FLAG_PARAMETERS}
    cameras = yaml.safe_load(LaunchConfiguration("cameras").perform(context)) or []
    if cameras:
        parameters["cameras"] = cameras
    node = Node(
        package="mpvss_ros",
        executable="segmentation_node",
        name="segmentation",
        namespace=LaunchConfiguration("namespace"),
        output="screen",
        emulate_tty=True,
        parameters=[LaunchConfiguration("params_file"), parameters],
        remappings=remappings(context, cameras),
        ros_arguments=["--log-level", LaunchConfiguration("log_level")],
    )
    return [node]


def remappings(context, cameras: list[str]) -> list[tuple[str, str]]:
    """From the node's input names to the camera topics."""
    pairs = []
    for argument, name in (("image", "image"), ("camera_info", "camera_info_in")):
        topic = LaunchConfiguration(argument).perform(context)
        if len(cameras) > 1 and "{camera}" not in topic:
            raise ValueError(f"{argument}:={topic} must contain {{camera}}, since there are {len(cameras)} cameras")
        pairs += [(f"{camera}/{name}", topic.replace("{camera}", camera)) for camera in cameras]
        if not cameras:
            pairs.append((name, topic.replace("{camera}", "camera")))
    return pairs
