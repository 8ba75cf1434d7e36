"""One set of messages that belong together to one labelled cloud."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo, PointCloud2

from mpvss_model import FrameError
from mpvss_model.overlay import PALETTE
from mpvss_model.semantics import UNLABELED
from mpvss_ros.cloud.calibration import Calibration
from mpvss_ros.cloud.depth_cloud import DepthCloud, nearest_pixels, probabilities_of, sampled
from mpvss_ros.cloud.parameters import CloudConfig
from mpvss_ros.cloud.relabelling import labels_at, positions, visible, with_labels
from mpvss_ros.cloud.transforms import Transforms, transformed
from mpvss_ros.messages.camera_info import ASPECT_TOLERANCE
from mpvss_ros.messages.conversions import labels_from_message, rgb_from_message
from mpvss_ros.messages.depth_image import depth_from_message
from mpvss_ros.messages.label_ids import LabelIds

__all__ = ["CloudMaker"]


class CloudMaker:
    """Makes clouds as the parameters have it.

    Args:
        config: Values of the parameters.
        transforms: From the frames of clouds to that of the labels.
    """

    def __init__(self, config: CloudConfig, transforms: Transforms) -> None:
        self._config = config
        self._transforms = transforms
        # The colours of ids: where the unlabeled one is among them, those of the classes behind it move.
        label_ids = LabelIds(UNLABELED - 1, encoding="16SC1", unlabeled_id=config.unlabeled_id)
        self._palette = np.zeros_like(PALETTE)
        self._palette[list(label_ids.ids)] = PALETTE[: len(label_ids.ids)]
        self._depth_cloud = DepthCloud(organized=config.organized, max_depth_m=config.max_depth_m)

    def make(self, messages: Mapping[str, Any], info: CameraInfo | None) -> PointCloud2:
        """The cloud of some messages by input; to be published before the next one is made.

        Raises:
            NoTransform: If it is not known, perhaps not yet, where the cloud is for the camera.
            FrameError: If one of them cannot be used, or they do not fit together.
        """
        labels, probabilities = self._labels(messages["labels"], messages.get("confidence"))
        if self._config.source == "depth":
            return self._of_depth(messages, labels, probabilities, info)
        return self._relabelled(messages, labels, probabilities, info)

    def _labels(self, message, confidence_message) -> tuple[np.ndarray, np.ndarray]:
        labels = labels_from_message(message)
        if 0 <= self._config.unlabeled_id < UNLABELED:
            labels = np.where(labels == self._config.unlabeled_id, np.uint8(UNLABELED), labels)
        confidence = None if confidence_message is None else labels_from_message(confidence_message)
        if confidence is not None and confidence.shape != labels.shape:
            sizes = " and ".join(f"{image.shape[1]} x {image.shape[0]}" for image in (labels, confidence))
            raise FrameError("confidence", f"labels and confidence have {sizes} pixels: give those of one node")
        probabilities = probabilities_of(labels, confidence)
        if self._config.min_probability:
            is_certain = probabilities >= self._config.min_probability
            labels = np.where(is_certain, labels, np.uint8(UNLABELED))
            probabilities = np.where(is_certain, probabilities, np.float32(0.0))
        return labels, probabilities

    def _of_depth(
        self, messages: Mapping[str, Any], labels: np.ndarray, probabilities: np.ndarray, info: CameraInfo | None
    ) -> PointCloud2:
        depth_m = depth_from_message(messages["depth"])
        height, width = labels.shape
        if self._config.colors == "image":
            rgb = rgb_from_message(messages["image"])
            _check_same_view(rgb, depth_m)
            colors = sampled(rgb, nearest_pixels(width, rgb.shape[1]), nearest_pixels(height, rgb.shape[0]))
        else:
            colors = np.take(self._palette, labels, axis=0)
        return self._depth_cloud.message(
            messages["labels"].header,
            labels=labels,
            depth_m=depth_m,
            calibration=self._calibration(info, depth_m, "depth image"),
            colors=colors,
            probabilities=probabilities,
        )

    def _relabelled(
        self, messages: Mapping[str, Any], labels: np.ndarray, probabilities: np.ndarray, info: CameraInfo | None
    ) -> PointCloud2:
        cloud = messages["cloud_in"]
        is_of_pixels = (cloud.height, cloud.width) == labels.shape and cloud.height > 1
        if is_of_pixels and cloud.header.frame_id == messages["labels"].header.frame_id:  # the camera's own
            return with_labels(cloud, labels.ravel(), probabilities.ravel())
        matrix = self._transforms.matrix(cloud.header, messages["labels"].header)
        points = transformed(positions(cloud), matrix)
        columns, rows = self._calibration(info, labels, "label image").pixels(points)
        if messages.get("depth") is not None:
            depth_m = depth_from_message(messages["depth"])
            height, width = labels.shape
            in_pixels = sampled(depth_m, nearest_pixels(width, depth_m.shape[1]), nearest_pixels(height, depth_m.shape[0]))
            is_visible = visible(points[:, 2], in_pixels[rows, columns], tolerance_m=self._config.occlusion_tolerance_m)
            columns, rows = np.where(is_visible, columns, -1), np.where(is_visible, rows, -1)
        return with_labels(cloud, labels_at(columns, rows, labels, UNLABELED), labels_at(columns, rows, probabilities, 0.0))

    def _calibration(self, info: CameraInfo | None, image: np.ndarray, what: str) -> Calibration:
        if info is None:
            raise FrameError("calibration", "no camera_info has come yet: give the topic of the camera that is labelled")
        height, width = image.shape
        return Calibration.of(info, width=width, height=height, image=what, rectified=self._config.rectified)


def _check_same_view(rgb: np.ndarray, depth_m: np.ndarray) -> None:
    """Images of one view may be of several sizes, but not of several shapes."""
    sizes = [(image.shape[1], image.shape[0]) for image in (rgb, depth_m)]
    (width, height), (depth_width, depth_height) = sizes
    if abs(width * depth_height / (height * depth_width) - 1.0) > ASPECT_TOLERANCE:
        raise FrameError(
            "depth",
            f"image and depth have {width} x {height} and {depth_width} x {depth_height} pixels, of another shape: give depth "
            "that is registered to the image",
        )
