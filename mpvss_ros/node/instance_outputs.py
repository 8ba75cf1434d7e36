"""What the node publishes of single things: the topics ``panoptic`` and ``instances``."""

from __future__ import annotations

import cv2
import numpy as np
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image

from mpvss_model import Segmentation
from mpvss_model.config import UNLABELED
from mpvss_model.instances.frame_panoptic import encoded_panoptic
from mpvss_model.instances.panoptic import Panoptic, Segment
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.class_map import ClassMap

__all__ = ["InstanceOutputs", "published_panoptic"]


class InstanceOutputs:
    """One camera's publishers of things. They cost nothing while nobody subscribes.

    Args:
        node: Owns the publishers.
        create: Makes a publisher of a message type, a name and a quality of service.
        class_map: Published classes.
        qos: Of both topics.
        why_none: Why the model finds no single things, in one line; empty if it finds some.
    """

    def __init__(self, node: LifecycleNode, create, *, class_map: ClassMap, qos: QoSProfile, why_none: str) -> None:
        self._node = node
        self._class_map = class_map
        self._why_none = why_none
        self._panoptic: Publisher = create(Image, "panoptic", qos)
        self._instances: Publisher | None = None
        try:
            from vision_msgs.msg import Detection2DArray
        except ImportError:
            node.get_logger().warning("vision_msgs is not installed: the topic instances is not published", once=True)
        else:
            self._instances = create(Detection2DArray, "instances", qos)

    @property
    def are_wanted(self) -> bool:
        """Whether somebody subscribes, and the model finds single things; says so, once, if it does not."""
        publishers = [self._panoptic] if self._instances is None else [self._panoptic, self._instances]
        if not any(publisher.get_subscription_count() for publisher in publishers):
            return False
        if self._why_none:
            self._node.get_logger().warning(f"nothing is published on panoptic and instances: {self._why_none}", once=True)
        return not self._why_none

    def publish(self, header, segmentation: Segmentation, label_size: tuple[int, int] | None) -> None:
        """Publish what is subscribed to.

        Args:
            header: Of the camera image.
            segmentation: Its result, of a stream that follows things.
            label_size: Width and height of the image of segments; None for the camera image's.
        """
        panoptic = segmentation.panoptic()
        if self._panoptic.get_subscription_count():
            encoded = published_panoptic(panoptic, self._class_map, label_size)
            self._panoptic.publish(image_message(encoded, "32SC1", header))
        if self._instances is not None and self._instances.get_subscription_count():
            self._instances.publish(self._detections(header, panoptic, label_size))

    def _detections(self, header, panoptic: Panoptic, label_size: tuple[int, int] | None):
        from vision_msgs.msg import Detection2DArray

        height, width = panoptic.encoded.shape
        scale = (1.0, 1.0) if label_size is None else (label_size[0] / width, label_size[1] / height)
        detections = [self._detection(header, thing, scale) for thing in panoptic.things]
        return Detection2DArray(header=header, detections=[detection for detection in detections if detection is not None])

    def _detection(self, header, thing: Segment, scale: tuple[float, float]):
        """None for a thing of a class that is not published."""
        from vision_msgs.msg import Detection2D, ObjectHypothesisWithPose

        published = int(self._class_map(np.array(thing.class_index, np.uint8)))
        if published == UNLABELED:
            return None
        hypothesis = ObjectHypothesisWithPose()
        hypothesis.hypothesis.class_id = self._class_map.names[published]
        hypothesis.hypothesis.score = thing.score
        detection = Detection2D(header=header, id=str(thing.instance_id), results=[hypothesis])
        left, top, width, height = thing.box_px
        detection.bbox.center.position.x = (left + width / 2) * scale[0]
        detection.bbox.center.position.y = (top + height / 2) * scale[1]
        detection.bbox.size_x, detection.bbox.size_y = width * scale[0], height * scale[1]
        return detection


def published_panoptic(panoptic: Panoptic, class_map: ClassMap, label_size: tuple[int, int] | None) -> np.ndarray:
    """Segments in published classes, int32, ``class << 16 | instance``, at some width and height or the frame's own.

    The class is 255 where no segment is, and where its class is not published; the instance is 0 there, and for stuff.
    """
    classes = class_map(panoptic.classes)
    encoded = encoded_panoptic(classes, np.where(classes == UNLABELED, 0, panoptic.instances))
    if label_size is None or label_size == encoded.shape[::-1]:
        return encoded
    # OpenCV resizes no 32-bit integers, but any pixels of four bytes.
    pixels = encoded.view(np.uint8).reshape(*encoded.shape, 4)
    resized = cv2.resize(pixels, label_size, interpolation=cv2.INTER_NEAREST_EXACT)
    return resized.view(np.int32)[..., 0]
