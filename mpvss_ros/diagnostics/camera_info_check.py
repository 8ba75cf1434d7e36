"""Why a camera's calibration cannot go out beside the labels."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo

from mpvss_ros.messages.camera_info import image_scale

__all__ = ["camera_info_trouble"]


def camera_info_trouble(topic: str, info: CameraInfo | None, size: tuple[int, int] | None, *, is_wanted: bool) -> str:
    """Why no calibration is published beside the labels, or not the camera's own; empty if it is as it should be.

    Args:
        topic: That the calibration comes on.
        info: The camera's newest; None before the first.
        size: Width and height of the images; None before the first.
        is_wanted: Whether somebody subscribes to the calibration beside the labels.
    """
    if info is None:
        return f"no calibration comes on {topic}, and so none is published on camera_info" if is_wanted else ""
    if size is None or image_scale(info, width=size[0], height=size[1]) is not None:
        return ""
    return (
        f"the calibration on {topic} is of {info.width} x {info.height} pixels, the images have {size[0]} x {size[1]}, "
        "of another shape: it is not published on camera_info"
    )
