"""Video files as bags, to try the node on."""

from __future__ import annotations

from pathlib import Path

import cv2

from mpvss_model import DataError
from mpvss_ros.bags.bag import BagWriter

__all__ = ["bag_from_video"]

TOPIC = "/camera/image_raw/compressed"
FRAME_ID = "camera"
FIRST_STAMP_NS = 1_000_000_000
DEFAULT_FRAME_RATE_HZ = 25.0
# Containers that do not know the rate say 0, or a clock's.
MAX_FRAME_RATE_HZ = 1000.0
JPEG_QUALITY = 95


def bag_from_video(video: Path, bag: Path) -> int:
    """Write a video's frames as JPEG images on ``/camera/image_raw/compressed``, stamped at its frame rate.

    Args:
        video: Any file that OpenCV can decode.
        bag: A new directory.

    Returns:
        The number of frames.

    Raises:
        DataError: If the video cannot be read, or there is something at ``bag`` already.
    """
    if not video.is_file():
        raise DataError(f"no video at {str(video)!r}")
    # A relative path with a colon would be taken for an address.
    capture = cv2.VideoCapture(str(video.absolute()))
    ok, image = capture.read()
    if not ok:
        reason = "OpenCV knows neither its container nor its codec, or it is broken"
        raise DataError(f"cannot decode video {str(video)!r}: {reason}")
    frame_rate_hz = capture.get(cv2.CAP_PROP_FPS)
    if not 0.0 < frame_rate_hz <= MAX_FRAME_RATE_HZ:
        frame_rate_hz = DEFAULT_FRAME_RATE_HZ
    period_ns = int(1e9 / frame_rate_hz)
    frames = 0
    with BagWriter(bag) as writer:
        while ok:
            _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
            stamp_ns = FIRST_STAMP_NS + frames * period_ns
            writer.write_compressed_image(TOPIC, stamp_ns=stamp_ns, frame_id=FRAME_ID, file_format="jpeg", data=jpeg.tobytes())
            frames += 1
            ok, image = capture.read()
    return frames
