"""Renderings that look less like renderings: colours of photographs, and random filters. Not part of MPVSS.

A light network tells renderings by their colours and textures and learns rules that hold for them alone. So frames get the
colour statistics of a photograph (Reinhard et al., Color Transfer between Images, 2001) and textures change at random while
shapes stay (RandConv; Xu et al., Robust and Generalizable Visual Representation Learning via Random Convolutions, ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from mpvss_model.data import ClipSet

__all__ = ["RandomStyle", "filtered", "with_colors_of"]

FILTER_SIZES = (1, 3, 5)
# Of a photograph whose colours are taken: statistics need no detail.
REFERENCE_SHORT_SIDE_PX = 64
MIN_STD = 1.0


class RandomStyle:
    """Changes the frames of a sample, all alike.

    Args:
        references: Where colours come from.
        probability: Of new colours, and likewise of a filter.
    """

    def __init__(self, references: ClipSet, probability: float) -> None:
        self._references = [(clip, i) for clip in references.clips for i in range(len(clip.frames))]
        self._probability = probability

    def __call__(self, images: Sequence[np.ndarray], rng: np.random.Generator) -> list[np.ndarray]:
        """Change uint8 RGB images ``[H, W, 3]`` of one video."""
        images = list(images)
        if rng.random() < self._probability:
            clip, i = self._references[int(rng.integers(len(self._references)))]
            reference, strength = _small(clip.frames[i].read_image()), rng.uniform(0.0, 1.0)
            images = with_colors_of(reference, images, strength)
        if rng.random() < self._probability:
            size = int(rng.choice(FILTER_SIZES))
            weights = rng.normal(0.0, 1 / size, (3, 3, size, size)) / np.sqrt(3)
            strength = rng.uniform(0.0, 1.0)
            images = [filtered(image, weights, strength) for image in images]
        return images


def with_colors_of(reference: np.ndarray, images: Sequence[np.ndarray], strength: float) -> list[np.ndarray]:
    """Give images mean and standard deviation of a reference in each channel of CIELAB.

    Args:
        reference: uint8 RGB ``[h, w, 3]``.
        images: uint8 RGB ``[H, W, 3]`` each; their statistics are those of the first, so that a video does not flicker.
        strength: 0 leaves them as they are, 1 gives them the reference's statistics.
    """
    mean, std = _lab_statistics(images[0])
    wanted_mean, wanted_std = _lab_statistics(reference)
    factor = 1 + strength * (wanted_std / np.maximum(std, MIN_STD) - 1)
    offset = mean + strength * (wanted_mean - mean) - factor * mean
    # One row for each output channel: factors, then the offset.
    change = np.hstack([np.diag(factor), offset[:, None]])
    return [cv2.cvtColor(cv2.transform(cv2.cvtColor(image, cv2.COLOR_RGB2LAB), change), cv2.COLOR_LAB2RGB) for image in images]


def filtered(image: np.ndarray, weights: np.ndarray, strength: float) -> np.ndarray:
    """Mix an image with what a convolution makes of it, which gets the image's mean and standard deviation.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        weights: ``[3, 3, K, K]``, by output and input channel.
        strength: Share of the convolution's result, 0 to 1.
    """
    channels = cv2.split(image.astype(np.float32))
    result = cv2.merge(
        [sum(cv2.filter2D(channel, -1, kernel) for channel, kernel in zip(channels, row, strict=True)) for row in weights]
    )
    mean, std = _statistics(image)
    result_mean, result_std = _statistics(result)
    result = (result - result_mean) * (std / np.maximum(result_std, MIN_STD)) + mean
    return cv2.addWeighted(image, 1 - strength, np.clip(result, 0, 255).astype(np.uint8), strength, 0)


def _lab_statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return _statistics(cv2.cvtColor(_small(image), cv2.COLOR_RGB2LAB))


def _statistics(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each channel, ``[3]``."""
    mean, std = cv2.meanStdDev(image)
    return mean[:, 0], std[:, 0]


def _small(image: np.ndarray) -> np.ndarray:
    scale = REFERENCE_SHORT_SIDE_PX / min(image.shape[:2])
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else image
