"""Key frames by any Mask2Former checkpoint of ``transformers``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from huggingface_hub.utils import logging as hub_logging
from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation
from transformers.utils import logging

import mpvss_model.segmentor.mask2former.efficientnet_lite  # noqa: F401  registers the backbone with transformers
from mpvss_model.errors import CheckpointError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, FramePadding, normalized
from mpvss_model.runtime.cuda import GraphedFunction, to_device
from mpvss_model.segmentor.image_statistics import image_statistics
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.mask2former.fast_network import FastMask2Former, SegmentedFrame
from mpvss_model.segmentor.network_files import check_location, class_names_of, load_config, load_network
from mpvss_model.semantics import UNLABELED

__all__ = ["Mask2FormerSegmentor", "quiet"]


class Mask2FormerSegmentor:
    """A `KeyFrameSegmentor` around ``Mask2FormerForUniversalSegmentation``.

    Args:
        model: The network; moved to ``device`` and put into evaluation mode.
        name: How to call it in reports.
        device: Where it runs.
        image_mean: RGB mean that the network was trained with, on the 0..1 scale.
        image_std: Likewise the standard deviation.

    Raises:
        CheckpointError: If the network has more classes than a uint8 label map can hold, or they are not named by index.
    """

    def __init__(
        self,
        *,
        model: Mask2FormerForUniversalSegmentation,
        name: str,
        device: torch.device,
        image_mean: tuple[float, ...] = IMAGENET_MEAN,
        image_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        if model.config.num_labels > UNLABELED:
            raise CheckpointError(
                f"model {name!r} has {model.config.num_labels} classes; a label image holds at most {UNLABELED}"
            )
        self.name = name
        self.device = device
        self.model = model.to(device).eval().requires_grad_(False)
        self._dtype = model.dtype
        self.class_names = class_names_of(model.config, name)
        self._network: Callable[[torch.Tensor], Sequence[torch.Tensor]] = self._plain
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.image_mean, self.image_std = image_mean, image_std
        self._mean = torch.tensor(image_mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(image_std, device=device).view(1, 3, 1, 1) * 255

    @classmethod
    def from_pretrained(cls, name_or_dir: str, *, device: torch.device) -> Mask2FormerSegmentor:
        """Load a checkpoint directory, or a model of the hub by its id.

        Raises:
            CheckpointError: If it is missing, incomplete, broken or not a Mask2Former.
        """
        check_location(name_or_dir)
        with quiet():
            load_config(name_or_dir, [Mask2FormerConfig.model_type])
            model = load_network(Mask2FormerForUniversalSegmentation, name_or_dir, surplus=True)
            mean, std = image_statistics(name_or_dir)
        name = Path(name_or_dir).name if os.path.isdir(name_or_dir) else name_or_dir
        return cls(model=model, name=name, device=device, image_mean=mean, image_std=std)

    @property
    def dtype(self) -> str:
        """The floating-point type it runs in, as torch calls it."""
        return str(self._dtype).removeprefix("torch.")

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run faster from now on, in some floating-point type. The network cannot be trained or saved afterwards.

        Does nothing but change the type where a network differs too much from the published ones.
        """
        self.model.to(dtype)
        self._dtype = dtype
        if not self.model.config.pre_norm:
            self._network = GraphedFunction(FastMask2Former(self.model))

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        with self._own_stream():
            padding, pixels = self.prepared(frame)
            segmented = SegmentedFrame(*self._network(pixels))
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=segmented.mask_logits,
            class_logits=segmented.class_logits.float(),
            queries=segmented.queries,
        )

    def prepared(self, frame: np.ndarray) -> tuple[FramePadding, torch.Tensor]:
        """The network's input ``[1, 3, H', W']`` for a uint8 RGB frame ``[H, W, 3]``, and its geometry."""
        padding = FramePadding(*frame.shape[:2])
        pixels = normalized(to_device(frame, self.device), self._mean, self._std)
        return padding, padding.pad(pixels).to(self._dtype)

    def _plain(self, pixels: torch.Tensor) -> SegmentedFrame:
        outputs = self.model.model(pixels, output_hidden_states=True)
        # The intermediate states have gone through the decoder's norm, as the class head needs them; [Q, 1, d].
        queries = outputs.transformer_decoder_intermediate_states[-1][:, 0]
        return SegmentedFrame(outputs.masks_queries_logits[-1][0], self.model.class_predictor(queries), queries)

    @contextmanager
    def _own_stream(self) -> Iterator[None]:
        """On a GPU, work beside what other threads do there, and be done at the end."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
        self._stream.synchronize()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep progress bars, attempts to reach the hub, and advice for a model's authors out of a robot's log."""
    verbosity, hub_verbosity = logging.get_verbosity(), hub_logging.get_verbosity()
    logging.set_verbosity_error()
    hub_logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        hub_logging.set_verbosity(hub_verbosity)
        logging.enable_progress_bar()
