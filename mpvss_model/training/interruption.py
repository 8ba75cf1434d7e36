"""A training run that a signal stopped."""

from mpvss_model.runtime.interruption import Interrupted

__all__ = ["TrainingInterrupted"]


class TrainingInterrupted(Interrupted):
    """Training was stopped by a signal and left a checkpoint.

    Attributes:
        signal_number: 2 for SIGINT, 15 for SIGTERM.
    """
