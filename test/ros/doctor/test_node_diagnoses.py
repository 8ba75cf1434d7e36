"""What is said of the segmentation node: whether it is there, and at work."""

import re
from pathlib import Path

import pytest

from mpvss_ros.doctor.examination import examine, summary

from .snapshots import CAMERA, HEALTHY, IMAGE, LABELS, NODE, end, graph, only_problem, problems

OTHER = "/robot1/mpvss/segmentation"
# What the graph holds of a node that is not active.
IDLE = {"subscribed": {IMAGE: (), "/camera/camera_info": ()}, "statuses": (), "images": {}, "camera_infos": {}}


def test_nothing_is_said_of_a_healthy_graph():
    assert examine(HEALTHY) == []
    assert summary(HEALTHY) == f"{NODE} is active, reads {IMAGE} (), answers at 29.5 Hz"


@pytest.mark.parametrize(
    "environment, words",
    [
        ({}, "ROS_DOMAIN_ID=0 with rmw_fastrtps_cpp"),
        ({"ROS_DOMAIN_ID": "7", "ROS_LOCALHOST_ONLY": "1"}, "unset ROS_LOCALHOST_ONLY to see those of others"),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}, "unset ROS_AUTOMATIC_DISCOVERY_RANGE to see those of others"),
    ],
)
def test_an_empty_graph_is_a_matter_of_domain_and_discovery(environment, words):
    empty = {name: () for name in (*HEALTHY.published, *HEALTHY.subscribed)}
    seen = graph(nodes=(), published=empty, subscribed=empty, environment=environment, statuses=(), images={}, state=None)
    text = only_problem(seen, "nothing-seen")
    assert words in text and ("unset" in text) == (len(environment) > 0)


def test_a_node_that_does_not_run_is_to_be_started():
    alone = {name: () for name in HEALTHY.published if name != IMAGE}
    seen = graph(nodes=(CAMERA,), published=alone, state=None, parameters=None, **IDLE)
    assert only_problem(seen, "not-running") == (
        f"the node {NODE} is not among the 1 that run: start it: ros2 launch mpvss_ros segment.launch.py; if it has ended, "
        "its log says why; if it runs, then not on this shell's ROS_DOMAIN_ID=0"
    )


@pytest.mark.parametrize(("rmw", "is_named"), [("rmw_fastrtps_cpp", True), ("rmw_cyclonedds_cpp", False)])
def test_nodes_of_other_users_have_no_names_with_fast_dds(rmw, is_named):
    seen = graph(nodes=(CAMERA,), published={"/mpvss/key_frame": (), LABELS: ()}, rmw=rmw, other_users=("robot",), **IDLE)
    text = only_problem(seen, "not-running")
    assert (
        text.endswith(
            "; nodes of the user 'robot' on this machine keep their names from others with Fast DDS: look as that user"
        )
        == is_named
    )


@pytest.mark.parametrize("other", [OTHER, "/front/labeller"])
def test_a_segmentation_node_of_another_name_is_pointed_at(other):
    published = {"/x/key_frame": (end(other, "sensor_msgs/msg/TimeReference"),), "/mpvss/key_frame": (), LABELS: ()}
    seen = graph(nodes=(CAMERA, other), published=published, state=None, parameters=None, **IDLE)
    assert f"look at another one with mpvss doctor --node {other}" in only_problem(seen, "not-running")


def test_two_nodes_of_one_name_are_counted():
    assert only_problem(graph(nodes=(NODE, NODE, CAMERA)), "same-name").startswith(f"2 nodes have the name {NODE}")


def test_a_node_of_another_kind_is_no_segmentation_node():
    text = only_problem(graph(parameters={}, state=None, **IDLE, nodes=(NODE, OTHER)), "other-kind")
    assert text == f"{NODE} is no segmentation node of this package: give --node {OTHER}"


def test_a_node_that_does_not_answer_is_loading_its_model():
    text = only_problem(graph(state=None, parameters=None, **IDLE), "not-answering")
    assert text.startswith(f"{NODE} has not answered for 5 s: it is loading its model, or hangs")


def test_a_node_that_reports_and_reads_images_is_at_work_although_its_services_were_not_found_in_time():
    assert problems(graph(state=None, parameters=None)) == []


@pytest.mark.parametrize(
    "state, way_out",
    [
        ("unconfigured", f"no model is loaded: ros2 lifecycle set {NODE} configure"),
        ("inactive", f"it reads no images: ros2 lifecycle set {NODE} activate"),
        ("configuring", "it is loading its model"),
        ("finalized", "start it anew"),
        ("deactivating", "wait until it is done"),
    ],
)
def test_a_node_that_is_not_active_is_named_with_its_state(state, way_out):
    text = only_problem(graph(state=state, **IDLE), "not-active")
    assert text.startswith(f"{NODE} is {state}, not active: ") and way_out in text


def test_an_active_node_that_reports_nothing_hangs():
    assert "nothing of it came on /diagnostics for 5 s" in only_problem(graph(statuses=()), "no-diagnostics")


def test_the_page_has_all_names_of_findings():
    root = Path(__file__).parents[3]
    sources = "".join(path.read_text() for path in sorted((root / "mpvss_ros" / "doctor").glob("*_diagnoses.py")))
    rows = re.findall(r"^\| (`[a-z]+(?:-[a-z]+)*`(?:, `\w+`)*) \|", (root / "docs" / "doctor.md").read_text(), re.MULTILINE)
    assert set(re.findall(r"`([\w-]+)`", " ".join(rows))) == set(re.findall(r'Finding\(\s*"([\w-]+)"', sources))
