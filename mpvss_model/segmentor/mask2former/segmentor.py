"""Key frames by any Mask2Former checkpoint of ``transformers``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from transformers import Mask2FormerForUniversalSegmentation

import mpvss_model.segmentor.mask2former.efficientnet_lite  # noqa: F401  registers the backbone with transformers
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.runtime.cuda import GraphedFunction
from mpvss_model.segmentor.cost import SegmentorCost
from mpvss_model.segmentor.key_frame import KeyFrame
from mpvss_model.segmentor.mask2former.cost import mask2former_cost
from mpvss_model.segmentor.mask2former.exportable.network import ExportableMask2Former
from mpvss_model.segmentor.mask2former.fast_network import FastMask2Former, SegmentedFrame
from mpvss_model.segmentor.transformers_segmentor import TransformersSegmentor

__all__ = ["Mask2FormerSegmentor"]


class Mask2FormerSegmentor(TransformersSegmentor):
    """A `KeyFrameSegmentor` around ``Mask2FormerForUniversalSegmentation``.

    Args:
        model: The network; moved to ``device`` and put into evaluation mode.
        name: How to call it in reports.
        device: Where it runs.
        image_mean: RGB mean that the network was trained with, on the 0..1 scale.
        image_std: RGB standard deviation that the network was trained with, on the 0..1 scale.

    Raises:
        CheckpointError: If the network has more classes than a uint8 label map can hold, or they are not named by index.
    """

    network_class = Mask2FormerForUniversalSegmentation
    takes_bfloat16 = True

    def __init__(
        self,
        *,
        model: Mask2FormerForUniversalSegmentation,
        name: str,
        device: torch.device,
        image_mean: tuple[float, ...] = IMAGENET_MEAN,
        image_std: tuple[float, ...] = IMAGENET_STD,
    ) -> None:
        super().__init__(model=model, name=name, device=device, image_mean=image_mean, image_std=image_std)
        self._network: Callable[[torch.Tensor], Sequence[torch.Tensor]] = self._plain

    def accelerate(self, dtype: torch.dtype) -> None:
        """Run faster from now on, in some floating-point type. The network cannot be trained or saved afterwards.

        Does nothing but change the type where a network differs too much from the published ones, or has weights that are not
        finite: its masks would not be either, which a stream notices, but for activations that make zeros of them.
        """
        if self.model.config.pre_norm or not all(x.sum(dtype=torch.float32).isfinite() for x in self.model.parameters()):
            super().accelerate(dtype)
            return
        # Batch norms are folded into convolutions before those are rounded.
        network = FastMask2Former(self.model)
        network.to(dtype)
        if self.device.type == "cpu":
            # A twentieth of the work, and what decides the masks.
            network.decoder.float()
        self._dtype = dtype
        self._network = GraphedFunction(network)

    @torch.inference_mode()
    def segment(self, frame: np.ndarray, stamp_s: float) -> KeyFrame:
        """Segment a uint8 RGB frame ``[H, W, 3]``."""
        with self.own_stream():
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

    def exportable_network(self) -> ExportableMask2Former | None:
        """A module for export around the network's weights; None where it differs too much from the published ones."""
        return None if self.model.config.pre_norm else ExportableMask2Former(self.model)

    def cost(self, frame_size: tuple[int, int]) -> SegmentorCost:
        """Cost of backbone, pixel decoder and transformer decoder for a frame of some height and width in pixels."""
        return mask2former_cost(self.model.config, frame_size)

    def _plain(self, pixels: torch.Tensor) -> SegmentedFrame:
        outputs = self.model.model(pixels, output_hidden_states=True)
        # The intermediate states have gone through the decoder's norm, as the class head needs them; [Q, 1, d].
        queries = outputs.transformer_decoder_intermediate_states[-1][:, 0]
        return SegmentedFrame(outputs.masks_queries_logits[-1][0], self.model.class_predictor(queries), queries)
