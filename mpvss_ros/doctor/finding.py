"""One thing that the doctor has to say."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Finding"]


@dataclass(frozen=True)
class Finding:
    """What was found, in one line with the way out.

    Attributes:
        name: Short and always the same, for programs.
        text: For people.
        is_problem: Whether it keeps labels from coming or from being used; otherwise it is worth knowing.
    """

    name: str
    text: str
    is_problem: bool = True
