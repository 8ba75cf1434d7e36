"""The life of a process that serves a node."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn

import rclpy
from rclpy.executors import ExternalShutdownException

from mpvss_model import MPVSSError

__all__ = ["serve_and_leave"]


def serve_and_leave(program: str, serve: Callable[[], int], *, tidy_up: Callable[[], None] = lambda: None) -> NoReturn:
    """Serve until the process is interrupted, and end it. Exit code 2 if it cannot start, 1 if it fails.

    Args:
        program: As users call it.
        serve: Makes the node and serves it; returns the exit code. ROS must have been started.
        tidy_up: Called at the end, whatever that is. What it raises is of no interest any more.
    """
    exit_code = 0
    try:
        exit_code = serve()
    except MPVSSError as error:
        print(f"{program}: {error}", file=sys.stderr)
        exit_code = 2
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A callback that publishes while the context goes away fails, and that is no error.
        if rclpy.ok():
            traceback.print_exc()
            exit_code = 1
    with suppress(Exception):  # likewise
        tidy_up()
    rclpy.try_shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads may still be at work, and taking the libraries down takes time. Leaving now is safe: nothing writes files.
    os._exit(exit_code)
