"""The exceptions that this package raises for input it cannot use."""

import textwrap

__all__ = [
    "UNANSWERED_REASONS",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "FrameError",
    "MPVSSError",
    "PropagationError",
    "SegmentorError",
    "StaleKeyFrameError",
    "first_line",
    "left_out_reason",
    "one_line",
]


class MPVSSError(ValueError):
    """Something the user gave cannot be used; the message names it, its value and the way out, in one line."""


class ConfigError(MPVSSError):
    """A configuration value is out of range or unknown."""


class CheckpointError(MPVSSError):
    """A model directory or weight file is missing, broken or of another architecture."""


class DataError(MPVSSError):
    """A bag or data set is missing, broken or not laid out as expected."""


class FrameError(MPVSSError):
    """One camera frame cannot be used; the stream can go on without it.

    ``reason`` is a short constant (``"duplicate stamp"``, ``"short buffer"``) to count rejected frames by, ``details`` is what
    follows it in the message.
    """

    def __init__(self, reason: str, details: str) -> None:
        super().__init__(f"{reason}: {details}")
        self.reason = reason
        self.details = details


class SegmentorError(MPVSSError):
    """The segmentor failed, and the stream has no key frame yet that the frame could be answered from."""


class StaleKeyFrameError(MPVSSError):
    """The last key frame's masks are too old to answer a frame from."""


class PropagationError(MPVSSError):
    """The masks could not be carried to one frame; the stream can go on without it."""


# Why a frame that was fine gets no labels, as all who count such frames call it.
UNANSWERED_REASONS = {
    SegmentorError: "no key frame",
    StaleKeyFrameError: "masks too old",
    PropagationError: "propagation failed",
}


def left_out_reason(error: MPVSSError) -> str:
    """Why a frame that is read from its source gets no labels: it is broken, or one of `UNANSWERED_REASONS`."""
    return error.reason if isinstance(error, FrameError) else UNANSWERED_REASONS[type(error)]


def first_line(error: Exception) -> str:
    """What a foreign exception says, for use in a message of one line."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def one_line(error: Exception, width: int = 300) -> str:
    """All that a foreign exception says, or as much of it as fits, for use in a message of one line."""
    return textwrap.shorten(str(error), width, placeholder=" ...") or type(error).__name__
