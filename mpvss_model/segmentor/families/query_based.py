"""Key frames by networks that classify queries, each of which has a mask."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from transformers.modeling_utils import PreTrainedModel

from mpvss_model.image import FramePadding
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.families.exportable import ExportableQueryBased
from mpvss_model.segmentor.families.network_cost import network_cost
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.transformers_segmentor import TransformersSegmentor

__all__ = ["QueryBasedSegmentor", "QueryOutput"]

Network = TypeVar("Network", bound=PreTrainedModel)


class QueryOutput(NamedTuple):
    """What a network finds in ``N`` images.

    Attributes:
        mask_logits: ``[N, Q, h, w]``.
        class_logits: ``[N, Q, C + 1]``, the last column "no object".
        queries: ``[N, Q, d]``, the vectors that the class head reads.
    """

    mask_logits: torch.Tensor
    class_logits: torch.Tensor
    queries: torch.Tensor


class QueryBasedSegmentor(TransformersSegmentor, Generic[Network]):
    """A `KeyFrameSegmentor` around a network that gives masks and classes of queries; to be completed by `output`.

    Attributes:
        part_names: Parts of the network, as they are called in reports, and as attributes of the network; what is left is the
            ``transformer decoder``.
        needs_values: Whether the network decides by values of tensors, so that it has to run once to be counted.
    """

    unread: ClassVar = r"^criterion\."
    part_names: ClassVar[dict[str, str]]
    needs_values: ClassVar[bool] = False

    @abstractmethod
    def output(self, network: Network, pixels: torch.Tensor) -> QueryOutput:
        """What a network of this kind finds in an input ``[N, 3, H', W']``: masks at a quarter of its size."""

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        with self.own_stream():
            padding, pixels = self.prepared(frame)
            found = self.output(self.model, pixels)
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=found.mask_logits[0],
            class_logits=found.class_logits[0].float(),
            queries=found.queries[0],
        )

    def exportable_network(self) -> ExportableQueryBased:
        """A module for export around the network's weights."""

        def output(network: Network, pixels: torch.Tensor) -> QueryOutput:
            # A method would be copied together with its segmentor, wherever the module is copied.
            return self.output(network, pixels)

        return ExportableQueryBased(self.model, output)

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost:
        """Cost of a key frame of some height and width in pixels."""
        shape = (1, 3, *FramePadding(*frame_size).padded_size)
        parts = network_cost(
            self.model,
            self.output,
            shape,
            part_names=self.part_names,
            rest="transformer decoder",
            needs_values=self.needs_values,
        )
        return SegmentorCost(parts, self.num_queries)

    @property
    @abstractmethod
    def num_queries(self) -> int:
        """How many masks a key frame has."""
