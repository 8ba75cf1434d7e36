"""What the node publishes for each frame of a camera."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
from builtin_interfaces.msg import Time
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image, TimeReference

from mpvss_model import Segmentation
from mpvss_model.overlay import overlay
from mpvss_ros.messages.camera_info import image_scale, scaled_camera_info
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.class_map import ClassMap
from mpvss_ros.node.instance_outputs import InstanceOutputs
from mpvss_ros.node.label_info import LabelInfoOutput
from mpvss_ros.node.label_outputs import LabelOutputs, Picture, resized
from mpvss_ros.node.parameters import NodeConfig

__all__ = ["Outputs", "time_message"]

OVERLAY_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)
NANOSECONDS = 1_000_000_000
MAX_SEC = 2**31 - 1


class Outputs:
    """One camera's publishers. Everything but the labels costs nothing while nobody subscribes.

    Args:
        node: Owns the publishers.
        prefix: Of the topics: empty, or a camera's name and a slash.
        class_map: Its names are published, latched, before the first label image.
        config: What label images hold, and which classes have scores.
        depth: Results kept for a subscriber that is held up.
        why_no_things: Why the model finds no single things, in one line; empty if it finds some.

    Attributes:
        publishers: All of them.

    Raises:
        ConfigError: If a class that is to have scores is not published.
    """

    def __init__(
        self,
        node: LifecycleNode,
        *,
        prefix: str,
        class_map: ClassMap,
        config: NodeConfig,
        depth: int,
        why_no_things: str,
    ) -> None:
        self._node = node
        self._class_map = class_map
        self.publishers: list[Publisher] = []

        def create(message_type, name: str, qos: QoSProfile) -> Publisher:
            self.publishers.append(node.create_publisher(message_type, prefix + name, qos))
            return self.publishers[-1]

        label_ids = config.label_ids(len(class_map.names))
        classes = list(zip(label_ids.ids, class_map.names, strict=True))
        self._label_info = LabelInfoOutput(node, create, classes=classes, period_s=config.label_info_period_s)
        result_qos = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
        self._labels = LabelOutputs(
            create, class_map=class_map, label_ids=label_ids, score_classes=config.score_class_names, qos=result_qos
        )
        self._confidence = create(Image, "confidence", result_qos)
        self._overlay = create(Image, "overlay", OVERLAY_QOS)
        self._key_frame = create(TimeReference, "key_frame", result_qos)
        self._camera_info = create(CameraInfo, "camera_info", result_qos)
        self._things = InstanceOutputs(node, create, class_map=class_map, qos=result_qos, why_none=why_no_things)

    def publish(
        self,
        header,
        segmentation: Segmentation,
        *,
        whole_frame: Callable[[], np.ndarray],
        camera_info: CameraInfo | None,
        config: NodeConfig,
    ) -> list[Picture]:
        """Publish one frame's results, all but the confidence, under the camera image's own header.

        Args:
            header: Of the camera image.
            segmentation: Its result.
            whole_frame: Returns the image itself, uint8 RGB ``[H, W, 3]``.
            camera_info: The camera's newest, if there is any; not published if it cannot be that of the image.
            config: Size of the labels, and opacity of the overlay.

        Returns:
            What is subscribed to and still to be drawn and published, with the same header.
        """
        labels = self._class_map(segmentation.labels)
        if self._key_frame.get_subscription_count():
            source = "key" if segmentation.is_key_frame else "propagated"
            key_time = time_message(segmentation.key_stamp_ns)
            self._key_frame.publish(TimeReference(header=header, time_ref=key_time, source=source))
        if camera_info is not None and self.camera_info_is_wanted:
            self._publish_camera_info(header, camera_info, labels.shape, config.label_size)
        if segmentation.evidence.panoptic is not None and self.things_are_wanted:
            self._things.publish(header, segmentation, config.label_size)
        # Labels come last: whoever waits for them finds the rest of the frame already sent, but for its pictures and for the
        # confidence, which may take as long as a propagated frame itself.
        self._labels.publish(header, labels, segmentation, config.label_size)
        pictures = list(self._labels.pictures(header, labels, config.label_size))
        if self._overlay.get_subscription_count():
            draw = partial(_overlay_message, header, whole_frame, labels, config.overlay_alpha)
            pictures.append(Picture(self._overlay, draw))
        return pictures

    def publish_confidence(self, header, segmentation: Segmentation, config: NodeConfig) -> None:
        """Publish how sure the frame's labels are, once those have been sent; nothing while nobody subscribes.

        Args:
            header: Of the camera image.
            segmentation: Its result.
            config: Size of the labels.
        """
        if self._confidence.get_subscription_count():
            confidence = np.rint(segmentation.confidence * 255).astype(np.uint8)
            self._confidence.publish(image_message(resized(confidence, config.label_size), "mono8", header))

    @property
    def camera_info_is_wanted(self) -> bool:
        """Whether somebody subscribes to the calibration."""
        return self._camera_info.get_subscription_count() > 0

    @property
    def things_are_wanted(self) -> bool:
        """Whether somebody subscribes to single things, and the model finds some."""
        return self._things.are_wanted

    def destroy(self) -> None:
        """Destroy the publishers."""
        self._label_info.destroy()
        for publisher in self.publishers:
            self._node.destroy_publisher(publisher)

    def _publish_camera_info(
        self, header, info: CameraInfo, shape: tuple[int, int], label_size: tuple[int, int] | None
    ) -> None:
        height, width = shape
        scale = image_scale(info, width=width, height=height)
        if scale is None:
            return
        out_width, out_height = label_size or (width, height)
        scale_x, scale_y = scale[0] * out_width / width, scale[1] * out_height / height
        self._camera_info.publish(scaled_camera_info(info, header, scale_x=scale_x, scale_y=scale_y))


def _overlay_message(header, whole_frame: Callable[[], np.ndarray], labels: np.ndarray, alpha: float) -> Image:
    return image_message(overlay(whole_frame(), labels, alpha), "rgb8", header)


def time_message(stamp_ns: int) -> Time:
    """A stamp as messages hold it; the last second can hold more than 1e9 nanoseconds, and must where no later one exists."""
    sec = min(stamp_ns // NANOSECONDS, MAX_SEC)
    return Time(sec=sec, nanosec=stamp_ns - sec * NANOSECONDS)
