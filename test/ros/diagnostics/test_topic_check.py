"""What the graph says of topics, with the peers in a participant of their own, as on a robot."""

import time

import pytest
import rclpy
from rclpy.context import Context
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import String

from mpvss_ros.diagnostics.topic_check import check_inputs, check_outputs

RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
TIMEOUT_S = 20.0


@pytest.fixture
def robot():
    """Another process's node, as far as DDS can tell."""
    context = Context()
    rclpy.init(args=[], context=context)
    node = rclpy.create_node("driver", namespace="robot", context=context)
    yield node
    node.destroy_node()
    rclpy.shutdown(context=context)


@pytest.fixture
def node():
    made = rclpy.create_node("reader")
    yield made
    made.destroy_node()


@pytest.fixture
def inputs(node):
    """Makes a node that reads images; returns a function that waits for a report that fits."""

    def make(image_type=Image, topic="/camera/image_raw", qos=RELIABLE):
        image = node.create_subscription(image_type, topic, print, qos)
        info = node.create_subscription(CameraInfo, "/camera/camera_info", print, qos_profile_sensor_data)
        return lambda condition: until(
            lambda: check_inputs(node, image=image, camera_info=info, argument="front/image"), condition
        )

    return make


def until(look, condition):
    deadline_s = time.monotonic() + TIMEOUT_S
    while not condition(report := look()):
        assert time.monotonic() < deadline_s, report
        time.sleep(0.01)
    return report


@pytest.mark.parametrize(
    "reads, topic, published, type_name, way_out",
    [
        (Image, "/a/compressed", CompressedImage, "CompressedImage", "give front/image:=/a image_transport:=compressed"),
        (CompressedImage, "/a/compressed", Image, "Image", "give front/image:=/a/compressed image_transport:=raw"),
        (Image, "/a/jpeg", CompressedImage, "CompressedImage", "publish it as /a/jpeg/compressed"),
        (Image, "/a/compressedDepth", CompressedImage, "CompressedImage", "that is depth"),
        (Image, "/a/camera_info", CameraInfo, "CameraInfo", "those are no images"),
        (Image, "/a/theora", String, "String", "those are no images"),
    ],
)
def test_a_topic_of_another_type_is_named_with_the_way_out(inputs, robot, reads, topic, published, type_name, way_out):
    report = inputs(reads, topic)
    robot.create_publisher(published, topic, RELIABLE)
    (trouble,) = report(lambda r: r.troubles).troubles
    assert f"{topic} is published as " in trouble and f"/msg/{type_name}, and the node reads" in trouble
    assert way_out in trouble


@pytest.mark.parametrize(
    "reads, topic, published_topic, published, words",
    [
        (Image, "/a/image", "/a/image/compressed", CompressedImage, ["front/image:=/a/image image_transport:=compressed"]),
        (CompressedImage, "/a/image/compressed", "/a/image", Image, ["front/image:=/a/image image_transport:=raw"]),
        (
            CompressedImage,
            "/a/image/compressed/compressed",
            "/a/image/compressed",
            CompressedImage,
            ["is the topic without /compressed", "front/image:=/a/image image_transport:=compressed"],
        ),
        (Image, "/camera/image", "/camera/image_raw", Image, ["front/image:=/camera/image_raw image_transport:=raw"]),
    ],
)
def test_topics_with_images_are_named_where_nobody_publishes(inputs, robot, reads, topic, published_topic, published, words):
    report = inputs(reads, topic)
    assert report(lambda r: True).nobody == f"nobody publishes {topic}"
    robot.create_publisher(published, published_topic, RELIABLE)
    found = report(lambda r: all(word in r.nobody for word in words))
    assert found.nobody.startswith(f"nobody publishes {topic};")


def test_depth_and_what_the_node_itself_publishes_are_not_suggested(inputs, node, robot):
    report = inputs()
    node.create_publisher(Image, "/camera/overlay", RELIABLE)
    robot.create_publisher(CompressedImage, "/camera/image_raw/compressedDepth", RELIABLE)
    robot.create_publisher(Image, "/camera/color", RELIABLE)
    found = report(lambda r: "/camera/color" in r.nobody)
    assert "overlay" not in found.nobody and "compressedDepth" not in found.nobody


def test_two_cameras_on_one_topic_are_named(inputs, robot):
    report = inputs()
    first = robot.create_publisher(Image, "/camera/image_raw", RELIABLE)
    assert report(lambda r: r.publishers == 1).troubles == ()
    robot.create_publisher(Image, "/camera/image_raw", RELIABLE)
    (trouble,) = report(lambda r: r.publishers == 2 and "/robot/driver" in r.troubles[0]).troubles
    assert trouble.startswith("2 publishers on /camera/image_raw")
    robot.destroy_publisher(first)
    assert report(lambda r: r.publishers == 1).troubles == ()


def test_a_camera_that_is_not_heard_counts_until_it_goes(inputs, robot):
    report = inputs()
    camera = robot.create_publisher(Image, "/camera/image_raw", qos_profile_sensor_data)
    found = report(lambda r: r.incompatible_qos)
    assert found.incompatible_qos == {"/camera/image_raw": 1}
    assert (found.publishers, found.nobody, found.troubles) == (0, "", ())
    robot.destroy_publisher(camera)
    report(lambda r: not r.incompatible_qos and r.nobody)


@pytest.mark.parametrize(
    "qos, fits",
    [
        (RELIABLE, True),
        (qos_profile_sensor_data, True),
        (QoSProfile(depth=200), True),
        (QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL), False),
        (QoSProfile(depth=1, deadline=Duration(seconds=1)), False),
    ],
    ids=["reliable", "sensor data", "default", "latched", "deadline"],
)
def test_subscribers_that_get_nothing_count_until_they_go(node, robot, qos, fits):
    publishers = [node.create_publisher(Image, "/labels", RELIABLE)]
    subscription = robot.create_subscription(Image, "/labels", print, qos)
    until(lambda: node.count_subscribers("/labels"), lambda count: count == 1)
    until(lambda: node.count_publishers("/labels"), lambda count: count == 1)
    assert check_outputs(node, publishers).incompatible_qos == ({} if fits else {"/labels": 1})
    robot.destroy_subscription(subscription)
    until(lambda: check_outputs(node, publishers), lambda r: not r.incompatible_qos)
