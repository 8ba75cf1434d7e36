"""Cost of MPVSS per frame, counted on the network itself without running it (MPVSS, tables 1 and 3).

One multiply-add counts as 1, as in the paper. Counted is what the authors' code computes: the frame padded to a multiple of
32, the flow, warp and class scores of every query, and the class scores at full resolution.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, MPVSSModel, paper_config
from mpvss_model.errors import ConfigError
from mpvss_model.image import FramePadding
from mpvss_model.motion.module import propagate_masks
from mpvss_model.propagation.propagator import Propagator
from mpvss_model.segmentor.key_frame import KeyFrameSegmentor
from mpvss_model.segmentor.mask2former.backbones import BACKBONES
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor, quiet

__all__ = [
    "CITYSCAPES",
    "Cost",
    "DataSetting",
    "PartCost",
    "VSPW",
    "all_paper_costs",
    "can_be_counted",
    "model_cost",
    "paper_cost",
    "parse_frame_size",
    "stream_cost",
]

PAPER_INTERVAL = 5
# Of a checkpoint's configuration.
COUNTED_MODEL_TYPE = "mask2former"
aten = torch.ops.aten


@dataclass(frozen=True)
class DataSetting:
    """Frame size and classes that the paper counts a data set with, and the GFLOPs per frame that it reports."""

    name: str
    frame_size: tuple[int, int]
    num_classes: int
    paper_gflops: dict[str, float]


VSPW = DataSetting(
    "VSPW", (480, 853), 124, {"r50": 38.9, "r101": 45.1, "swin-t": 39.7, "swin-s": 47.3, "swin-b": 61.5, "swin-l": 97.3}
)
CITYSCAPES = DataSetting(
    "Cityscapes", (1024, 2048), 19,
    {"r50": 173.2, "r101": 204.3, "swin-t": 175.9, "swin-s": 213.2, "swin-b": 278.6, "swin-l": 449.5},
)  # fmt: skip
# Millions, with 124 classes. The paper's figure for Swin-T exceeds that for Swin-S, and cannot be right.
PAPER_PARAMETERS_M = {"r50": 84.1, "r101": 103.1, "swin-t": 114.0, "swin-s": 108.0, "swin-b": 147.0, "swin-l": 255.4}


@dataclass(frozen=True)
class PartCost:
    """Cost of one part, each time it runs.

    Attributes:
        gflops: Multiply-adds, in 1e9.
        parameters: Learned numbers.
        runs_on: ``key`` frames, ``propagated`` frames or ``all``.
    """

    gflops: float
    parameters: int
    runs_on: str


@dataclass(frozen=True)
class Cost:
    """Cost of a model at one frame size.

    Attributes:
        backbone: The paper's name, or empty.
        frame_size: Height and width in pixels.
        num_classes: Without "no object".
        interval: A key frame every so many frames.
        parts: ``backbone``, ``pixel decoder``, ``transformer decoder``, ``motion``, ``warp`` and ``output``.
        paper_gflops: Per frame, where the paper has this configuration.
        paper_parameters_m: In millions, likewise.
    """

    backbone: str
    frame_size: tuple[int, int]
    num_classes: int
    interval: int
    parts: dict[str, PartCost]
    paper_gflops: float | None = None
    paper_parameters_m: float | None = None

    @property
    def key_frame_gflops(self) -> float:
        """Of a frame that is segmented."""
        return sum(part.gflops for part in self.parts.values() if part.runs_on != "propagated")

    @property
    def propagated_frame_gflops(self) -> float:
        """Of a frame that masks are propagated to."""
        return sum(part.gflops for part in self.parts.values() if part.runs_on != "key")

    @property
    def gflops(self) -> float:
        """Per frame, on average over one interval."""
        return (self.key_frame_gflops + (self.interval - 1) * self.propagated_frame_gflops) / self.interval

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
        totals = ("key_frame_gflops", "propagated_frame_gflops", "gflops", "parameters")
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


def all_paper_costs() -> Iterator[Cost]:
    """The paper's table: every backbone on VSPW, then on Cityscapes."""
    for data in (VSPW, CITYSCAPES):
        for backbone in BACKBONES:
            yield paper_cost(backbone, frame_size=data.frame_size, num_classes=data.num_classes)


def paper_cost(
    backbone: str,
    *,
    frame_size: tuple[int, int] = VSPW.frame_size,
    interval: int = PAPER_INTERVAL,
    num_classes: int = VSPW.num_classes,
) -> Cost:
    """Cost of the published network with one of the paper's backbones, beside the paper's own figures.

    Raises:
        ConfigError: If there is no such backbone, or a number is out of range.
    """
    with quiet():
        config = paper_config(backbone, num_classes)
    cost = model_cost(config, frame_size=frame_size, interval=interval)
    data = next((d for d in (VSPW, CITYSCAPES) if (d.frame_size, d.num_classes) == (cost.frame_size, num_classes)), None)
    return replace(
        cost,
        backbone=backbone,
        paper_gflops=data.paper_gflops[backbone] if data is not None and interval == PAPER_INTERVAL else None,
        paper_parameters_m=PAPER_PARAMETERS_M[backbone] if num_classes == VSPW.num_classes else None,
    )


