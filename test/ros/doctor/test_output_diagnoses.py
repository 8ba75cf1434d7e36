"""What is said of the answers: whether frames get some, and whether anybody hears them."""

import pytest
from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, LivelinessPolicy, QoSProfile

from mpvss_ros.doctor.snapshot import NodeStatus

from .snapshots import (
    BEST_EFFORT,
    CONSUMER,
    LABELS,
    NODE,
    end,
    graph,
    input_status,
    notes,
    only_problem,
    output_status,
    problems,
)


def test_what_the_node_says_is_wrong_is_said_in_its_words():
    text = "the segmentor failed: CUDA out of memory"
    assert only_problem(graph(statuses=(input_status(), output_status(text))), "node-report") == text


def test_a_node_without_a_list_of_findings_is_quoted():
    status = output_status("the masks are too old")
    del status.values["findings_json"]
    assert only_problem(graph(statuses=(input_status(), status)), "node-report") == "the masks are too old"


def test_frames_that_newer_ones_replaced_are_worth_knowing():
    seen = graph(statuses=(input_status(dropped_by_reason="newer frame: 100, reset: 1"), output_status(rate_hz=20.0)))
    ((name, text),) = notes(seen)
    assert name == "dropped" and problems(seen) == []
    assert text.startswith(
        "100 of 300 images were dropped (newer frame); of 30.0 images a second, 20.0 are answered: a newer one came before"
    )


def test_a_few_replaced_frames_are_no_news():
    assert notes(graph(statuses=(input_status(dropped_by_reason="newer frame: 15"), output_status()))) == []


def test_a_full_queue_is_a_problem():
    statuses = (
        input_status(kind="rear input", dropped_by_reason="queue full: 1"),
        output_status(kind="rear output", rate_hz=20.0),
    )
    text = only_problem(graph(statuses=statuses), "dropped")
    assert text == (
        "1 of 300 images were dropped (queue full) of camera rear; of 30.0 images a second, 20.0 are answered: raise "
        "queue_size, or replay slower"
    )


def test_frames_without_labels_are_counted_by_reason():
    statuses = (
        input_status(malformed=2, malformed_by_reason="duplicate stamp: 2", last_malformed="duplicate stamp: 7 s"),
        output_status(unanswered=3, unanswered_by_reason="masks too old: 3"),
    )
    assert notes(graph(statuses=statuses)) == [
        ("malformed", "2 of 300 images could not be used (duplicate stamp: 2), the last: duplicate stamp: 7 s"),
        ("unanswered", "3 images got no labels (masks too old: 3); the node's log has each cause"),
    ]


def test_a_first_key_frame_that_takes_long_is_named():
    text = only_problem(graph(statuses=(input_status(dropped=290), output_status(published=0, rate_hz=0.0))), "none-answered")
    assert text.startswith("10 images came and none is answered yet: the first key frame is being made")


@pytest.mark.parametrize(
    "offered, wanted, words",
    [
        (BEST_EFFORT, QoSProfile(depth=1), f"{NODE} offers best effort and {CONSUMER} wants reliable: have the publisher"),
        (
            QoSProfile(depth=1),
            QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL),
            f"{NODE} offers volatile durability and {CONSUMER} wants transient local: have the subscriber want volatile",
        ),
        (
            QoSProfile(depth=1, deadline=Duration(seconds=2)),
            QoSProfile(depth=1, deadline=Duration(seconds=1)),
            "offers a deadline of 2 s and /nav2/costmap wants one of 1 s: have the subscriber want no deadline",
        ),
        (
            QoSProfile(depth=1, liveliness=LivelinessPolicy.AUTOMATIC),
            QoSProfile(depth=1, liveliness=LivelinessPolicy.MANUAL_BY_TOPIC),
            "offers automatic liveliness and /nav2/costmap wants manual by topic",
        ),
    ],
    ids=["reliability", "durability", "deadline", "liveliness"],
)
def test_a_consumer_whose_qos_does_not_fit_is_named_with_the_policy(offered, wanted, words):
    seen = graph(published={LABELS: (end(NODE, qos=offered),)}, subscribed={LABELS: (end(CONSUMER, qos=wanted),)})
    text = only_problem(seen, "incompatible-qos")
    assert text.startswith(f"incompatible QoS on {LABELS}: no messages pass, since ") and words in text


def test_a_consumer_of_another_type_is_named():
    other = "sensor_msgs/msg/CompressedImage"
    seen = graph(subscribed={LABELS: (end(CONSUMER, other),)})
    expected = f"{CONSUMER} reads {LABELS} as {other}, and the node publishes sensor_msgs/msg/Image"
    assert only_problem(seen, "output-topic") == expected


def test_another_publisher_of_labels_is_named():
    text = only_problem(graph(published={LABELS: (end(NODE), end("/bag/player"))}), "output-topic")
    assert text == f"2 publishers on {LABELS}, whose messages mix: /bag/player, {NODE}"


def test_who_waits_for_labels_elsewhere_is_named_where_nobody_subscribes():
    waiting = {LABELS: (), "/semantic/image_raw": (end("/hydra"),)}
    assert notes(graph(subscribed=waiting)) == [
        (
            "nobody-listens",
            f"nobody subscribes to {LABELS}; /hydra waits for images on /semantic/image_raw, which nobody publishes: if those "
            f"should be labels, remap it to {LABELS}",
        )
    ]


def test_what_a_cloud_node_misses_is_a_problem_of_its_own():
    text = "nobody publishes /depth: remap depth to the topic that has it"
    clouds = {
        "/mpvss/cloud": NodeStatus(kind="points", is_ok=False, message=text, values={}),
        "/mpvss/rear/cloud": NodeStatus(kind="points", is_ok=True, message="14.9 Hz", values={}),
    }
    assert only_problem(graph(clouds=clouds), "cloud-report") == f"/mpvss/cloud: {text}"
