"""Is the segmentation node there, and is it at work?"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher

from mpvss_ros.doctor.finding import Finding
from mpvss_ros.doctor.snapshot import GraphSnapshot

__all__ = ["lifecycle", "not_running", "nothing_seen", "other_kind", "same_name", "silent_node"]

USUAL_NAME = "/segmentation"
KEY_FRAME_TYPE = "sensor_msgs/msg/TimeReference"
LAUNCH = "ros2 launch mpvss_ros segment.launch.py"
MAX_NODES = 3
# What to do about a node that is not active, by its state; {node} is its name.
WAYS_TO_ACTIVE = {
    "unconfigured": "no model is loaded: ros2 lifecycle set {node} configure, and then activate, or start it with "
    "autostart:=true; where configuring has failed, the node's log says why",
    "inactive": "it reads no images: ros2 lifecycle set {node} activate",
    "configuring": "it is loading its model: wait until it is ready",
    "finalized": "it was shut down: start it anew",
}


def nothing_seen(seen: GraphSnapshot) -> Iterator[Finding]:
    """No other node at all: the doctor and the robot are not on one network, as far as ROS goes."""
    if seen.nodes:
        return
    variables = seen.environment
    limits = [f"{name}={variables[name]}" for name in sorted(variables) if name != "ROS_DOMAIN_ID" and variables[name]]
    local = _sees_this_machine_only(seen)
    yield Finding(
        "nothing-seen",
        f"no other node is seen on {_domain(seen)} with {', '.join([*limits, seen.rmw])}: start the nodes, or give "
        "this shell the ROS_DOMAIN_ID and RMW_IMPLEMENTATION that they were started with"
        + (f"; only nodes of this machine are seen: unset {local} to see those of others" if local else "")
        + _other_users(seen),
    )


def _domain(seen: GraphSnapshot) -> str:
    return f"ROS_DOMAIN_ID={seen.environment.get('ROS_DOMAIN_ID') or 0}"


def _other_users(seen: GraphSnapshot) -> str:
    """What to do about nodes of others on this machine; empty if there are none, or another middleware."""
    if not seen.other_users or not seen.rmw.startswith("rmw_fastrtps"):
        return ""
    users = " and ".join(map(repr, seen.other_users))
    return f"; nodes of the user {users} on this machine keep their names from others with Fast DDS: look as that user"


def _sees_this_machine_only(seen: GraphSnapshot) -> str:
    """The variable that makes it so; empty if none does."""
    variables = seen.environment
    if variables.get("ROS_LOCALHOST_ONLY") == "1":
        return "ROS_LOCALHOST_ONLY"
    if variables.get("ROS_AUTOMATIC_DISCOVERY_RANGE", "").upper() in ("LOCALHOST", "OFF"):
        return "ROS_AUTOMATIC_DISCOVERY_RANGE"
    return ""


def not_running(seen: GraphSnapshot) -> Iterator[Finding]:
    """Other nodes are there, but not this one."""
    if not seen.nodes or seen.is_running:
        return
    likely = sorted(_segmentation_nodes(seen), key=lambda name: -SequenceMatcher(None, seen.node, name).ratio())
    ways = [f"mpvss doctor --node {name}" for name in likely[:MAX_NODES]]
    way_out = f"start it: {LAUNCH}; if it has ended, its log says why; if it runs, then not on this shell's {_domain(seen)}"
    way_out += _other_users(seen)
    if ways:
        way_out = f"look at another one with {' or '.join(ways)}"
    yield Finding("not-running", f"the node {seen.node} is not among the {len(seen.nodes)} that run: {way_out}")


def _segmentation_nodes(seen: GraphSnapshot) -> set[str]:
    """By their name, or by what they publish."""
    publishers = {
        end.node
        for topic, ends in seen.published.items()
        for end in ends
        if topic.endswith("/key_frame") and end.type_name == KEY_FRAME_TYPE
    }
    return {name for name in seen.nodes if name.endswith(USUAL_NAME) or name in publishers}


def same_name(seen: GraphSnapshot) -> Iterator[Finding]:
    """Two nodes answer to one name: parameters and services reach either of them."""
    count = list(seen.nodes).count(seen.node)
    if count > 1:
        yield Finding(
            "same-name",
            f"{count} nodes have the name {seen.node}: end all but one, or give each a namespace (namespace:=robot1)",
        )


def other_kind(seen: GraphSnapshot) -> Iterator[Finding]:
    """The node is there and answers, but is no segmentation node."""
    if seen.is_running and seen.parameters is not None and "image_transport" not in seen.parameters:
        others = sorted(_segmentation_nodes(seen) - {seen.node})
        way_out = f"give --node {others[0]}" if others else f"start one: {LAUNCH}"
        yield Finding("other-kind", f"{seen.node} is no segmentation node of this package: {way_out}")


def lifecycle(seen: GraphSnapshot) -> Iterator[Finding]:
    """The node is there, but not active."""
    if not seen.is_running or any(other_kind(seen)):
        return
    if seen.state is None and not (seen.is_active and seen.statuses):
        yield Finding(
            "not-answering",
            f"{seen.node} has not answered for {seen.waited_s:.0f} s: it is loading its model, or hangs: see its log, and "
            "look again with --timeout 60",
        )
    elif not seen.is_active:
        way_out = WAYS_TO_ACTIVE.get(seen.state or "", "wait until it is done").format(node=seen.node)
        yield Finding("not-active", f"{seen.node} is {seen.state}, not active: {way_out}")


def silent_node(seen: GraphSnapshot) -> Iterator[Finding]:
    """The node is active and reports nothing."""
    if seen.is_active and seen.state and not seen.statuses:
        yield Finding(
            "no-diagnostics",
            f"{seen.node} is active, and nothing of it came on /diagnostics for {seen.waited_s:.0f} s: it hangs, or that "
            "topic is remapped",
        )
