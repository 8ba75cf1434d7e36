"""Do the camera's images reach the node, and can it use them?"""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.qos import ReliabilityPolicy

from mpvss_ros.diagnostics.camera_info_check import camera_info_trouble
from mpvss_ros.diagnostics.clock_check import clock_trouble, stamp_trouble
from mpvss_ros.diagnostics.graph import Endpoint, node_names
from mpvss_ros.diagnostics.statuses import STALE_INPUT_RATE
from mpvss_ros.diagnostics.topic_check import COMPRESSED, RAW, check_input_topics
from mpvss_ros.doctor.finding import Finding
from mpvss_ros.doctor.snapshot import CameraTopics, GraphSnapshot

__all__ = [
    "camera_info",
    "clock",
    "input_topics",
    "large_images",
    "lost_images",
    "other_topic",
    "silent_camera",
    "stamps",
    "unusable_images",
]

# What Fast DDS gives a participant unless it is told otherwise.
SHARED_MEMORY_BYTES = 512 * 1024
PROFILE = "$(ros2 pkg prefix mpvss_ros)/share/mpvss_ros/config/dds/fastdds.xml"
MB = 1e6


def other_topic(seen: GraphSnapshot) -> Iterator[Finding]:
    """The node reads another topic than the one that it should."""
    reads = [topic.name for topic in seen.reads(RAW, COMPRESSED)]
    if not seen.image or not reads:
        return
    (camera,) = seen.cameras
    if camera.image.name not in reads:
        yield Finding(
            "other-topic",
            f"{seen.node} reads {' and '.join(reads)}, not {camera.image.name}: start it with image:={seen.image}",
        )


def input_topics(seen: GraphSnapshot) -> Iterator[Finding]:
    """Who publishes what the node reads: nobody, another type, a QoS that does not fit, or several."""
    for camera in seen.cameras:
        report = check_input_topics(
            seen, reader=seen.node, image=camera.image, camera_info=camera.camera_info, argument=camera.argument
        )
        yield from (Finding("incompatible-qos", text) for text in report.qos_troubles)
        yield from (Finding("input-topic", text) for text in report.troubles)
        if report.nobody:
            yield Finding("no-publisher", report.nobody)


def clock(seen: GraphSnapshot) -> Iterator[Finding]:
    """The node waits for the time."""
    text = clock_trouble(use_sim_time=seen.uses_sim_time, now_ns=seen.sim_time_ns or 0)
    if text:
        yield Finding("no-clock", text)


def silent_camera(seen: GraphSnapshot) -> Iterator[Finding]:
    """There is a publisher, and no images come from it."""
    for camera in seen.cameras:
        publishers = [end for end in seen.publishers(camera.image.name) if end.type_name in (RAW, COMPRESSED)]
        if publishers and camera.image.name not in seen.images and not _arrives(camera):
            yield Finding(
                "no-images",
                f"{node_names(publishers)} publishes {camera.image.name}, and no image came for {seen.waited_s:.0f} s: look "
                f"whether the camera or the recording runs (ros2 topic hz {camera.image.name}); where it does, large images "
                "may be lost on the way: take image_transport:=compressed, or make both sides reliable",
            )


def lost_images(seen: GraphSnapshot) -> Iterator[Finding]:
    """Images come to the doctor, and none to the node, although nothing is wrong with QoS or types."""
    for camera in seen.cameras:
        heard = check_input_topics(seen, reader=seen.node, image=camera.image, argument=camera.argument).publishers
        if heard and camera.status is not None and camera.image.name in seen.images and not _arrives(camera):
            yield Finding(
                "lost-images",
                f"images on {camera.image.name} come here and none reaches {seen.node}: if that runs on another computer, "
                "look whether large messages pass the network; in a container, share the host's IPC "
                "(docker run --net=host --ipc=host)",
            )


def unusable_images(seen: GraphSnapshot) -> Iterator[Finding]:
    """Images come, and their encoding or layout is none that the node can use."""
    for camera in seen.cameras:
        image = seen.images.get(camera.image.name)
        if image and image.trouble:
            yield Finding("unusable-image", f"frame not used: {image.trouble}")


def stamps(seen: GraphSnapshot) -> Iterator[Finding]:
    """Stamps are zero, or of another clock than the node's."""
    for camera in seen.cameras:
        image = seen.images.get(camera.image.name)
        if image and (image.clock_ns or not image.stamp_ns):
            text = stamp_trouble(stamp_ns=image.stamp_ns, now_ns=image.clock_ns, use_sim_time=seen.uses_sim_time)
            yield from (Finding("stamps", line) for line in (text,) if line)


def large_images(seen: GraphSnapshot) -> Iterator[Finding]:
    """Images do not fit into Fast DDS's shared memory, and nobody sends again what is lost."""
    for camera in seen.cameras:
        image = seen.images.get(camera.image.name)
        if not image or image.size_bytes <= SHARED_MEMORY_BYTES or not seen.rmw.startswith("rmw_fastrtps"):
            continue
        ends = (*seen.publishers(camera.image.name), *_own_subscriptions(seen, camera))
        if any(end.qos.reliability == ReliabilityPolicy.BEST_EFFORT for end in ends):
            yield Finding(
                "large-images",
                f"an image on {camera.image.name} has {image.size_bytes / MB:.1f} MB, more than Fast DDS's shared memory of "
                "0.5 MB, and with best effort one that loses a part is lost: start the camera's driver with "
                f"FASTDDS_DEFAULT_PROFILES_FILE={PROFILE}, which gives it 64 MB (up to Jazzy the variable is "
                "FASTRTPS_DEFAULT_PROFILES_FILE), take image_transport:=compressed, or make "
                f"both sides reliable (-p qos_overrides.{camera.image.name}.subscription.reliability:=reliable)",
                is_problem=camera.status is not None and not _arrives(camera),
            )


def camera_info(seen: GraphSnapshot) -> Iterator[Finding]:
    """The calibration is missing where it is wanted, or is that of other images."""
    for camera in seen.cameras:
        if camera.camera_info is None:
            continue
        image, topic = seen.images.get(camera.image.name), camera.camera_info.name
        size = (image.width, image.height) if image else None
        text = camera_info_trouble(topic, seen.camera_infos.get(topic), size, is_wanted=_wants_camera_info(seen, camera))
        if text:
            yield Finding("camera-info", text)


def _wants_camera_info(seen: GraphSnapshot, camera: CameraTopics) -> bool:
    """Whether somebody reads the calibration beside the labels."""
    suffix = camera.argument.removesuffix("image") + "camera_info"
    return any(topic.name.endswith("/" + suffix) and seen.subscriptions(topic.name) for topic in seen.outputs)


def _own_subscriptions(seen: GraphSnapshot, camera: CameraTopics) -> list[Endpoint]:
    return [end for end in seen.subscriptions(camera.image.name) if end.node == seen.node]


def _arrives(camera: CameraTopics) -> bool:
    """Whether images reach the node, as it says."""
    return camera.status is not None and camera.status.number("rate_hz") >= STALE_INPUT_RATE
