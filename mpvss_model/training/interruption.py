"""What training raises when a signal stopped it."""

from mpvss_model.runtime.interruption import Interrupted

__all__ = ["TrainingInterrupted"]


class TrainingInterrupted(Interrupted):
    """Training was stopped by a signal and left a checkpoint."""
