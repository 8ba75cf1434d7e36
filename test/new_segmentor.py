"""A whole new segmentor, as CONTRIBUTING.md asks for it: a robot is what is bright."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mpvss_model.image import FramePadding
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.config_file import model_name, read_config
from mpvss_model.segmentor.key_frame import KeyFrame


class BrightnessSegmentor(BaseSegmentor):
    """Two queries: the second has all pixels that are brighter than a threshold, 0..255, the first has the others."""

    def __init__(self, name: str, class_names: tuple[str, ...], threshold: float) -> None:
        self.name = name
        self.class_names = class_names
        self._threshold = threshold

    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        padding = FramePadding(*frame.shape[:2])
        gray = padding.pad(torch.from_numpy(frame).float().mean(dim=-1)[None, None])
        bright = (F.avg_pool2d(gray, 4)[0, 0] - self._threshold) / 8
        class_logits = 9 * torch.eye(2, len(self.class_names) + 1)
        return KeyFrame(frame, stamp_s, padding, torch.stack([-bright, bright]), class_logits, queries=torch.zeros(2, 8))

    def digest(self) -> bytes:
        return content_digest(self.class_names, self._threshold, Path(__file__).read_text())


def load(name_or_dir: str, *, device: torch.device) -> BrightnessSegmentor:
    """The segmentor that a model directory's ``config.json`` describes; it runs on the CPU, whatever the device."""
    config = read_config(name_or_dir)
    return BrightnessSegmentor(model_name(name_or_dir), tuple(config["id2label"].values()), config["threshold"])
