"""The flaws of real cameras: exposure, colour cast, motion blur, noise, falling light towards the corners."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

__all__ = ["Sensor", "draw_sensor"]

BLUR_SAMPLES = 7


@dataclass(frozen=True, kw_only=True)
class Sensor:
    """One camera's flaws.

    Attributes:
        gain: ``[3]``, multiplied with the colours; exposure and white balance.
        gamma: Exponent of the tone curve.
        shutter: Share of the time between two frames that it is open.
        noise: Standard deviation of the noise at full brightness, on the 0..255 scale.
        vignette: Loss of light in the corners, 0..1.
        jpeg_quality: 1..100.
    """

    gain: np.ndarray
    gamma: float
    shutter: float
    noise: float
    vignette: float
    jpeg_quality: int

    def take(self, image: np.ndarray, flow_px: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """What this camera makes of an ideal image; uint8 RGB ``[H, W, 3]``, flow to the next frame ``[H, W, 2]``."""
        height, width = image.shape[:2]
        blurred = self._blurred(image, flow_px).astype(np.float32) / 255
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        light = (1 - self.vignette * (x**2 + y**2) / 2).astype(np.float32)[..., None]
        exposed = np.clip(blurred * self.gain.astype(np.float32) * light, 0, 1) ** np.float32(self.gamma)
        noise = rng.standard_normal(image.shape, np.float32) * (self.noise * (0.4 + 0.6 * np.sqrt(exposed)))
        return np.clip(np.rint(exposed * 255 + noise), 0, 255).astype(np.uint8)

    def _blurred(self, image: np.ndarray, flow_px: np.ndarray) -> np.ndarray:
        """The mean of the image moved along its flow while the shutter is open."""
        height, width = image.shape[:2]
        reach = np.clip(flow_px, -width / 4, width / 4) * self.shutter
        if np.abs(reach).mean() < 0.25:
            return image
        y, x = np.mgrid[:height, :width].astype(np.float32)
        moved = [
            cv2.remap(image, x + t * reach[..., 0], y + t * reach[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            for t in np.linspace(-0.5, 0.5, BLUR_SAMPLES, dtype=np.float32)
        ]
        return np.mean(moved, axis=0)


def draw_sensor(rng: np.random.Generator) -> Sensor:
    """A random camera, most of them decent."""
    return Sensor(
        gain=rng.uniform(0.65, 1.35) * rng.uniform(0.92, 1.08, 3),
        gamma=rng.uniform(0.8, 1.25),
        shutter=rng.uniform(0.0, 0.9),
        noise=10 * rng.uniform(0.0, 1.0) ** 3,
        vignette=rng.uniform(0.0, 0.3),
        jpeg_quality=int(rng.integers(60, 96)),
    )
