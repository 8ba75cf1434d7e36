"""What a checkpoint wants subtracted from its images, and what they are to be divided by."""

from __future__ import annotations

from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.segmentor.image_processing.entries import IMAGE_PROCESSOR, Entries, is_number, processor_entries

__all__ = ["RGB", "image_statistics"]

RGB = tuple[float, float, float]

MAX_VALUE = 255
DEFAULT_RESCALE_FACTOR = 1 / MAX_VALUE
# Steps of other image processors that change colours, which nothing here does.
UNKNOWN_STEPS = ("do_flip_channel_order", "do_grayscale")


def image_statistics(name_or_dir: str, *, processor: str = IMAGE_PROCESSOR) -> tuple[RGB, RGB]:
    """RGB mean and standard deviation, on the 0..1 scale, that a checkpoint was trained with.

    They are those of ``preprocessor_config.json``, or of the image processor in ``processor_config.json``, which takes
    precedence as it does in ``transformers``; ImageNet's where there is neither file or an entry is missing or null.
    ``transformers`` rescales pixels before it normalises them: mean and deviation are of rescaled pixels, and are brought to
    the 0..1 scale here. Without normalisation the mean is 0. `mpvss_model.segmentor.image_processing.size_rule` reads the
    entries on size.

    Args:
        name_or_dir: A checkpoint directory, or the id of a model of the hub.
        processor: ``image_processor``; or ``video_processor``, in ``video_preprocessor_config.json`` if there is one.

    Raises:
        CheckpointError: If a file is broken or asks for what cannot be done; names the file, the entry and its value.
    """
    found = processor_entries(name_or_dir, processor)
    return (tuple(IMAGENET_MEAN), tuple(IMAGENET_STD)) if found is None else _Statistics(found).of_pixels()


class _Statistics:
    """Of the pixels that a processor's entries describe.

    Args:
        entries: Checked as they are asked for.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def of_pixels(self) -> tuple[RGB, RGB]:
        """Mean and standard deviation on the 0..1 scale."""
        for name in UNKNOWN_STEPS:
            if self._entries.flag(name, False):
                raise self._entries.refusal(name, "false, since models are given RGB images as they are")
        scale = self._rescale_factor() * MAX_VALUE  # of the largest value there is, after rescaling
        if not self._entries.flag("do_normalize", True):
            return (0.0, 0.0, 0.0), (1 / scale,) * 3
        mean = self._numbers("image_mean", [value * scale for value in IMAGENET_MEAN])
        std = self._numbers("image_std", [value * scale for value in IMAGENET_STD])
        self._check_scale(mean, std, scale)
        return tuple(value / scale for value in mean), tuple(value / scale for value in std)

    def _check_scale(self, mean: RGB, std: RGB, scale: float) -> None:
        """Refuse a mean that no image on the scale of the rescaled pixels can have, or only a black one."""
        if not all(0 <= value <= scale for value in mean):
            raise self._entries.refusal(
                "image_mean", f"0..{scale:g}, as pixels are once do_rescale and rescale_factor are applied"
            )
        if min(std) <= 0:
            raise self._entries.refusal("image_std", "three numbers above 0")
        if scale == MAX_VALUE and 0 < max(mean) <= 1 and max(std) <= 1:
            raise self._entries.refusal(
                "image_mean", "a mean of 0..255, since do_rescale or rescale_factor leave pixels on that scale"
            )

    def _rescale_factor(self) -> float:
        if not self._entries.flag("do_rescale", True):
            return 1.0
        factor = self._entries.value("rescale_factor")
        if factor is None:
            return DEFAULT_RESCALE_FACTOR
        if not is_number(factor) or factor <= 0:
            raise self._entries.refusal("rescale_factor", "a number above 0, such as 0.00392156862745098")
        return float(factor)

    def _numbers(self, name: str, default: list[float]) -> RGB:
        values = self._entries.value(name)
        values = default if values is None else values
        if not isinstance(values, list) or len(values) != 3 or not all(map(is_number, values)):
            raise self._entries.refusal(name, "three numbers, for red, green and blue")
        return tuple(map(float, values))
