"""What the node publishes for each frame."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.event_handler import PublisherEventCallbacks
from rclpy.lifecycle import LifecycleNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, TimeReference

from mpvss_model import Segmentation
from mpvss_ros.conversions import image_message
from mpvss_ros.overlay import overlay

__all__ = ["Outputs"]

RESULT_QOS = QoSProfile(depth=2, reliability=ReliabilityPolicy.RELIABLE)
OVERLAY_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class Outputs:
    """The node's publishers. Everything but labels and key frame costs nothing while nobody subscribes.

    Args:
        node: Owns the publishers.
        class_names: Are published once, latched, before the first label image.
        on_incompatible_qos: Called with a topic's name when a subscriber's QoS does not fit.
    """

    def __init__(self, node: LifecycleNode, *, class_names: tuple[str, ...], on_incompatible_qos) -> None:
        self._node = node
        self._publishers = []

        def create(message_type, topic: str, qos: QoSProfile):
            events = PublisherEventCallbacks(incompatible_qos=lambda _: on_incompatible_qos(node.resolve_topic_name(topic)))
            publisher = node.create_publisher(message_type, topic, qos, event_callbacks=events)
            self._publishers.append(publisher)
            return publisher

        self._labels = create(Image, "labels", RESULT_QOS)
        self._confidence = create(Image, "confidence", RESULT_QOS)
        self._overlay = create(Image, "overlay", OVERLAY_QOS)
        self._key_frame = create(TimeReference, "key_frame", RESULT_QOS)
        self._camera_info = create(CameraInfo, "camera_info", RESULT_QOS)
        self._publish_label_info(create, class_names)
        self._key_stamp = Time()

    def publish(
        self, header, frame: np.ndarray, segmentation: Segmentation, camera_info: CameraInfo | None, overlay_alpha: float
    ) -> None:
        """Publish one frame's results under the camera image's own header."""
        if segmentation.is_key_frame:
            self._key_stamp = header.stamp
        source = "key" if segmentation.is_key_frame else "propagated"
        self._key_frame.publish(TimeReference(header=header, time_ref=self._key_stamp, source=source))
        if self._confidence.get_subscription_count():
            confidence = np.rint(segmentation.confidence * 255).astype(np.uint8)
            self._confidence.publish(image_message(confidence, "mono8", header))
        if camera_info is not None and self._camera_info.get_subscription_count():
            camera_info.header = header
            self._camera_info.publish(camera_info)
        # Labels come last: whoever waits for them finds the rest of the frame already sent.
        self._labels.publish(image_message(segmentation.labels, "mono8", header))
        if self._overlay.get_subscription_count():
            blended = overlay(frame, segmentation.labels, overlay_alpha)
            self._overlay.publish(image_message(blended, "rgb8", header))

    def destroy(self) -> None:
        """Destroy the publishers."""
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)

    def _publish_label_info(self, create, class_names: tuple[str, ...]) -> None:
        try:
            from vision_msgs.msg import LabelInfo, VisionClass
        except ImportError:
            self._node.get_logger().warning("vision_msgs is not installed: the topic label_info is not published")
            return
        message = LabelInfo(class_map=[VisionClass(class_id=i, class_name=name) for i, name in enumerate(class_names)])
        message.header.stamp = self._node.get_clock().now().to_msg()
        create(LabelInfo, "label_info", LATCHED_QOS).publish(message)
