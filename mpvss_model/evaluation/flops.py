"""Cost of a stream per frame, counted without running it (MPVSS, tables 1 and 3).

One multiply-add counts as 1, as in the paper. Counted is what the authors' code computes: the frame padded to a multiple of
32, the flow, warp and class scores of every query, and the class scores at full resolution.
"""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F

from mpvss_model.errors import ConfigError
from mpvss_model.image import FramePadding
from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule, propagate_masks
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.runtime.flop_count import count_parameters, counted, meta_tensor, total_gflops
from mpvss_model.segmentor.cost import PartCost, SegmentorCost
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = ["PAPER_INTERVAL", "Cost", "composed_cost", "loaded_cost", "parse_frame_size", "stream_cost"]

PAPER_INTERVAL = 5


@dataclass(frozen=True)
class Cost:
    """Cost of a model at one frame size.

    Attributes:
        backbone: The paper's name, or empty.
        frame_size: Height and width in pixels.
        num_classes: Without "no object".
        interval: A key frame every so many frames.
        parts: Those of the segmentor, then ``motion``, ``warp`` and ``output``.
        paper_gflops: Per frame, where the paper has this configuration.
        paper_parameters_m: In millions, where the paper has this configuration.
        model: Name of the model that was loaded to be counted, or empty.
        propagation: How its masks are carried, or empty.
    """

    backbone: str
    frame_size: tuple[int, int]
    num_classes: int
    interval: int
    parts: dict[str, PartCost]
    paper_gflops: float | None = None
    paper_parameters_m: float | None = None
    model: str = ""
    propagation: str = ""

    @property
    def key_frame_gflops(self) -> float:
        """Of a frame that is segmented."""
        return sum(part.gflops for part in self.parts.values() if part.runs_on != "propagated")

    @property
    def propagated_frame_gflops(self) -> float:
        """Of a frame that masks are propagated to."""
        return sum(part.gflops for part in self.parts.values() if part.runs_on != "key")

    @property
    def interval_gflops(self) -> float:
        """Of a key frame and the frames up to the next one."""
        return self.key_frame_gflops + (self.interval - 1) * self.propagated_frame_gflops

    @property
    def gflops(self) -> float:
        """Per frame, on average over one interval."""
        return self.interval_gflops / self.interval

    def with_history(self) -> Cost:
        """The same where masks are propagated to key frames, too, as `mpvss_model.stream.history` wants them."""
        parts = {
            name: replace(part, runs_on="all") if part.runs_on == "propagated" else part for name, part in self.parts.items()
        }
        return replace(self, parts=parts)

    @property
    def parameters(self) -> int:
        """Of the whole model."""
        return sum(part.parameters for part in self.parts.values())

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        totals = ("key_frame_gflops", "propagated_frame_gflops", "interval_gflops", "gflops", "parameters")
        return {**asdict(self), **{name: getattr(self, name) for name in totals}}


def parse_frame_size(text: str) -> tuple[int, int]:
    """Height and width from a text that gives the width first, as sizes of images are written everywhere.

    >>> parse_frame_size("853x480")
    (480, 853)

    Raises:
        ConfigError: If it is no such text.
    """
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise ConfigError(f"a frame size is WIDTHxHEIGHT in pixels, such as 853x480, got {text!r}")
    return int(match[2]), int(match[1])


def loaded_cost(model: str, *, propagation: str = "auto", frame_size: tuple[int, int], interval: int = PAPER_INTERVAL) -> Cost:
    """Cost of any model that can be loaded, with one of its ways of propagation.

    Args:
        model: See `VideoSegmentor.from_pretrained`.
        propagation: See `VideoSegmentor.from_pretrained`.
        frame_size: Height and width in pixels.
        interval: A key frame every so many frames.

    Raises:
        ConfigError: If a number is out of range, the model cannot propagate that way, or nobody knows what it costs.
        CheckpointError: If the model cannot be loaded.
    """
    if interval < 1:
        raise ConfigError(f"interval must be at least 1, got {interval!r}")
    stream = VideoSegmentor.from_pretrained(model, device="cpu", propagation=propagation)
    segmentor, propagator = stream.segmentor, stream.propagator
    cost = stream_cost(segmentor, propagator, frame_size=frame_size)
    if cost is None:
        raise ConfigError(f"model {segmentor.name!r} does not say what it costs: its segmentor needs a method `cost`")
    return replace(cost, model=segmentor.name, propagation=propagator.name, interval=interval)


def stream_cost(segmentor: KeyFrameSegmentor, propagator: Propagator, *, frame_size: tuple[int, int]) -> Cost | None:
    """Cost of a segmentor with one way of propagation; optical flow by OpenCV is not counted.

    Args:
        segmentor: For key frames.
        propagator: For the frames in between.
        frame_size: Height and width in pixels.

    Returns:
        None where the segmentor's cost cannot be counted.
    """
    # A segmentor of a user's own may have no more than what a stream asks for.
    cost_of = getattr(segmentor, "cost", None)
    cost = None if cost_of is None else cost_of(frame_size)
    if cost is None:
        return None
    motion = None if propagator.module is None else propagator.module.config
    return composed_cost(cost, motion, frame_size=frame_size, num_classes=len(segmentor.class_names))


def composed_cost(
    segmentor: SegmentorCost,
    motion: MotionConfig | None,
    *,
    frame_size: tuple[int, int],
    num_classes: int,
    interval: int = PAPER_INTERVAL,
) -> Cost:
    """Cost of key frames, and of what carries their masks on and makes labels of them.

    Args:
        segmentor: Of a key frame.
        motion: Sizes of the motion module; None to count the warp alone.
        frame_size: Height and width in pixels.
        num_classes: Without "no object".
        interval: A key frame every so many frames.
    """
    padding = FramePadding(*frame_size)
    height, width = padding.padded_size
    mask_logits = meta_tensor(1, segmentor.num_queries, *padding.mask_size)
    class_logits = meta_tensor(1, segmentor.num_queries, num_classes + 1)
    flow = meta_tensor(1, segmentor.num_queries, 2, height // 8, width // 8)
    parts = dict(segmentor.parts)
    if motion is not None:
        parts["motion"] = _motion_cost(motion, padding)
    parts["warp"] = PartCost(total_gflops(counted(propagate_masks, mask_logits, flow)), 0, "propagated")
    parts["output"] = PartCost(total_gflops(counted(_class_scores, mask_logits, class_logits, padding)), 0, "all")
    return Cost(backbone="", frame_size=tuple(frame_size), num_classes=num_classes, interval=interval, parts=parts)


def _motion_cost(config: MotionConfig, padding: FramePadding) -> PartCost:
    with torch.device("meta"):
        module = MotionModule(config).eval()
    images = meta_tensor(1, 3, *padding.padded_size).to(torch.uint8)
    queries = meta_tensor(1, config.num_queries, config.query_size)
    return PartCost(total_gflops(counted(module, images, images, queries)), count_parameters(module), "propagated")


def _class_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Class scores as the authors' code computes them, padding included; `mpvss_model.semantics` spares that."""
    masks = F.interpolate(mask_logits, size=padding.padded_size, mode="bilinear", align_corners=False).sigmoid()
    scores = torch.einsum("bqc,bqhw->bchw", class_logits.softmax(dim=-1)[..., :-1], masks)
    return F.interpolate(padding.unpad(scores), size=(padding.height, padding.width), mode="bilinear", align_corners=False)
