"""Random changes to training frames: scale, crop, flip, color, the flaws of real cameras, and motion."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import cv2
import numpy as np

from mpvss_model.image import IMAGENET_MEAN, motion_blurred
from mpvss_model.semantics import UNLABELED
from mpvss_model.training.recipe.config import AugmentationConfig
from mpvss_model.training.samples.synthetic_motion import synthetic_pair

__all__ = ["augmented", "augmented_frames", "augmented_synthetic_pair", "augmented_with_and_without_flaws"]

PADDING_COLOR = tuple(round(255 * channel) for channel in IMAGENET_MEAN)
HUE_STEPS = 180  # of OpenCV's 8-bit HSV
CROP_ATTEMPTS = 10

ImageChange = Callable[[np.ndarray], np.ndarray]


def augmented(
    images: Sequence[np.ndarray], label: np.ndarray, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[list[np.ndarray], np.ndarray]:
    """Change the frames of one sample.

    Args:
        images: uint8 RGB ``[H, W, 3]``, frames of one video; all are scaled, cropped, flipped and colored alike.
        label: uint8 ``[H, W]``, of one of them.
        config: What to change, and how much.
        rng: Decides.

    Returns:
        Images and label of the crop's size.
    """
    images, (label,) = augmented_frames(images, [label], config, rng)
    return images, label


def augmented_frames(
    images: Sequence[np.ndarray], labels: Sequence[np.ndarray], config: AugmentationConfig, rng: np.random.Generator
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Change frames of one video, and the labels of some of them, as `augmented` does."""
    scaled = _scaled([*images, *labels], config, rng)
    layers = _flipped(_cropped(scaled, config, rng, label=scaled[len(images)]), config, rng)
    images, labels = layers[: len(images)], layers[len(images) :]
    return _with_sensor_flaws(_recolored(images, config, rng), config, rng), labels


