"""What is said of the camera: whether its images reach the node, and can be used."""

import pytest
from rclpy.qos import DurabilityPolicy, QoSProfile
from sensor_msgs.msg import CameraInfo

from mpvss_ros.diagnostics.topic_check import COMPRESSED, RAW

from .snapshots import (
    BEST_EFFORT,
    CAMERA,
    IMAGE,
    INFO,
    NODE,
    NOW_NS,
    RELIABLE,
    end,
    graph,
    image,
    input_status,
    notes,
    only_problem,
    output_status,
    problems,
)

NO_INPUT = (input_status("no frame yet", rate_hz=0.0, received=0), output_status(rate_hz=0.0, published=0))
HOUR_NS = 3_600 * 10**9


def test_a_topic_that_nobody_publishes_is_named_beside_those_with_images():
    published = {IMAGE: (), "/front/image": (end("/front/driver"),), "/depth/compressedDepth": (end(CAMERA, COMPRESSED),)}
    assert only_problem(graph(published=published, images={}, statuses=NO_INPUT), "no-publisher") == (
        f"nobody publishes {IMAGE}; for /front/image ({RAW}, published by /front/driver) give image:=/front/image "
        "image_transport:=raw"
    )


def test_the_topic_of_one_of_several_cameras_is_given_under_its_name():
    statuses = (
        input_status(kind="front input", image_topic=IMAGE),
        input_status(kind="rear input", image_topic="/rear", camera_info_topic="/rear_info", rate_hz=0.0),
        output_status(kind="front output"),
        output_status(kind="rear output"),
    )
    subscribed = {"/rear": (end(NODE, qos=BEST_EFFORT),)}
    text = only_problem(graph(subscribed=subscribed, statuses=statuses), "no-publisher")
    assert text.startswith("nobody publishes /rear; ") and f"give rear/image:={IMAGE}" in text


def test_both_sides_of_a_qos_that_does_not_fit_are_named_with_the_policy():
    seen = graph(
        published={IMAGE: (end(CAMERA, qos=BEST_EFFORT),)},
        subscribed={IMAGE: (end(NODE, qos=RELIABLE),)},
        statuses=NO_INPUT,
    )
    assert only_problem(seen, "incompatible-qos") == (
        f"incompatible QoS on {IMAGE}: no messages pass, since {CAMERA} offers best effort and {NODE} wants reliable: give "
        f"the node -p qos_overrides.{IMAGE}.subscription.reliability:=best_effort, or have the publisher offer reliable, or "
        "the subscriber want best effort"
    )


@pytest.mark.parametrize("reads, published, transport", [(RAW, COMPRESSED, "compressed"), (COMPRESSED, RAW, "raw")])
def test_raw_for_compressed_and_the_reverse_are_told_apart(reads, published, transport):
    topic = "/camera/image_raw/compressed"
    status = input_status(image_topic=topic, rate_hz=0.0, received=0)
    seen = graph(
        published={IMAGE: (), topic: (end(CAMERA, published),)},
        subscribed={IMAGE: (), topic: (end(NODE, reads),)},
        images={topic: image()[IMAGE]},
        statuses=(status, output_status(published=0)),
    )
    text = only_problem(seen, "input-topic")
    assert text.startswith(f"{topic} is published as {published}, and the node reads {reads}: give image:=")
    assert text.endswith(f"image_transport:={transport}")


def test_two_cameras_on_one_topic_are_named():
    text = only_problem(graph(published={IMAGE: (end(CAMERA), end("/bag/player"))}), "input-topic")
    assert text == f"2 publishers on {IMAGE}, whose images become one stream: /bag/player, {CAMERA}"


def test_a_node_that_reads_another_topic_than_wanted_is_told_the_argument():
    seen = graph(image="/front/image", published={"/front/image": (end(CAMERA),)}, images={"/front/image": image()[IMAGE]})
    text = only_problem(seen, "other-topic")
    assert text == f"{NODE} reads {IMAGE}, not /front/image: start it with image:=/front/image"


@pytest.mark.parametrize("transport, wanted", [("raw", IMAGE), ("compressed", f"{IMAGE}/compressed")])
def test_the_wanted_topic_is_looked_at_before_the_node_runs(transport, wanted):
    parameters = {"image_transport": transport}
    seen = graph(
        image=IMAGE, published={IMAGE: ()}, subscribed={IMAGE: ()}, state="inactive", parameters=parameters, images={}
    )
    assert ("no-publisher", f"nobody publishes {wanted}") in problems(seen)


def test_a_camera_that_sends_nothing_is_named_with_how_to_look():
    text = only_problem(graph(images={}, statuses=NO_INPUT), "no-images")
    assert text.startswith(f"{CAMERA} publishes {IMAGE}, and no image came for 5 s") and f"ros2 topic hz {IMAGE}" in text


