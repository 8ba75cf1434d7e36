"""Key frames by any EoMT checkpoint of ``transformers``."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from transformers import EomtConfig, EomtDinov3ForUniversalSegmentation, EomtForUniversalSegmentation
from transformers.configuration_utils import PreTrainedConfig

from mpvss_model.config import FRAME_SIZE
from mpvss_model.errors import CheckpointError
from mpvss_model.image import FramePadding, resized
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.eomt.exportable import ExportableEomt
from mpvss_model.segmentor.eomt.squares import Squares
from mpvss_model.segmentor.families.class_masks import masks_of_class_scores
from mpvss_model.segmentor.families.network_cost import network_cost
from mpvss_model.segmentor.families.per_pixel import per_pixel_key_frame
from mpvss_model.segmentor.families.query_based import QueryBasedSegmentor, QueryOutput
from mpvss_model.segmentor.image_processing.size_rule import SizeRule
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.semantics import grid_scores

__all__ = ["EomtSegmentor"]

EomtNetwork = EomtForUniversalSegmentation | EomtDinov3ForUniversalSegmentation


class EomtSegmentor(QueryBasedSegmentor[EomtNetwork]):
    """A `KeyFrameSegmentor` around ``EomtForUniversalSegmentation``, which sees squares of one side, see `Squares`.

    Of one square, masks, classes and query vectors are those of the network. Of several, each has queries of its own, and what
    they find is merged as the image processor merges it: class scores of a pixel are the mean over the squares that have it.
    Then each class is a mask, and there are no query vectors.

    Args:
        is_split: Whether frames that are not square are split into several squares.
        **network: As of `TransformersSegmentor`.
    """

    network_class: ClassVar = EomtForUniversalSegmentation
    part_names: ClassVar[dict[str, str]] = {}

    def __init__(self, *, is_split: bool = False, **network: Any) -> None:
        super().__init__(**network)
        self._is_split = is_split

    @classmethod
    def check_config(cls, config: EomtConfig, rule: SizeRule, name_or_dir: str) -> None:
        """Raise `CheckpointError` if the image processor makes squares of another side than the network takes."""
        if not isinstance(config.image_size, int):
            raise CheckpointError(
                f"model {name_or_dir!r}: image_size is {config.image_size!r} in config.json; expected the side of a square, "
                "such as 640"
            )
        if rule.shorter_side_px not in (FRAME_SIZE, config.image_size):
            raise CheckpointError(
                f"model {name_or_dir!r}: size of its image processor is {rule.shorter_side_px} pixels; expected "
                f"{config.image_size}, as image_size in config.json"
            )

    @classmethod
    def settings_of(cls, name_or_dir: str, config: PreTrainedConfig, rule: SizeRule) -> dict[str, Any]:
        """Whether the image processor splits images."""
        return {"is_split": rule.is_split}

    @classmethod
    def inference_size_of(cls, rule: SizeRule) -> int:
        """The side of the squares, if that is the shorter side of the resized image."""
        return rule.shorter_side_px if rule.is_split else FRAME_SIZE

    def digest(self) -> bytes:
        """Changes with weights, configuration, image statistics and splitting."""
        return content_digest(super().digest(), self._is_split)

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        padding = FramePadding(*frame.shape[:2])
        squares = self._squares(padding.size)
        with self.own_stream():
            found = self.output(self.model, squares.cut(self.pixels(resized(frame, squares.image_size))))
            masks, inside = squares.in_frame(found.mask_logits)
            if len(masks) > 1:
                return per_pixel_key_frame(frame, stamp_s, padding, _merged(masks, found.class_logits.float(), inside))
        return KeyFrame(
            image=frame,
            stamp_s=stamp_s,
            padding=padding,
            mask_logits=masks[0],
            class_logits=found.class_logits[0].float(),
            queries=found.queries[0],
        )

    def output(self, network: EomtNetwork, pixels: torch.Tensor) -> QueryOutput:
        """What the network finds in squares ``[N, 3, side, side]``."""
        found = network(pixels)
        return QueryOutput(
            found.masks_queries_logits, found.class_queries_logits, found.last_hidden_state[:, : network.config.num_queries]
        )

    def exportable(self, frame_size: tuple[int, int]) -> ExportableEomt:
        """As `BaseSegmentor.exportable`: resizing and squares are those of the frame size.

        Raises:
            CheckpointError: If the network chooses by chance which queries keep to their masks.
        """
        shares = self.model.attn_mask_probs.tolist()
        if any(0 < share < 1 for share in shares):
            raise CheckpointError(
                f"model {self.name!r} cannot be exported: attn_mask_probs is {[round(share, 3) for share in shares]}, as in "
                "the midst of training, and the network is random: set each to 0 or 1"
            )
        squares = self._squares(frame_size)
        return ExportableEomt(self.model, squares, image_mean=self.image_mean, image_std=self.image_std)

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost:
        """Cost of all squares of a frame of some height and width in pixels."""
        squares = self._squares(frame_size)
        count, side_px = len(squares.starts_px), squares.side_px

        def run(network: EomtNetwork, pixels: torch.Tensor) -> QueryOutput:
            # What they decide cannot be read from tensors without values.
            network.attn_mask_probs = self.model.attn_mask_probs.cpu()
            return self.output(network, pixels)

        parts = network_cost(self.model, run, (count, 3, side_px, side_px), part_names=self.part_names, rest="network")
        return SegmentorCost(parts, self.num_queries if count == 1 else len(self.class_names))

    @property
    def num_queries(self) -> int:
        """How many masks a square has."""
        return self.model.config.num_queries

    def _squares(self, frame_size: tuple[int, int]) -> Squares:
        return Squares(frame_size, self.model.config.image_size, self._is_split)


def _merged(masks: torch.Tensor, class_logits: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Masks of classes ``[C, h, w]``, of the mean class scores of squares; arguments as of `Squares.in_frame`."""
    scores = sum(
        grid_scores(*square) * is_there for square, is_there in zip(zip(masks, class_logits, strict=True), inside, strict=True)
    )
    return masks_of_class_scores(scores / inside.sum(dim=0).clamp(min=1))
