"""The stages of training by name; `TrainingConfig` checks these names."""

from __future__ import annotations

from mpvss_model.training.imitation import BackboneStage, DecoderStage
from mpvss_model.training.stages import MotionStage, SegmentorStage, Stage

__all__ = ["STAGES"]

STAGES: dict[str, type[Stage]] = {
    "segmentor": SegmentorStage,
    "motion": MotionStage,
    "backbone": BackboneStage,
    "decoder": DecoderStage,
}
