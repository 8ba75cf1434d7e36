"""Start the cloud node: ``ros2 launch mpvss_ros cloud.launch.py depth:=/camera/aligned_depth_to_color/image_raw``."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mpvss_ros.process.launch_arguments import checked_log_level, existing_file, flag, warn_of_unknown_arguments

# Name, default and description of each argument. An empty default is "not given": then the node's parameter has the value that
# a parameter file gives it, or its own default.
ARGUMENTS = (
    ("depth", "/camera/depth_registered/image_raw", "Depth topic, registered to the labelled camera: 16UC1 or 32FC1"),
    ("image", "/camera/image_raw", "The labelled camera's images, for the points' colours"),
    ("camera_info", "/camera/camera_info", "The labelled camera's calibration"),
    ("cloud_in", "", "A cloud whose points get labels, instead of depth that becomes a cloud; empty for depth"),
    ("labels", "", "Label images, where a profile (for:=hydra) sends them elsewhere; empty for labels in the namespace"),
    ("params_file", "", "YAML file with parameters of the node; arguments win over it"),
    ("image_transport", "", "raw or compressed; empty for the one in params_file, else raw"),
    ("depth_transport", "", "raw or compressedDepth; empty for the one in params_file, else raw"),
    ("organized", "", "false: only points with depth; empty for the one in params_file, else true"),
    ("namespace", "mpvss", "Namespace of the segmentation node, whose labels are read; of several cameras mpvss/CAMERA"),
    ("use_sim_time", "", "true: take the time from /clock; empty for what params_file says, else false"),
    ("log_level", "info", "debug, info, warn, error or fatal; NAME:=LEVEL for one logger"),
    ("respawn", "false", "Start the node again when it ends"),
)
NODE_NAME = "cloud"
TEXT_PARAMETERS = ("image_transport", "depth_transport")
FLAG_PARAMETERS = ("organized", "use_sim_time")
# Of the node's topics, by the name of the argument.
TOPICS = {"depth": "depth", "image": "image", "camera_info": "camera_info_in", "cloud_in": "cloud_in", "labels": "labels"}
RESPAWN_DELAY_S = 2.0


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context) -> list[Node]:
    """The node, with those parameters that were given as arguments.

    Raises:
        ValueError: If an argument cannot be used, with one line that says why.
    """
    warn_of_unknown_arguments(context, (name for name, _, _ in ARGUMENTS), launch_file=__file__)
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    params_files = [existing_file("params_file", given["params_file"])] if given["params_file"] else []
    parameters = {name: ParameterValue(given[name], value_type=str) for name in TEXT_PARAMETERS if given[name]}
    parameters |= {name: flag(name, given[name]) for name in FLAG_PARAMETERS if given[name]}
    if given["cloud_in"]:
        parameters["source"] = ParameterValue("cloud", value_type=str)
    node = Node(
        package="mpvss_ros",
        executable="cloud_node",
        name=NODE_NAME,
        namespace=given["namespace"],
        output="screen",
        respawn=flag("respawn", given["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        parameters=[*params_files, parameters] if parameters else params_files,
        remappings=[(topic, given[argument]) for argument, topic in TOPICS.items() if given[argument]],
        ros_arguments=["--log-level", checked_log_level(given["log_level"])],
    )
    return [node]
