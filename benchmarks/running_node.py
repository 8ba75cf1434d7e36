"""A segmentation node at work in this process, and what its peers wait for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Thread

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher

from mpvss_model import VideoSegmentor
from mpvss_ros.node.segmentation_node import SegmentationNode

__all__ = ["ros", "running_node", "wait_for_node"]


@contextmanager
def ros() -> Iterator[None]:
    """ROS is up until the block ends."""
    rclpy.init(args=[])
    try:
        yield
    finally:
        rclpy.shutdown()


@contextmanager
def running_node(
    *, load_model: Callable[..., VideoSegmentor] = VideoSegmentor.from_pretrained, **parameters: object
) -> Iterator[SegmentationNode]:
    """A node that answers the images of ``/image`` from a thread of its own until the block ends.

    Args:
        load_model: See `SegmentationNode`.
        parameters: Of the node, where they are not the defaults.

    Raises:
        RuntimeError: If it does not start; its log says why.
    """
    node = SegmentationNode(
        load_model=load_model,
        parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
        cli_args=["--ros-args", "-r", "image:=/image"],
    )
    for transition in (node.trigger_configure, node.trigger_activate):
        if transition() != TransitionCallbackReturn.SUCCESS:
            raise RuntimeError("the node did not start: see its log")
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    spinning = Thread(target=executor.spin)
    spinning.start()
    try:
        yield node
    finally:
        executor.shutdown()
        spinning.join()
        node.release()
        node.destroy_node()


def wait_for_node(peer: Node, camera: Publisher) -> None:
    """Handle the peer's messages until the running node has subscribed to its camera and announced its labels."""
    while not (camera.get_subscription_count() and peer.count_publishers("/mpvss/labels")):
        rclpy.spin_once(peer, timeout_sec=0.05)
