"""Key frames by any Mask2Former checkpoint of ``transformers``."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from transformers import AutoConfig, Mask2FormerForUniversalSegmentation
from transformers.image_processing_base import ImageProcessingMixin
from transformers.utils import logging

import mpvss_model.segmentor.efficientnet_lite  # noqa: F401  registers the backbone with transformers
from mpvss_model.errors import CheckpointError, first_line
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, FramePadding, normalized
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
            raise CheckpointError(f"model {name!r} has {model.config.num_labels} classes; a label image holds at most {UNLABELED}")
        self.name = name
        self.device = device
        self.model = model.to(device).eval().requires_grad_(False)
        self.dtype = str(model.dtype).removeprefix("torch.")
        self.class_names = tuple(model.config.id2label[i] for i in range(model.config.num_labels))
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
                raise CheckpointError(f"model {name_or_dir!r} is of type {config.model_type!r}; expected a Mask2Former checkpoint")
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

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        padding = FramePadding(*frame.shape[:2])
        outputs = self.model.model(padding.pad(normalized(frame, self._mean, self._std)), output_hidden_states=True)
        # The intermediate states have gone through the decoder's norm, as the class head needs them; [Q, 1, d].
        queries = outputs.transformer_decoder_intermediate_states[-1][:, 0]
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=outputs.masks_queries_logits[-1][0],
            class_logits=self.model.class_predictor(queries),
            queries=queries,
        )


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
        raise CheckpointError(f"model {name_or_dir!r} is a file: give the directory that holds config.json and model.safetensors")
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
