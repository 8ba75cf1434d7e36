"""Key frames by any Mask2Former checkpoint of ``transformers``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, Mask2FormerForUniversalSegmentation
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging

import mpvss_model.segmentor.efficientnet_lite  # noqa: F401  registers the backbone with transformers
from mpvss_model.cuda import GraphedFunction, to_device
from mpvss_model.errors import CheckpointError, first_line
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, FramePadding, normalized
from mpvss_model.segmentor.fast_network import FastMask2Former, SegmentedFrame
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.semantics import UNLABELED

__all__ = ["Mask2FormerSegmentor", "check_location", "image_statistics", "quiet"]

WEIGHT_FILES = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json")


class Mask2FormerSegmentor:
    """A `KeyFrameSegmentor` around ``Mask2FormerForUniversalSegmentation``.

    Args:
        model: The network; moved to ``device`` and put into evaluation mode.
        name: How to call it in reports.
        device: Where it runs.
        image_mean: RGB mean that the network was trained with, on the 0..1 scale.
        image_std: Likewise the standard deviation.

    Raises:
        CheckpointError: If the network has more classes than a uint8 label map can hold.
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
        self.class_names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
        self._network: Callable[[torch.Tensor], Sequence[torch.Tensor]] = self._plain
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._mean = torch.tensor(image_mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(image_std, device=device).view(1, 3, 1, 1) * 255

    @classmethod
    def from_pretrained(cls, name_or_dir: str, *, device: torch.device) -> Mask2FormerSegmentor:
        """Load a checkpoint directory, or a model of the hub by its id.

        Raises:
            CheckpointError: If it is missing, incomplete, broken or not a Mask2Former.
        """
        check_location(name_or_dir)
        try:
            with quiet():
                config = AutoConfig.from_pretrained(name_or_dir)
            if config.model_type != "mask2former":
                raise CheckpointError(
                    f"model {name_or_dir!r} is of type {config.model_type!r}; expected a Mask2Former checkpoint"
                )
            with quiet():
                model, info = Mask2FormerForUniversalSegmentation.from_pretrained(
                    name_or_dir, config=config, output_loading_info=True
                )
        except CheckpointError:
            raise
        except Exception as error:  # transformers, safetensors and the hub client raise a dozen unrelated types here
            raise CheckpointError(f"cannot load model {name_or_dir!r}: {first_line(error)}") from error
        missing = sorted(info["missing_keys"])
        if missing:
            raise CheckpointError(f"model {name_or_dir!r} lacks {len(missing)} of its tensors: {', '.join(missing)}")
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
    """Keep the progress bars of transformers, and its advice for a model's authors, out of a robot's log."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            yield
    finally:
        logging.set_verbosity(verbosity)
        logging.enable_progress_bar()


def check_location(name_or_dir: str) -> None:
    """Raise `CheckpointError` unless there is a checkpoint directory, or the name can be a hub id."""
    path = Path(name_or_dir)
    if not path.exists():
        if name_or_dir.count("/") == 1 and not name_or_dir.startswith((".", "~", "/")):
            return
        raise CheckpointError(
            f"no model at {name_or_dir!r}: give a directory with config.json and model.safetensors, a hub id such as "
            "facebook/mask2former-swin-tiny-cityscapes-semantic, or the name of a shipped model"
        )
    if not path.is_dir():
        raise CheckpointError(
            f"model {name_or_dir!r} is a file: give the directory that holds config.json and model.safetensors"
        )
    if not (path / "config.json").is_file():
        raise CheckpointError(f"model directory {name_or_dir!r} has no config.json")
    if not any((path / file).is_file() for file in WEIGHT_FILES):
        raise CheckpointError(f"model directory {name_or_dir!r} has no weights: expected model.safetensors beside config.json")


def image_statistics(name_or_dir: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """RGB mean and standard deviation, on the 0..1 scale, that a checkpoint was trained with."""
    try:
        settings, _ = ImageProcessingMixin.get_image_processor_dict(name_or_dir)
    except OSError:  # the file is optional: a Mask2Former without it was trained with ImageNet's statistics
        settings = {}
    return tuple(settings.get("image_mean", IMAGENET_MEAN)), tuple(settings.get("image_std", IMAGENET_STD))
