"""What the segmentors around networks of ``transformers`` have in common."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch
from transformers.configuration_utils import PreTrainedConfig
from transformers.modeling_utils import PreTrainedModel

from mpvss_model.errors import CheckpointError
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD, FramePadding, normalized
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.runtime.transfers import to_device
from mpvss_model.segmentor.base import BaseSegmentor
from mpvss_model.segmentor.config_file import check_location, model_name
from mpvss_model.segmentor.frame_network import FrameNetwork
from mpvss_model.segmentor.image_processing.size_rule import SizeRule, size_rule
from mpvss_model.segmentor.image_statistics import image_statistics
from mpvss_model.segmentor.network_files import class_names_of, load_config, load_network, quiet
from mpvss_model.semantics import UNLABELED

__all__ = ["TransformersSegmentor"]

Segmentor = TypeVar("Segmentor", bound="TransformersSegmentor")


class TransformersSegmentor(BaseSegmentor):
    """A segmentor around a network of one class of ``transformers``; to be completed by `network_class` and `segment`.

    A family whose files say more than weights, classes, image statistics and size overrides `check_config` and
    `settings_of`.

    Args:
        model: The network; moved to ``device`` and put into evaluation mode.
        name: How to call it in reports.
        device: Where it runs.
        image_mean: RGB mean that the network was trained with, on the 0..1 scale.
        image_std: RGB standard deviation that the network was trained with, on the 0..1 scale.

    Attributes:
        network_class: Of ``model``; its configuration's ``model_type`` is that of the checkpoints.
        processor: Whose settings the checkpoints have: ``image_processor``, or ``video_processor``.
        unread: Pattern of the names of tensors that a checkpoint need not have, since `segment` does not read them.

    Raises:
        CheckpointError: If the network has more classes than a uint8 label map can hold, or they are not named by index.
    """

    network_class: ClassVar[type[PreTrainedModel]]
    processor: ClassVar[str] = "image_processor"
    unread: ClassVar[str | None] = None

    def __init__(
        self,
        *,
        model: PreTrainedModel,
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
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self.image_mean, self.image_std = image_mean, image_std
        self._mean = torch.tensor(image_mean, device=device).view(1, 3, 1, 1) * 255
        self._std = torch.tensor(image_std, device=device).view(1, 3, 1, 1) * 255

    @classmethod
    def from_pretrained(cls: type[Segmentor], name_or_dir: str, *, device: torch.device) -> Segmentor:
        """Load a checkpoint directory, or a model of the hub by its id.

        Raises:
            CheckpointError: If it is missing, incomplete, broken or of another type.
        """
        check_location(name_or_dir)
        with quiet():
            config = load_config(name_or_dir, cls.network_class.config_class.model_type)
            mean, std = image_statistics(name_or_dir, processor=cls.processor)
            rule = size_rule(name_or_dir, processor=cls.processor)
            cls.check_config(config, rule, name_or_dir)
            settings = cls.settings_of(name_or_dir, config, rule)
            model = load_network(cls.network_class, name_or_dir, surplus=True, unread=cls.unread, config=config)
        segmentor = cls(model=model, name=model_name(name_or_dir), device=device, image_mean=mean, image_std=std, **settings)
        segmentor.recommended_inference_size = cls.inference_size_of(rule)
        return segmentor

    @classmethod
    def check_config(cls, config: PreTrainedConfig, rule: SizeRule, name_or_dir: str) -> None:
        """Raise `CheckpointError` if a checkpoint of this family cannot be used: says which entry is at fault."""

    @classmethod
    def settings_of(cls, name_or_dir: str, config: PreTrainedConfig, rule: SizeRule) -> dict[str, Any]:
        """Further arguments of the segmentor, from a checkpoint's files."""
        return {}

    @classmethod
    def inference_size_of(cls, rule: SizeRule) -> int:
        """What a size rule recommends for `StreamConfig.inference_size`."""
        return rule.shorter_side_px

    @property
    def dtype(self) -> str:
        """The floating-point type it runs in, as torch calls it."""
        return str(self._dtype).removeprefix("torch.")

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run in some floating-point type from now on."""
        self.model.to(dtype)
        self._dtype = dtype

    def digest(self) -> bytes:
        """Changes with weights, configuration and image statistics."""
        return content_digest(self.image_mean, self.image_std, self.model.config.to_json_string(), self.model)

    def exportable(self, frame_size: tuple[int, int]) -> torch.nn.Module | None:
        """As `BaseSegmentor.exportable`: what `exportable_network` gives, behind normalisation and padding."""
        network = self.exportable_network()
        if network is None:
            return None
        return FrameNetwork(network, FramePadding(*frame_size), image_mean=self.image_mean, image_std=self.image_std)

    def exportable_network(self) -> torch.nn.Module | None:
        """A module from normalised and padded frames ``[N, 3, H', W']`` to what `exportable` gives; None if there is none."""
        return None

    def prepared(self, frame: np.ndarray) -> tuple[FramePadding, torch.Tensor]:
        """The network's input ``[1, 3, H', W']`` for a uint8 RGB frame ``[H, W, 3]``, and its geometry."""
        padding = FramePadding(*frame.shape[:2])
        return padding, padding.pad(self.pixels(frame))

    def pixels(self, frame: np.ndarray) -> torch.Tensor:
        """A uint8 RGB image ``[H, W, 3]`` as the network was trained to see them, ``[1, 3, H, W]``, without padding."""
        return normalized(to_device(frame, self.device), self._mean, self._std).to(self._dtype)

    @contextmanager
    def own_stream(self) -> Iterator[None]:
        """On a GPU, work beside what other threads do there, and be done at the end."""
        if self._stream is None:
            yield
            return
        with torch.cuda.stream(self._stream):
            yield
        self._stream.synchronize()
