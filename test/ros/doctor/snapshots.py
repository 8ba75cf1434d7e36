"""A graph in which all is well, to be changed where a test wants something to be wrong."""

import json
from dataclasses import replace

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from mpvss_ros.diagnostics.graph import Endpoint
from mpvss_ros.diagnostics.topic_check import RAW
from mpvss_ros.doctor.examination import examine
from mpvss_ros.doctor.snapshot import CAMERA_INFO, GraphSnapshot, NodeStatus, SeenImage

NODE, CAMERA, CONSUMER = "/mpvss/segmentation", "/camera/driver", "/nav2/costmap"
IMAGE, INFO, LABELS = "/camera/image_raw", "/camera/camera_info", "/mpvss/labels"
RELIABLE = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)
NOW_NS = 1_800_000_000_000_000_000
SEEN_IMAGE = SeenImage(width=640, height=480, encoding="bgr8", size_bytes=400_000, stamp_ns=NOW_NS, clock_ns=NOW_NS)


def end(node, type_name=RAW, qos=RELIABLE):
    return Endpoint(node=node, type_name=type_name, qos=qos)


def status(kind, *findings, **values):
    texts = {"findings_json": json.dumps(findings), **{key: str(value) for key, value in values.items()}}
    return NodeStatus(kind=kind, is_ok=not findings, message="; ".join(findings), values=texts)


def input_status(*findings, kind="input", **values):
    values = {"image_topic": IMAGE, "camera_info_topic": INFO, "rate_hz": 30.0, "received": 300, **values}
    return status(kind, *findings, **values)


def output_status(*findings, kind="output", **values):
    return status(kind, *findings, **{"rate_hz": 29.5, "published": 295, **values})


HEALTHY = GraphSnapshot(
    node=NODE,
    nodes=(NODE, CAMERA, CONSUMER),
    published={
        IMAGE: (end(CAMERA),),
        INFO: (end(CAMERA, CAMERA_INFO),),
        LABELS: (end(NODE),),
        "/mpvss/camera_info": (end(NODE, CAMERA_INFO),),
        "/mpvss/key_frame": (end(NODE, "sensor_msgs/msg/TimeReference"),),
        "/diagnostics": (end(NODE, "diagnostic_msgs/msg/DiagnosticArray"), end(CAMERA, "diagnostic_msgs/msg/DiagnosticArray")),
    },
    subscribed={
        IMAGE: (end(NODE, qos=BEST_EFFORT),),
        INFO: (end(NODE, CAMERA_INFO, BEST_EFFORT),),
        LABELS: (end(CONSUMER),),
    },
    state="active",
    parameters={"image_transport": "raw", "max_image_pixels": 10**8, "use_sim_time": False},
    statuses=(input_status(), output_status()),
    images={IMAGE: SEEN_IMAGE},
    camera_infos={INFO: CameraInfo(width=640, height=480)},
    rmw="rmw_fastrtps_cpp",
    waited_s=5.0,
)


def graph(*, published=(), subscribed=(), **changes):
    """The healthy graph with other endpoints of some topics, and other values."""
    return replace(
        HEALTHY,
        published={name: ends for name, ends in {**HEALTHY.published, **dict(published)}.items() if ends},
        subscribed={name: ends for name, ends in {**HEALTHY.subscribed, **dict(subscribed)}.items() if ends},
        **changes,
    )


def image(**changes):
    """Images of the healthy graph's camera, but for some values."""
    return {IMAGE: replace(SEEN_IMAGE, **changes)}


def problems(seen):
    """Name and text of each thing that is wrong."""
    return [(finding.name, finding.text) for finding in examine(seen) if finding.is_problem]


def notes(seen):
    """Name and text of each thing that is worth knowing."""
    return [(finding.name, finding.text) for finding in examine(seen) if not finding.is_problem]


def only_problem(seen, name):
    """The text of the one thing that is wrong."""
    ((found, text),) = problems(seen)
    assert found == name
    return text
