"""A segmentor and scenes whose truth is known."""

import cv2
import numpy as np
import torch

from mpvss_model import StreamConfig, VideoSegmentor
from mpvss_model.image import FramePadding
from mpvss_model.propagation.optical_flow import TrackedFlowPropagator
from mpvss_model.segmentor.key_frame import KeyFrame


class BrightnessSegmentor:
    """Class 1 where the image is bright, class 0 elsewhere: a segmentor whose truth is known."""

    class_names = ("dark", "bright")
    name = "brightness"
    device = torch.device("cpu")
    dtype = "float32"

    def segment(self, frame, stamp_s):
        padding = FramePadding(*frame.shape[:2])
        gray = padding.pad(torch.from_numpy(frame).float().mean(dim=-1)[None, None])
        bright = torch.nn.functional.avg_pool2d(gray, 4)[0, 0] / 8 - 16
        class_logits = torch.tensor([[9.0, -9.0, -9.0], [-9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
        masks = torch.stack([-bright, bright, bright])
        return KeyFrame(frame, stamp_s, padding, masks, class_logits, torch.zeros(3, 8))


def make_segmentor(segmentor=None, **config):
    return VideoSegmentor(
        segmentor=segmentor or BrightnessSegmentor(), propagator=TrackedFlowPropagator(), config=StreamConfig(**config)
    )


def scene(shift_px=0, size=(96, 128)):
    """A bright textured square on a dark textured ground, moved to the right."""
    noise = np.random.default_rng(1).integers(0, 70, (*size, 3), np.uint8)
    image = cv2.GaussianBlur(noise, (5, 5), 0)
    image[32:64, 32:64] = 200 + image[32:64, 32:64] // 2
    return np.roll(image, shift_px, axis=1)
