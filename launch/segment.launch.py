"""Start the segmentation node: ``ros2 launch mpvss_ros segment.launch.py image:=/my_camera/image_raw``.

With ``for:=nav2`` or another one who reads the labels, topics and parameters are as that one wants them.
"""

import re
from pathlib import Path

import yaml
from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from mpvss_ros.process.launch_arguments import checked_log_level, existing_file, flag, warn_of_unknown_arguments
from mpvss_ros.process.parameter_files import matches, parameter_blocks

# Name, default and description of each argument. An empty default is "not given": then the node's parameter has the value that
# a parameter file or `SetParameter` gives it, or its own default.
ARGUMENTS = (
    (
        "cameras",
        "",
        "Names of several cameras, such as ['front','rear']; empty for those in params_file, or one without a name",
    ),
    (
        "image",
        "/{camera}/image_raw",
        "Camera topic; {camera} stands for each camera's name, 'camera' if there is only one. "
        "With image_transport:=compressed the node reads <image>/compressed",
    ),
    (
        "camera_info",
        "",
        "Camera info topic, republished beside the labels; {camera} as in image. Empty for camera_info beside the image",
    ),
    (
        "for",
        "",
        "Who reads the labels, nav2, hydra, elevation_mapping or nvblox: topics and parameters as in config/profiles; "
        "params_file and arguments win over it",
    ),
    ("params_file", "", "YAML file with parameters of the node, such as a copy of config/segment.yaml; arguments win over it"),
    ("model", "", "Shipped model's name, checkpoint directory, hub id or .onnx file; empty for the one in params_file"),
    ("device", "", "auto, cpu, cuda or cuda:N; empty for the one in params_file"),
    ("image_transport", "", "raw or compressed; empty for the one in params_file"),
    ("namespace", "mpvss", "Namespace of the node and its topics"),
    ("use_sim_time", "", "true: take the time from /clock; empty for what params_file or SetParameter say, else false"),
    ("log_level", "info", "debug, info, warn, error or fatal; NAME:=LEVEL for one logger"),
    (
        "autostart",
        "",
        "Configure and activate by itself; false leaves it to a lifecycle manager; empty for what params_file says, else true",
    ),
    ("respawn", "false", "Start the node again when it ends"),
)
NODE_NAME = "segmentation"
PROFILES = Path(__file__).parents[1] / "config" / "profiles"
STRING_PARAMETERS = ("model", "device", "image_transport")
FLAG_PARAMETERS = ("use_sim_time", "autostart")
RESPAWN_DELAY_S = 2.0
CAMERA_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]*")


def generate_launch_description() -> LaunchDescription:
    """Declare the arguments and the node."""
    arguments = [DeclareLaunchArgument(name, default_value=default, description=text) for name, default, text in ARGUMENTS]
    return LaunchDescription([*arguments, OpaqueFunction(function=start)])


def start(context) -> list[Node]:
    """The node, in what a launch file around this one has set; called when the arguments' values are known."""
    warn_of_unknown_arguments(context, (name for name, _, _ in ARGUMENTS), launch_file=__file__)
    around = context.launch_configurations
    return start_node(
        context, outer_namespace=around.get("ros_namespace", ""), outer_parameters=tuple(around.get("global_params", ()))
    )


def start_node(context, *, outer_namespace: str = "", outer_parameters: tuple = ()) -> list[Node]:
    """The node, with those parameters that were given as arguments.

    Args:
        context: Of the launch, with the arguments' values.
        outer_namespace: What ``PushRosNamespace`` put before the node's own.
        outer_parameters: Name and value of each ``SetParameter`` around, and paths of parameter files.

    Raises:
        ValueError: If an argument or the cameras in a parameter file cannot be used, with one line that says why.
    """
    given = {name: LaunchConfiguration(name).perform(context) for name, _, _ in ARGUMENTS}
    profile = read_profile(given["for"]) if given["for"] else {}
    params_files = [existing_file("params_file", given["params_file"])] if given["params_file"] else []
    node_name = "/" + "/".join(part for part in f"{outer_namespace}/{given['namespace']}".split("/") if part)
    elsewhere = parameters_set_elsewhere((*outer_parameters, *params_files), f"{node_name.rstrip('/')}/{NODE_NAME}")
    # Left out, not given before the file: of several keys for a node, rcl takes the one that it meets last for the first time.
    parameters = {name: typed(value) for name, value in profile.get("parameters", {}).items() if name not in elsewhere}
    parameters |= {name: ParameterValue(given[name], value_type=str) for name in STRING_PARAMETERS if given[name]}
    parameters |= {name: flag(name, given[name]) for name in FLAG_PARAMETERS if given[name]}
    if given["cameras"]:
        cameras = camera_names(given["cameras"], f"cameras:={given['cameras']}")
    elif elsewhere.get("cameras") is not None:
        cameras = camera_names(elsewhere["cameras"], f"parameter cameras: {elsewhere['cameras']}")
    else:
        cameras = []
    if cameras or given["cameras"]:  # also those of a SetParameter, whose lists launch_ros hands on as text
        parameters["cameras"] = ParameterValue(cameras or [""], value_type=list[str])
    node = Node(
        package="mpvss_ros",
        executable="segmentation_node",
        name=NODE_NAME,
        namespace=given["namespace"],
        output="screen",
        respawn=flag("respawn", given["respawn"]),
        respawn_delay=RESPAWN_DELAY_S,
        parameters=[*params_files, parameters] if parameters else params_files,
        remappings=[
            *remappings(cameras, image=given["image"], camera_info=given["camera_info"]),
            *output_remappings(cameras, profile.get("remappings", {})),
        ],
        ros_arguments=["--log-level", checked_log_level(given["log_level"])],
    )
    return [node]


