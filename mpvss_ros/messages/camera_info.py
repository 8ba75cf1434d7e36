"""The calibration that belongs to a resized image."""

from __future__ import annotations

from sensor_msgs.msg import CameraInfo, RegionOfInterest

__all__ = ["ASPECT_TOLERANCE", "image_scale", "scaled_camera_info"]

# Of width and height, where a driver has rounded one of them.
ASPECT_TOLERANCE = 0.02


def image_scale(info: CameraInfo, *, width: int, height: int) -> tuple[float, float] | None:
    """By what the calibration's pixels scale to those of the camera's image.

    The calibration is that of the whole sensor, of which the image shows the region of interest, binned. Drivers and nodes
    that resize images often pass it on unchanged.

    Args:
        info: The camera's calibration.
        width: Of the image.
        height: Of the image.

    Returns:
        Factors of width and height, 1 for an image of the calibration's own size or a calibration without one; None if the
        image has another aspect ratio, so that it cannot be a resized one.
    """
    if not info.width or not info.height or (info.width, info.height) == (width, height):
        return 1.0, 1.0
    shown_width = (info.roi.width or info.width) // max(1, info.binning_x)
    shown_height = (info.roi.height or info.height) // max(1, info.binning_y)
    scale_x, scale_y = width / max(1, shown_width), height / max(1, shown_height)
    return (scale_x, scale_y) if abs(scale_x / scale_y - 1.0) <= ASPECT_TOLERANCE else None


def scaled_camera_info(info: CameraInfo, header, *, scale_x: float = 1.0, scale_y: float = 1.0) -> CameraInfo:
    """A copy of ``info`` under another header, for the same view in a resized image.

    Focal lengths, principal point, the baseline terms of P, the sensor's size and the region of interest scale, as in
    ``image_proc``. Distortion and rectification do not depend on the size; binning still relates the region to the image.
    """
    k, p = list(info.k), list(info.p)
    k[:3] = [value * scale_x for value in k[:3]]
    k[3:6] = [value * scale_y for value in k[3:6]]
    p[:4] = [value * scale_x for value in p[:4]]
    p[4:8] = [value * scale_y for value in p[4:8]]
    return CameraInfo(
        header=header,
        width=round(info.width * scale_x),
        height=round(info.height * scale_y),
        distortion_model=info.distortion_model,
        d=info.d,
        k=k,
        r=info.r,
        p=p,
        binning_x=info.binning_x,
        binning_y=info.binning_y,
        roi=RegionOfInterest(
            x_offset=round(info.roi.x_offset * scale_x),
            y_offset=round(info.roi.y_offset * scale_y),
            width=round(info.roi.width * scale_x),
            height=round(info.roi.height * scale_y),
            do_rectify=info.roi.do_rectify,
        ),
    )
