"""What real cameras do to images, one at a time and reproducible: compression, noise, exposure and motion blur."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from mpvss_model.image import motion_blurred

__all__ = ["CORRUPTIONS", "RANDOM_CORRUPTIONS"]

Corruption = Callable[[np.ndarray, np.random.Generator], np.ndarray]

JPEG_QUALITY = 50
# Of 255. About what a small sensor shows at its highest gain; clearly visible as grain.
NOISE_SIGMA = 20.0
# Of the image's width: 10 pixels of 320, a robot's turn of 60 degrees per second seen with 1/30 s of exposure and 70 degrees
# of view.
BLUR_LENGTH = 0.03
BLUR_MIN_PX = 3


def jpeg(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Compressed as a JPEG image of quality 50."""
    _, data = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return cv2.cvtColor(cv2.imdecode(data, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB)


def noise(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gaussian noise, independent in each pixel and channel."""
    return _as_uint8(image + rng.normal(scale=NOISE_SIGMA, size=image.shape))


def exposure(image: np.ndarray, rng: np.random.Generator, *, factor: float) -> np.ndarray:
    """Brighter or darker by a factor; what exceeds white stays white."""
    return _as_uint8(image * factor)


def motion_blur(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Averaged along a line of 3 % of the image's width, in a random direction."""
    length_px = max(BLUR_MIN_PX, round(BLUR_LENGTH * image.shape[1]))
    return motion_blurred(image, length_px, rng.uniform(0.0, np.pi))


# uint8 RGB [H, W, 3] -> the same, by name. All that is random comes from the generator.
CORRUPTIONS: dict[str, Corruption] = {
    "JPEG quality 50": jpeg,
    "strong noise": noise,
    "+40 % brightness": partial(exposure, factor=1.4),
    "-40 % brightness": partial(exposure, factor=0.6),
    "motion blur": motion_blur,
}
# Those of them that use the generator.
RANDOM_CORRUPTIONS = ("strong noise", "motion blur")


def _as_uint8(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(0, 255)).astype(np.uint8)