def augmented_with_and_without_flaws(
    image: np.ndarray, config: AugmentationConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Change a frame.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        config: What to change, and how much.
        rng: Decides.

    Returns:
        The image with the flaws of a camera and the same without them, of the crop's size.
    """
    images = _flipped(_cropped(_scaled([image], config, rng), config, rng), config, rng)
    (original,) = _recolored(images, config, rng)
    (flawed,) = _with_sensor_flaws([original], config, rng)
    return flawed, original


def augmented_synthetic_pair(
    image: np.ndarray, label: np.ndarray, config: AugmentationConfig, rng: np.random.Generator, *, steps: int = 1
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Change a frame, and make it the key frame of a `synthetic_pair`.

    Args:
        image: uint8 RGB ``[H, W, 3]``.
        label: Its label, uint8 ``[H, W]``.
        config: What to change, and how much.
        rng: Decides.
        steps: From the key frame to the current one.

    Returns:
        Key image, images between and current image; the current image's label; and float32 ``[h, w, 2]``, the flow from the
        current to the key image in pixels, x then y, NaN in padding. All have the crop's size.
    """
    image, label = _flipped(_scaled([image, label], config, rng), config, rng)
    # Cropped after the motion, so that what comes into view is real wherever the frame goes on.
    pair = synthetic_pair(image, label, config.crop_width_px, rng, steps=steps)
    layers = [pair.key_image, *pair.between, pair.image, pair.label, pair.flow_px]
    *images, label, flow_px = _cropped(layers, config, rng, label=pair.label)
    return _with_sensor_flaws(_recolored(images, config, rng), config, rng), label, flow_px


def _scaled(layers: list[np.ndarray], config: AugmentationConfig, rng: np.random.Generator) -> list[np.ndarray]:
    height, width = layers[0].shape[:2]
    scale = min(rng.choice(config.short_sides_px) / min(height, width), config.max_long_side_px / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    smooth = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return [cv2.resize(layer, size, interpolation=smooth if layer.ndim == 3 else cv2.INTER_NEAREST) for layer in layers]


def _cropped(
    layers: Sequence[np.ndarray], config: AugmentationConfig, rng: np.random.Generator, label: np.ndarray | None = None
) -> list[np.ndarray]:
    """All alike, where not too much of the label is of one class."""
    height, width = layers[0].shape[:2]
    for _ in range(CROP_ATTEMPTS):
        top = rng.integers(max(0, height - config.crop_height_px) + 1)
        left = rng.integers(max(0, width - config.crop_width_px) + 1)
        part = np.s_[top : top + config.crop_height_px, left : left + config.crop_width_px]
        if label is None or config.max_class_share == 1 or _largest_class_share(label[part]) <= config.max_class_share:
            break
    bottom, right = max(0, config.crop_height_px - height), max(0, config.crop_width_px - width)
    return [
        cv2.copyMakeBorder(layer[part], 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=_padding(layer)) for layer in layers
    ]


def _largest_class_share(label: np.ndarray) -> float:
    """Of the labelled pixels; 1 if there are none."""
    counts = np.bincount(label.ravel(), minlength=UNLABELED + 1)[:UNLABELED]
    return float(counts.max() / counts.sum()) if counts.any() else 1.0


def _padding(layer: np.ndarray) -> tuple[float, ...] | int:
    """For an image, a label, or flow."""
    if layer.dtype == np.float32:
        return np.nan, np.nan
    return PADDING_COLOR if layer.ndim == 3 else UNLABELED


def _flipped(layers: list[np.ndarray], config: AugmentationConfig, rng: np.random.Generator) -> list[np.ndarray]:
    return [cv2.flip(layer, 1) for layer in layers] if rng.random() < config.flip_probability else layers


def _recolored(images: list[np.ndarray], config: AugmentationConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """All alike."""
    if config.color:
        for change in _color_changes(rng):
            images = [change(image) for image in images]
    return images


def _color_changes(rng: np.random.Generator) -> list[ImageChange]:
    """Brightness, contrast, saturation and hue, each with probability 1/2, with the ranges of SSD."""
    brightness, contrast, saturation = rng.uniform(-32, 32), rng.uniform(0.5, 1.5), rng.uniform(0.5, 1.5)
    hue = int(rng.integers(-18, 19))

    def change_contrast(image: np.ndarray) -> np.ndarray:
        return cv2.convertScaleAbs(image, alpha=contrast)

    def change_saturation(image: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 1] = cv2.convertScaleAbs(hsv[..., 1], alpha=saturation)
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    def change_hue(image: np.ndarray) -> np.ndarray:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        hsv[..., 0] = (hsv[..., 0].astype(np.int16) + hue) % HUE_STEPS
        return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)

    def change_brightness(image: np.ndarray) -> np.ndarray:
        return cv2.add(image, (brightness,) * 4)

    changes = [change_saturation, change_hue]
    changes.insert(0 if rng.random() < 0.5 else 2, change_contrast)
    return [change for change in [change_brightness, *changes] if rng.random() < 0.5]


def _with_sensor_flaws(images: list[np.ndarray], config: AugmentationConfig, rng: np.random.Generator) -> list[np.ndarray]:
    """Each with flaws of its own."""
    return [_flawed(image, config, rng) for image in images]


def _flawed(image: np.ndarray, config: AugmentationConfig, rng: np.random.Generator) -> np.ndarray:
    """With flaws in the order in which a camera adds them."""

    def occurs(is_wanted: bool = True) -> bool:
        return is_wanted and rng.random() < config.sensor_probability

    if occurs(config.max_exposure > 1):
        image = cv2.convertScaleAbs(image, alpha=config.max_exposure ** rng.uniform(-1, 1))
    if occurs(config.max_motion_blur > 0):
        image = motion_blurred(image, rng.uniform(0, config.max_motion_blur) * image.shape[1], rng.uniform(0, math.pi))
    if occurs():
        image = cv2.GaussianBlur(image, (0, 0), rng.uniform(0.3, 1.5))
    if occurs():
        cv2.setRNGSeed(int(rng.integers(2**31)))
        noise = cv2.randn(np.empty(image.shape, np.int16), (0,) * 3, (rng.uniform(1, config.max_noise),) * 3)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if occurs():
        _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(40, 96))])
        image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    return image
