"""Rendered clips as bags, to replay them through the node with ground truth."""

from __future__ import annotations

from pathlib import Path

import cv2

from mpvss_model.data.rooms.config import RoomsConfig
from mpvss_model.data.rooms.generate import RenderedClip
from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, BagWriter

__all__ = ["write_bag_clip"]

TOPIC = "/camera/image_raw/compressed"
FRAME_ID = "camera_color_optical_frame"
FIRST_STAMP_NS = 1_700_000_000_000_000_000


def write_bag_clip(clip: RenderedClip, path: Path, config: RoomsConfig) -> None:
    """Write the images as JPEG and the labels as PNG, under equal stamps."""
    with BagWriter(path) as bag:
        for number, frame in enumerate(clip.frames):
            header = {"stamp_ns": FIRST_STAMP_NS + round(number * 1e9 / clip.rate_hz), "frame_id": FRAME_ID}
            bag.write_compressed_image(TOPIC, **header, file_format="jpeg", data=clip.jpeg(frame))
            labels = cv2.imencode(".png", frame.labels, [cv2.IMWRITE_PNG_COMPRESSION, 9])[1].tobytes()
            bag.write_compressed_image(GROUND_TRUTH_TOPIC, **header, file_format="png", data=labels)