def model_cost(config: MPVSSConfig, *, frame_size: tuple[int, int], interval: int = PAPER_INTERVAL) -> Cost:
    """Cost of any model; one without a motion module is counted with the warp alone.

    Args:
        config: Of the model.
        frame_size: Height and width in pixels.
        interval: A key frame every so many frames.

    Raises:
        ConfigError: If a number is out of range.
    """
    if len(frame_size) != 2 or min(frame_size) < 1:
        raise ConfigError(f"frame_size must be a height and a width of at least 1 pixel, got {frame_size!r}")
    if interval < 1:
        raise ConfigError(f"interval must be at least 1, got {interval!r}")
    with quiet(), torch.device("meta"):
        model = MPVSSModel(config)
    # Tensors on the meta device have shapes but no values, so that nothing is computed. Some constructors ignore the default.
    model = model.to("meta").eval()
    return Cost(
        backbone="",
        frame_size=tuple(frame_size),
        num_classes=config.segmentor.num_labels,
        interval=interval,
        parts=_parts(model, FramePadding(*frame_size)),
    )


def can_be_counted(segmentor: KeyFrameSegmentor) -> bool:
    """Whether a segmentor is, or wraps, a Mask2Former, of which `stream_cost` knows the parts; another may be anything."""
    config = getattr(getattr(segmentor, "model", None), "config", None)
    return getattr(config, "model_type", None) == COUNTED_MODEL_TYPE


def stream_cost(segmentor: Mask2FormerSegmentor, propagator: Propagator, *, frame_size: tuple[int, int]) -> Cost:
    """Cost of a loaded model with one way of propagation; optical flow by OpenCV is not counted.

    Args:
        segmentor: For key frames; one that `can_be_counted`.
        propagator: For the frames in between.
        frame_size: Height and width in pixels.
    """
    motion = None if propagator.module is None else asdict(propagator.module.config)
    config = MPVSSConfig(segmentor=segmentor.model.config, motion=motion)
    return model_cost(config, frame_size=frame_size)


def _parts(model: MPVSSModel, padding: FramePadding) -> dict[str, PartCost]:
    height, width = padding.padded_size
    settings = model.config.segmentor
    frame = _meta(1, 3, height, width)
    mask_logits = _meta(1, settings.num_queries, height // 4, width // 4)
    class_logits = _meta(1, settings.num_queries, settings.num_labels + 1)
    flow = _meta(1, settings.num_queries, 2, height // 8, width // 8)

    segmentor = model.segmentor
    pixel_level = segmentor.model.pixel_level_module
    by_module = _counted(segmentor, frame).get_flop_counts()
    root = f"{type(segmentor).__name__}.model.pixel_level_module"
    total, backbone, pixel_decoder = (_gflops(by_module[name]) for name in ("Global", f"{root}.encoder", f"{root}.decoder"))
    heads = _parameters(segmentor) - _parameters(pixel_level)
    parts = {
        "backbone": PartCost(backbone, _parameters(pixel_level.encoder), "key"),
        "pixel decoder": PartCost(pixel_decoder, _parameters(pixel_level.decoder), "key"),
        "transformer decoder": PartCost(total - backbone - pixel_decoder, heads, "key"),
    }
    if model.motion is not None:
        images = frame.to(torch.uint8)
        queries = _meta(1, settings.num_queries, settings.hidden_dim)
        motion = _counted(model.motion, images, images, queries)
        parts["motion"] = PartCost(_total_gflops(motion), _parameters(model.motion), "propagated")
    parts["warp"] = PartCost(_total_gflops(_counted(propagate_masks, mask_logits, flow)), 0, "propagated")
    parts["output"] = PartCost(_total_gflops(_counted(_class_scores, mask_logits, class_logits, padding)), 0, "all")
    return parts


def _class_scores(mask_logits: torch.Tensor, class_logits: torch.Tensor, padding: FramePadding) -> torch.Tensor:
    """Class scores as the authors' code computes them, padding included; `mpvss_model.semantics` spares that."""
    masks = F.interpolate(mask_logits, size=padding.padded_size, mode="bilinear", align_corners=False).sigmoid()
    scores = torch.einsum("bqc,bqhw->bchw", class_logits.softmax(dim=-1)[..., :-1], masks)
    return F.interpolate(padding.unpad(scores), size=(padding.height, padding.width), mode="bilinear", align_corners=False)


def _meta(*shape: int) -> torch.Tensor:
    return torch.empty(shape, device="meta")


def _parameters(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def _per_input(flops: int) -> Callable[..., int]:
    return lambda shape, *_, **__: 2 * flops * math.prod(shape)


def _per_output(flops: int) -> Callable[..., int]:
    return lambda *_, out_shape, **__: 2 * flops * math.prod(out_shape)


# What PyTorch's counter leaves out, as fvcore counts it (for each number of the input or output). PyTorch's counts a
# multiply-add as 2.
ELEMENTWISE = {
    aten.native_layer_norm: _per_input(5),
    aten.native_group_norm: _per_input(5),
    aten.native_batch_norm: _per_input(2),
    aten._native_batch_norm_legit_no_training: _per_input(2),
    aten.upsample_bilinear2d: _per_output(4),
    aten.grid_sampler_2d: _per_output(4),
}


def _counted(function: Callable, *inputs: object) -> FlopCounterMode:
    counter = FlopCounterMode(display=False, custom_mapping=ELEMENTWISE)
    with torch.no_grad(), counter:
        function(*inputs)
    return counter


def _gflops(by_operator: dict[object, int]) -> float:
    return sum(by_operator.values()) / 2e9


def _total_gflops(counter: FlopCounterMode) -> float:
    return _gflops(counter.get_flop_counts()["Global"])
