"""What the node publishes of the classes of pixels: ``labels``, ``labels/compressed``, ``color`` and ``class_scores``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from rclpy.publisher import Publisher
from rclpy.qos import QoSProfile
from sensor_msgs.msg import CompressedImage, Image

from mpvss_model import Segmentation
from mpvss_model.overlay import PALETTE, painted
from mpvss_ros.messages.conversions import compressed_labels_message, image_message
from mpvss_ros.messages.label_ids import LabelIds
from mpvss_ros.node.class_map import ClassMap

__all__ = ["LabelOutputs", "Picture", "resized"]


@dataclass(frozen=True)
class Picture:
    """What takes time and shows what a frame's label image says: it is made after that one is published.

    Attributes:
        publisher: Of the picture.
        draw: Makes its message.
    """

    publisher: Publisher
    draw: Callable[[], Image | CompressedImage]


class LabelOutputs:
    """One camera's publishers of labels. All but the label images themselves cost nothing while nobody subscribes.

    Args:
        create: Makes a publisher of a message type, a name and a quality of service.
        class_map: Published classes.
        label_ids: What label images hold of them.
        score_classes: Names of those that ``class_scores`` has a channel for; none for all.
        qos: Of all topics.

    Raises:
        ConfigError: If a class of the scores is not published.
    """

    def __init__(
        self, create, *, class_map: ClassMap, label_ids: LabelIds, score_classes: tuple[str, ...], qos: QoSProfile
    ) -> None:
        self._label_ids = label_ids
        self._groups = torch.from_numpy(class_map.groups(score_classes))
        self._labels: Publisher = create(Image, "labels", qos)
        self._compressed: Publisher = create(CompressedImage, "labels/compressed", qos)
        self._color: Publisher = create(Image, "color", qos)
        self._scores: Publisher = create(Image, "class_scores", qos)

    def publish(self, header, labels: np.ndarray, segmentation: Segmentation, label_size: tuple[int, int] | None) -> None:
        """Publish scores, if they are subscribed to, and then the label image: whoever waits for that finds the rest sent.

        Args:
            header: Of the camera image.
            labels: uint8 ``[H, W]`` indices of published classes, at the camera image's size.
            segmentation: Its result.
            label_size: Width and height of all that is published; None for the camera image's.
        """
        labels = resized(labels, label_size)
        ids = self._label_ids(labels)
        encoding = self._label_ids.encoding
        if self._scores.get_subscription_count():
            self._scores.publish(scores_message(segmentation.class_shares(self._groups, labels.shape), header))
        self._labels.publish(image_message(ids, encoding, header))

    def pictures(self, header, labels: np.ndarray, label_size: tuple[int, int] | None) -> Iterator[Picture]:
        """``color`` and ``labels/compressed``, as far as they are subscribed to; arguments as for `publish`."""
        if self._color.get_subscription_count():
            yield Picture(self._color, partial(_color_message, labels, header, label_size))
        if self._compressed.get_subscription_count():
            yield Picture(self._compressed, partial(self._compressed_message, labels, header, label_size))

    def _compressed_message(self, labels: np.ndarray, header, label_size: tuple[int, int] | None) -> CompressedImage:
        return compressed_labels_message(self._label_ids(resized(labels, label_size)), self._label_ids.encoding, header)


def _color_message(labels: np.ndarray, header, label_size: tuple[int, int] | None) -> Image:
    return image_message(painted(resized(labels, label_size), PALETTE), "rgb8", header)


def scores_message(shares: torch.Tensor, header) -> Image:
    """float32 ``[K, H, W]`` as an image of K channels, the channels of a pixel side by side."""
    pixels = shares.permute(1, 2, 0).contiguous().cpu().numpy()
    return image_message(pixels, f"32FC{pixels.shape[2]}", header)


def resized(image: np.ndarray, size: tuple[int, int] | None) -> np.ndarray:
    """The nearest pixel's value at each pixel of an image of another width and height."""
    if size is None or size == image.shape[::-1]:
        return image
    return cv2.resize(image, size, interpolation=cv2.INTER_NEAREST_EXACT)
