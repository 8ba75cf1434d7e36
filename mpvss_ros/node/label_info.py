"""The topic ``label_info``: the names of the classes in label images."""

from __future__ import annotations

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.timer import Timer

__all__ = ["LabelInfoOutput"]

LATCHED_QOS = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


class LabelInfoOutput:
    """Publishes the names at once, latched, and again from time to time, for whoever comes later and is not latched.

    Args:
        node: Owns publisher and timer.
        create: Makes a publisher of a message type, a name and a quality of service.
        classes: Id and name of each class.
        period_s: Of a steady clock, so that it goes on in simulated time that stands still; 0 publishes once.
    """

    def __init__(self, node: LifecycleNode, create, *, classes: list[tuple[int, str]], period_s: float) -> None:
        self._node = node
        self._classes = classes
        self._publisher: Publisher | None = None
        self._timer: Timer | None = None
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            node.get_logger().warning("vision_msgs is not installed: the topic label_info is not published", once=True)
            return
        self._publisher = create(LabelInfo, "label_info", LATCHED_QOS)
        self._publish()
        if period_s > 0.0:
            self._timer = node.create_timer(period_s, self._publish, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def destroy(self) -> None:
        """Destroy the timer; the publisher is its maker's."""
        if self._timer is not None:
            self._node.destroy_timer(self._timer)
            self._timer = None

    def _publish(self) -> None:
        from vision_msgs.msg import LabelInfo, VisionClass

        message = LabelInfo(class_map=[VisionClass(class_id=i, class_name=name) for i, name in self._classes])
        message.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(message)
