"""Arguments of the launch files: what their values may be, and which of those given nobody reads."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from pathlib import Path

__all__ = ["checked_log_level", "existing_file", "flag", "warn_of_unknown_arguments"]

LOG_LEVELS = ("debug", "info", "warn", "error", "fatal")
# What launch itself reads for each process that it starts.
PROCESS_ARGUMENTS = ("emulate_tty", "launch-prefix", "launch-prefix-filter", "sigkill_timeout", "sigterm_timeout")


def flag(name: str, text: str) -> bool:
    """An argument that is true or false; raises ValueError if it is neither."""
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}:={text} must be true or false")
    return text.lower() == "true"


def existing_file(name: str, path: str) -> str:
    """The path of an argument's file; raises ValueError if there is none."""
    file = Path(path).expanduser()
    if not file.is_file():
        raise ValueError(f"{name}:={path} is not a file")
    return str(file)


def checked_log_level(text: str) -> str:
    """A level, or ``LOGGER:=LEVEL``; raises ValueError if it is none."""
    if text.rpartition(":=")[2].lower() not in LOG_LEVELS:
        raise ValueError(f"log_level:={text} must be one of {', '.join(LOG_LEVELS)}, perhaps after a logger's name and :=")
    return text


def warn_of_unknown_arguments(context, known: Iterable[str], *, launch_file: str) -> None:
    """Name what the command line gives and nobody reads; in a launch file around this one somebody may.

    Args:
        context: Of the launch.
        known: Names of the launch file's arguments.
        launch_file: Its path.
    """
    if not _is_outermost(context, Path(launch_file)):
        return
    import launch.logging

    known = list(known)
    for name in (argument.partition(":=")[0] for argument in context.argv):
        if name not in (*known, *PROCESS_ARGUMENTS):
            alike = get_close_matches(name, known, n=1)
            hint = f"did you mean {alike[0]!r}?" if alike else f"there are {', '.join(known)}"
            launch.logging.get_logger("launch").warning(f"unknown launch argument {name!r} has no effect: {hint}")


def _is_outermost(context, launch_file: Path) -> bool:
    """Whether a file is the one that ``ros2 launch`` was told to start."""
    event = getattr(getattr(context, "locals", None), "event", None)
    for entity in getattr(getattr(event, "launch_description", None), "entities", ()):
        location = Path(getattr(getattr(entity, "launch_description_source", None), "location", ""))
        if location.is_file() and location.samefile(launch_file):
            return True
    return False
