"""One process at a time, of all machines that see a folder."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mpvss_model.errors import DataError

__all__ = ["exclusive"]

POLL_S = 0.2


@contextmanager
def exclusive(lock: Path, *, what: str, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold a lock while the block runs. The system takes it from a process that dies.

    A worker that is thought to be dead may work on for a moment, when another one has begun the same unit.

    Args:
        lock: File that is made for it, and stays.
        what: Is locked, for messages.
        timeout_s: How long to wait for another process.

    Raises:
        DataError: If the other one goes on, or the file system knows no locks.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    give_up_s = time.monotonic() + timeout_s
    while True:
        with lock.open("a") as file:
            if _is_locked(file.fileno(), lock, what) and os.fstat(file.fileno()).st_nlink:
                yield
                return
        if time.monotonic() > give_up_s:
            raise DataError(f"another process is working on {what}: wait until it has ended, or choose another folder")
        time.sleep(POLL_S)


def _is_locked(file: int, lock: Path, what: str) -> bool:
    """Whether this process holds the lock now."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise DataError(f"cannot lock {str(lock)!r}, so that only one worker writes {what}: {error.strerror}") from error
    return True
