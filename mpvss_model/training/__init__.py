"""Training of both stages: the per-frame segmentor, then the motion module."""

from mpvss_model.training.interruption import TrainingInterrupted
from mpvss_model.training.recipe.config import TrainingConfig
from mpvss_model.training.run import train, train_from_yaml

__all__ = ["TrainingConfig", "TrainingInterrupted", "train", "train_from_yaml"]
