"""Cost of the published networks, beside the paper's own figures (MPVSS, tables 1 and 3).

And of what they are compared with on VSPW: MRCFA with MiT-B5 (Sun et al., ECCV 2022).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from mpvss_model.checkpoints.mpvss_model import MPVSSConfig, paper_config
from mpvss_model.checkpoints.segformer_b5 import segformer_b5_cost
from mpvss_model.errors import ConfigError
from mpvss_model.evaluation.flops import PAPER_INTERVAL, Cost, composed_cost
from mpvss_model.motion.config import MotionConfig
from mpvss_model.segmentor.mask2former.backbones import BACKBONES
from mpvss_model.segmentor.mask2former.cost import mask2former_cost
from mpvss_model.segmentor.network_files import quiet

__all__ = ["CITYSCAPES", "VSPW", "DataSetting", "all_paper_costs", "model_cost", "mrcfa_cost", "paper_cost"]


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
MRCFA = "MRCFA, MiT-B5"
# Of a frame, in table 1; the abstract says that the model with Swin-L takes 26 % of it.
MRCFA_GFLOPS = 373.0


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
    """Cost of any Mask2Former with or without a motion module; without one it is counted with the warp alone.

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
    return composed_cost(
        mask2former_cost(config.segmentor, frame_size),
        None if config.motion is None else MotionConfig.from_dict(config.motion),
        frame_size=frame_size,
        num_classes=config.segmentor.num_labels,
        interval=interval,
    )


def mrcfa_cost() -> Cost:
    """Cost of MRCFA per frame on VSPW by the paper, beside what is counted of it: the SegFormer-B5 that it is built on.

    MRCFA segments every frame and relates it to earlier ones, so that `Cost.gflops`, of its SegFormer alone, is a lower bound.
    """
    return Cost(
        backbone=MRCFA,
        frame_size=VSPW.frame_size,
        num_classes=VSPW.num_classes,
        interval=1,
        parts=segformer_b5_cost(VSPW.frame_size, VSPW.num_classes),
        paper_gflops=MRCFA_GFLOPS,
    )
