"""How much of a frame motion since its key frame cannot explain: a cheap measure, whatever the propagation in use."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Change", "measure_change", "thumbnail"]

LONG_SIDE_PX = 80
SHORT_SIDE_PX = 32  # OpenCV's DIS crashes on thinner images
# Flow at half the thumbnail's resolution takes a fifth of the time, and is as good at telling what it cannot explain.
FINEST_SCALE = 1
# Forward and backward flow contradict each other (Sundaram et al., ECCV 2010) beyond this many squared pixels ...
DISAGREEMENT_PX2 = 0.5
# ... plus this share of their squared lengths.
DISAGREEMENT_SHARE = 0.01
# Gray levels, of 255, that a pixel may be off after the warp, and at which nothing of it counts as explained.
TOLERATED_RESIDUAL = 8.0
UNEXPLAINED_RESIDUAL = 24.0


@dataclass(frozen=True)
class Change:
    """What motion does not explain between a key frame and a later one.

    Attributes:
        error: float32 ``[h, w]`` in 0..1, at the thumbnail's resolution: 0 where the warped key frame explains the frame.
    """

    error: np.ndarray

    @classmethod
    def none(cls, shape: tuple[int, int]) -> Change:
        """Between a frame and itself."""
        return cls(np.zeros(shape, np.float32))

    @property
    def share(self) -> float:
        """Of the image, 0..1, that is not explained."""
        return float(self.error.mean())

    def error_map(self, height: int, width: int) -> np.ndarray:
        """``error`` at the resolution of a frame, float32 ``[height, width]``."""
        return cv2.resize(self.error, (width, height), interpolation=cv2.INTER_LINEAR)


def thumbnail(image: np.ndarray) -> np.ndarray:
    """uint8 RGB ``[H, W, 3]`` -> uint8 gray, at most about 80 pixels wide or high and at least 32."""
    height, width = image.shape[:2]
    scale = min(1.0, LONG_SIDE_PX / max(height, width))
    size = max(SHORT_SIDE_PX, round(width * scale)), max(SHORT_SIDE_PX, round(height * scale))
    return cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), size, interpolation=cv2.INTER_AREA)


def measure_change(key: np.ndarray, current: np.ndarray) -> Change:
    """Warp one thumbnail onto another of the same size and see what does not fit.

    A pixel is unexplained if it comes from outside the key frame, if the flows there and back contradict each other, or if
    it looks different after the warp, apart from a change of brightness and contrast of the whole image.
    """
    dis = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    dis.setFinestScale(FINEST_SCALE)
    to_key, to_current = dis.calc(current, key, None), dis.calc(key, current, None)  # [h, w, 2]
    height, width = current.shape
    x = to_key[..., 0] + np.arange(width, dtype=np.float32)
    y = to_key[..., 1] + np.arange(height, dtype=np.float32)[:, None]
    outside = (x < -0.5) | (y < -0.5) | (x > width - 0.5) | (y > height - 0.5)
    way_back = cv2.remap(to_current, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lengths_px2 = _squared_length(to_key) + _squared_length(way_back)
    disagrees = _squared_length(to_key + way_back) > DISAGREEMENT_SHARE * lengths_px2 + DISAGREEMENT_PX2
    warped = cv2.remap(key, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    residual = _residual(warped.astype(np.float32), current.astype(np.float32), ~(outside | disagrees))
    error = (residual - TOLERATED_RESIDUAL) / (UNEXPLAINED_RESIDUAL - TOLERATED_RESIDUAL)
    return Change(np.where(outside | disagrees, np.float32(1.0), error.clip(0.0, 1.0)))


def _squared_length(flow: np.ndarray) -> np.ndarray:
    return (flow * flow).sum(axis=-1)


def _residual(warped: np.ndarray, current: np.ndarray, trusted: np.ndarray) -> np.ndarray:
    """Absolute difference, after the brightness and contrast of the trusted pixels have been made equal."""
    if not trusted.any():
        return np.abs(current - warped)
    there, here = warped[trusted], current[trusted]
    contrast = np.clip(here.std() / max(there.std(), 1.0), 0.5, 2.0)
    return np.abs(current - here.mean() - contrast * (warped - there.mean()))