def test_images_that_come_here_and_not_to_the_node_are_lost_on_the_way():
    text = only_problem(graph(statuses=NO_INPUT), "lost-images")
    assert text.startswith(f"images on {IMAGE} come here and none reaches {NODE}")


def test_an_image_that_cannot_be_used_is_named_once_in_the_words_of_the_node():
    trouble = "unknown encoding: '32FC1' holds measured values such as depth, no colours"
    statuses = (input_status(f"frame not used: {trouble}", malformed=3, malformed_by_reason="unknown encoding: 3"),)
    seen = graph(images=image(trouble=trouble), statuses=statuses)
    assert only_problem(seen, "unusable-image") == f"frame not used: {trouble}"
    assert [name for name, _ in notes(seen)] == ["malformed"]


@pytest.mark.parametrize(
    "stamp_ns, clock_ns, use_sim_time, words",
    [
        (0, NOW_NS, False, "the stamps of all images are zero: the camera's driver must set header.stamp"),
        (NOW_NS - 48 * HOUR_NS, NOW_NS, False, "2 days behind the system clock"),
        (NOW_NS + 60 * 10**9, NOW_NS, False, "60 s ahead of the system clock"),
        (NOW_NS, NOW_NS - 500 * HOUR_NS, True, "21 days ahead of the simulated clock"),
    ],
)
def test_stamps_of_another_clock_are_named_with_both_clocks(stamp_ns, clock_ns, use_sim_time, words):
    parameters = {"image_transport": "raw", "use_sim_time": use_sim_time}
    seen = graph(images=image(stamp_ns=stamp_ns, clock_ns=clock_ns), parameters=parameters, sim_time_ns=clock_ns)
    text = only_problem(seen, "stamps")
    assert words in text
    assert stamp_ns == 0 or ("set use_sim_time to false" in text) == use_sim_time


def test_a_stamp_some_seconds_old_is_of_the_same_clock():
    assert problems(graph(images=image(stamp_ns=NOW_NS - 9 * 10**9))) == []


def test_simulated_time_without_a_clock_is_named():
    parameters = {"image_transport": "raw", "use_sim_time": True}
    text = only_problem(graph(parameters=parameters, images=image(clock_ns=0)), "no-clock")
    assert text.startswith("use_sim_time is true, and no time comes on /clock: ")


@pytest.mark.parametrize(
    "size_bytes, qos, rmw, is_named",
    [
        (6_220_800, BEST_EFFORT, "rmw_fastrtps_cpp", True),
        (6_220_800, RELIABLE, "rmw_fastrtps_cpp", False),
        (6_220_800, BEST_EFFORT, "rmw_cyclonedds_cpp", False),
        (512 * 1024, BEST_EFFORT, "rmw_fastrtps_cpp", False),
    ],
)
def test_large_images_by_best_effort_are_a_matter_of_fast_dds(size_bytes, qos, rmw, is_named):
    seen = graph(images=image(size_bytes=size_bytes), subscribed={IMAGE: (end(NODE, qos=qos),)}, rmw=rmw)
    assert [name for name, _ in notes(seen)] == ["large-images"] * is_named
    assert problems(seen) == []
    if is_named:
        ((_, text),) = notes(seen)
        assert "has 6.2 MB" in text and "/share/mpvss_ros/config/dds/fastdds.xml, which gives it 64 MB" in text


def test_large_images_are_a_problem_where_none_arrives():
    seen = graph(images=image(size_bytes=6_220_800), statuses=NO_INPUT)
    assert [name for name, _ in problems(seen)] == ["lost-images", "large-images"]


def test_camera_info_is_missed_only_where_somebody_reads_it():
    missing = {"published": {INFO: ()}, "camera_infos": {}}
    assert problems(graph(**missing)) == []
    seen = graph(**missing, subscribed={"/mpvss/camera_info": (end("/nvblox", "sensor_msgs/msg/CameraInfo"),)})
    assert only_problem(seen, "camera-info") == f"no calibration comes on {INFO}, and so none is published on camera_info"


def test_camera_info_of_another_shape_is_named_with_both_sizes():
    text = only_problem(graph(camera_infos={INFO: CameraInfo(width=1280, height=720)}), "camera-info")
    assert f"the calibration on {INFO} is of 1280 x 720 pixels, the images have 640 x 480" in text


def test_a_latched_calibration_that_is_wanted_from_a_volatile_camera_is_named():
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    info = "sensor_msgs/msg/CameraInfo"
    seen = graph(published={INFO: (end(CAMERA, info),)}, subscribed={INFO: (end(NODE, info, latched),)})
    text = only_problem(seen, "incompatible-qos")
    assert f"{CAMERA} offers volatile durability and {NODE} wants transient local" in text and "qos_overrides" not in text