def read_profile(name: str) -> dict:
    """What one who reads the labels wants: ``remappings`` of the node's topics, and ``parameters``.

    Raises:
        ValueError: If there is no such profile.
    """
    files = {file.stem: file for file in sorted(PROFILES.glob("*.yaml"))}
    if name not in files:
        raise ValueError(f"for:={name} must be one of {', '.join(files)}")
    return read_yaml(files[name])


def typed(value):
    """A parameter's value of a YAML file, to be handed on as it is: launch would read texts as YAML once more."""
    if isinstance(value, list):
        return ParameterValue(value, value_type=list[type(value[0])])
    return ParameterValue(value, value_type=str) if isinstance(value, str) else value


def camera_names(value, source: str) -> list[str]:
    """Names of cameras from an argument's YAML text or a parameter's value; empty texts stand for no name.

    Args:
        value: Text, or the list itself.
        source: What the user wrote, for the error.

    Raises:
        ValueError: If it is not a list of different names that can be part of a topic's name.
    """
    try:
        names = yaml.safe_load(value) if isinstance(value, str) else value
    except yaml.YAMLError:
        names = value
    if isinstance(names, (list, tuple)):
        names = [name for name in names if name != ""]
        if all(isinstance(name, str) and CAMERA_NAME.fullmatch(name) for name in names) and len(set(names)) == len(names):
            return names
    raise ValueError(f"{source}: cameras must be a list of different names such as ['front','rear']")


def parameters_set_elsewhere(sources: tuple, node_name: str) -> dict:
    """The values that the node's parameters have without arguments.

    As rcl reads them: of all keys that match the node, in the order in which each first appears, the last one wins.

    Args:
        sources: Names and values that are set for all nodes, and paths of parameter files, in order.
        node_name: With its namespace.

    Returns:
        Those that are set, by name.
    """
    by_key: dict[str, dict] = {}
    for source in sources:
        blocks = [("/**", dict([source]))] if isinstance(source, tuple) else parameter_blocks(read_yaml(source))
        for key, values in blocks:
            by_key.setdefault(key, {}).update(values)
    found: dict = {}
    for key, values in by_key.items():
        if matches(key, node_name):
            found |= values
    return found


def read_yaml(path) -> dict:
    """A parameter file's contents; rcl refuses those that are no mapping."""
    try:
        contents = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"cannot read parameter file {path}: {' '.join(str(error).split())}") from error
    return contents if isinstance(contents, dict) else {}


def remappings(cameras: list[str], *, image: str, camera_info: str) -> list[tuple[str, str]]:
    """From the node's input names to the camera topics.

    Args:
        cameras: Empty for one without a name.
        image: Topic, perhaps with {camera}.
        camera_info: Likewise; empty for the one beside the image.
    """
    topics = {"image": image, "camera_info": camera_info or camera_info_beside(image)}
    for argument, topic in topics.items():
        if len(cameras) > 1 and "{camera}" not in topic:
            raise ValueError(f"{argument}:={topic} must contain {{camera}}, since there are {len(cameras)} cameras")
    inputs = {"image": topics["image"], "camera_info_in": topics["camera_info"]}
    if not cameras:
        return [(name, topic.replace("{camera}", "camera")) for name, topic in inputs.items()]
    return [(f"{camera}/{name}", topic.replace("{camera}", camera)) for name, topic in inputs.items() for camera in cameras]


def output_remappings(cameras: list[str], topics: dict[str, str]) -> list[tuple[str, str]]:
    """From names of what the node publishes to the topics that a profile wants.

    Args:
        cameras: Empty for one without a name.
        topics: By the node's names; {camera} stands for the camera's name, 'camera' if there is only one, and {index} for its
            place in the list, from 0 on.
    """
    pairs = []
    for index, camera in enumerate(cameras or [""]):
        for name, topic in topics.items():
            wanted = topic.replace("{camera}", camera or "camera").replace("{index}", str(index))
            pairs.append((f"{camera}/{name}" if camera else name, wanted))
    return pairs


def camera_info_beside(image: str) -> str:
    """Where cameras publish their camera_info: under the image topic's namespace, as image_transport has it."""
    namespace, _, name = image.rpartition("/")
    if name == "compressed":
        namespace, _, name = namespace.rpartition("/")
    if "{camera}" in name:  # images of all cameras in one namespace, which has room for one camera_info
        return "/{camera}/camera_info"
    return f"{namespace}/camera_info" if "/" in image else "camera_info"
