"""How much of a frame motion since its key frame cannot explain: a cheap measure, whatever the propagation in use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["SCENE_CUT", "Change", "Comparison", "is_cut", "measure_change", "thumbnail"]

LONG_SIDE_PX = 80
SHORT_SIDE_PX = 32  # OpenCV's DIS crashes on thinner images
# Flow at half the thumbnail's resolution takes a fifth of the time, and tells as well what it cannot explain.
FINEST_SCALE = 1
# Gray levels, of 255, that a pixel may be off after the warp, and at which nothing of it counts as explained.
EXPLAINED_RESIDUAL = 12.0
UNEXPLAINED_RESIDUAL = 48.0
# Of the image's contrast: beyond this it is not the camera's exposure that has changed.
MAX_CONTRAST_CHANGE = 2.0
# Share of the image, from one frame to the next. Fast turns (18 of 320 pixels a frame) and videos of walking people stay
# below 0.2; cuts, also those to another view of the same room, reach 0.25 to 0.8.
SCENE_CUT = 0.25


@dataclass(frozen=True)
class Change:
    """What motion does not explain between a key frame and a later one.

    Attributes:
        error: float32 ``[h, w]`` in 0..1, at the thumbnail's resolution: 0 where the warped key frame explains the frame.
    """

    error: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Change:
        """Between a frame and itself, at the thumbnail's shape."""
        return cls(np.zeros(shape, np.float32))

    @property
    def share(self) -> float:
        """Of the image, 0..1, that is not explained."""
        return float(self.error.mean())

    def error_map(self, height: int, width: int) -> np.ndarray:
        """``error`` at the resolution of a frame, float32 ``[height, width]``."""
        return cv2.resize(self.error, (width, height), interpolation=cv2.INTER_LINEAR)


class Comparison:
    """A frame beside its key frame; what takes time is done when first asked for, once.

    It lives as long as the answer to the frame: so it keeps the key frame's thumbnail rather than the key frame.

    Args:
        key_thumbnail: Of the key frame, see `thumbnail`.
        image: The frame, uint8 RGB ``[H, W, 3]``.
    """

    def __init__(self, key_thumbnail: np.ndarray, image: np.ndarray) -> None:
        self._key_thumbnail = key_thumbnail
        self._image = image
        self._thumbnail: np.ndarray | None = None
        self._change: Change | None = None

    def thumbnails(self) -> tuple[np.ndarray, np.ndarray]:
        """Of the key frame and of the frame."""
        if self._thumbnail is None:
            self._thumbnail = thumbnail(self._image)
        return self._key_thumbnail, self._thumbnail

    def change(self) -> Change:
        """What motion between the two does not explain."""
        if self._change is None:
            self._change = measure_change(*self.thumbnails())
        return self._change


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 RGB ``[H, W, 3]`` -> uint8 gray, its longer side at most 80 pixels and both at least 32."""
    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE_PX / max(height, width))
    size = max(SHORT_SIDE_PX, round(width * scale)), max(SHORT_SIDE_PX, round(height * scale))
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def measure_change(key: np.ndarray, current: np.ndarray) -> Change:
    """Warp one thumbnail onto another of the same size and see what does not fit.

    A pixel is unexplained if it comes from outside the key frame, or as far as it looks different after the warp, apart
    from a change of brightness and contrast of the whole image. Disagreement of the flows there and back is left out: it
    costs as much again and follows the loss in labels less closely.
    """
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)  # type: ignore[attr-defined]
    dis.setFinestScale(FINEST_SCALE)
    flow = dis.calc(current, key, None)  # [h, w, 2], from the current frame to the key frame
    height, width = current.shape
    x = flow[..., 0] + np.arange(width, dtype=np.float32)
    y = flow[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    inside = (x >= -0.5) & (y >= -0.5) & (x <= width - 0.5) & (y <= height - 0.5)
    warped = cv2.remap(key, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    residual = np.abs(current - _with_exposure_of(current, warped, inside))
    error = (residual - EXPLAINED_RESIDUAL) / (UNEXPLAINED_RESIDUAL - EXPLAINED_RESIDUAL)
    return Change(np.where(inside, error.clip(0.0, 1.0), np.float32(1.0)))


def is_cut(before: np.ndarray, after: np.ndarray) -> bool:
    """Whether two successive frames, uint8 RGB ``[H, W, 3]``, show different scenes."""
    return measure_change(thumbnail(before), thumbnail(after)).share >= SCENE_CUT


def _with_exposure_of(target: np.ndarray, image: np.ndarray, compared: np.ndarray) -> np.ndarray:
    """A uint8 image ``[h, w]`` with the brightness and contrast of the other's compared pixels, float32."""
    mask = compared.view(np.uint8)
    (mean,), (deviation,) = cv2.meanStdDev(image, mask=mask)
    (target_mean,), (target_deviation,) = cv2.meanStdDev(target, mask=mask)
    contrast = np.clip(target_deviation / max(deviation, 1.0), 1 / MAX_CONTRAST_CHANGE, MAX_CONTRAST_CHANGE)
    return image * np.float32(contrast) + np.float32(target_mean - contrast * mean)
