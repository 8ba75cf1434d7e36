"""A segmentor that finds things by their gray value, and in another order each time, as networks do."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.key_frame import KeyFrame

QUERIES = 8
# Things are at least this bright; the background, which is stuff, is darker.
THING_GRAY = 128


class ThingSegmentor(BaseSegmentor):
    """Each gray value of a frame from `THING_GRAY` on is a thing, of class 1 if it is even, else of class 2.

    Attributes:
        missed: Gray values of things that it does not see.
    """

    name = "things"
    class_names = ("background", "cup", "plate")

    def __init__(self) -> None:
        self.missed: set[int] = set()

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        padding = FramePadding(*frame.shape[:2])
        gray = frame[..., 0]
        values = [value for value in np.unique(gray).tolist() if value >= THING_GRAY and value not in self.missed]
        masks = [gray == value for value in values]
        masks.append(~np.any([np.zeros_like(gray, bool), *masks], axis=0))
        classes = [1 + value % 2 for value in values] + [0]
        order = np.random.default_rng(round(stamp_s * 1000)).permutation(QUERIES)
        logits = torch.full((QUERIES, 3 + 1), -9.0)
        logits[:, -1] = 0.0
        mask_logits = torch.full((QUERIES, *(side // 4 for side in padding.padded_size)), -20.0)
        for query, mask, class_index in zip(order.tolist(), masks, classes, strict=False):
            logits[query, class_index] = 9.0
            pixels = padding.pad(torch.from_numpy(mask)[None, None].float())
            mask_logits[query] = F.avg_pool2d(pixels, 4)[0, 0] * 40 - 20
        return KeyFrame(frame, stamp_s, padding, mask_logits, logits, queries=torch.zeros(QUERIES, 4))


def frame_with(things: dict[int, tuple[int, int]], size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A frame, uint8 RGB, of dark noise with a square of 24 pixels at the top left corner, x and y, of each gray value."""
    gray = np.random.default_rng(0).integers(0, THING_GRAY // 2, size, np.uint8)
    for value, (x, y) in things.items():
        gray[y : y + 24, x : x + 24] = value
    return np.repeat(gray[..., None], 3, axis=2)
