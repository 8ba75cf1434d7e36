"""A node of this package in a process of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile

import yaml

from mpvss_model import ConfigError

__all__ = ["ChildProcess"]

STOP_TIMEOUT_S = 10.0
# The log is read by `complaint`, whatever the user likes logs to look like.
LOG_VARIABLES = ("RCUTILS_CONSOLE_OUTPUT_FORMAT", "RCUTILS_COLORIZED_OUTPUT")


class QuotingDumper(yaml.SafeDumper):
    """rcl's parser takes more texts for numbers than PyYAML does, such as 1e5: all are quoted."""


QuotingDumper.add_representer(str, lambda dumper, text: dumper.represent_scalar("tag:yaml.org,2002:str", text, style='"'))


class ChildProcess:
    """Runs while the block does, and never longer than this process; its log is kept.

    Args:
        module: Of this package, such as ``replay.main``.
        arguments: After ``--ros-args``.
        parameters: Of the node, by name. They go through a file, so that texts may hold anything.

    Raises:
        ConfigError: If a parameter is no text that ROS can carry.
    """

    def __init__(self, module: str, arguments: list[str], parameters: dict[str, object]) -> None:
        self._module = module
        self._arguments = arguments
        self._parameters = parameters

    def __enter__(self) -> ChildProcess:
        text = _parameter_file(self._parameters)
        self._log = tempfile.TemporaryFile("w+", errors="replace")
        # Nameless, so that nothing is left of it however this process ends; the child has it open as well.
        with tempfile.TemporaryFile("w") as file:
            file.write(text)
            file.flush()
            program = [str(os.getpid()), f"mpvss_ros.{self._module}"]
            ros_arguments = ["--ros-args", *self._arguments, "--params-file", f"/dev/fd/{file.fileno()}"]
            # A process group of its own: Ctrl-C is for the session, which stops its nodes in order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "mpvss_ros.process.child_main", *program, *ros_arguments],
                stdout=self._log,
                stderr=subprocess.STDOUT,
                env={name: value for name, value in os.environ.items() if name not in LOG_VARIABLES},
                pass_fds=[file.fileno()],
                start_new_session=True,
            )
        return self

    def __exit__(self, *_) -> None:
        try:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGINT)
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            pass
        finally:  # also if Ctrl-C comes once more
            self._process.kill()
            self._process.wait()
            self._log.close()

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def complaint(self) -> str:
        """The reason it gave for ending, or the end of its log."""
        self._log.seek(0)
        lines = [line.strip() for line in self._log if line.strip()]
        reasons = [m[1] for line in lines if (m := re.search(r"(?:cannot (?:configure|activate)|\w+_node): (.*)", line))]
        return (reasons or lines or [f"exit code {self.exit_code}"])[-1]


def _parameter_file(parameters: dict[str, object]) -> str:
    """YAML in plain ASCII for ``--params-file``, for any node."""
    for name, value in parameters.items():
        try:
            str(value).encode()
        except UnicodeEncodeError as error:
            raise ConfigError(f"{name} {value!r} is no UTF-8, which ROS parameters must be: give it another name") from error
    return yaml.dump({"/**": {"ros__parameters": parameters}}, Dumper=QuotingDumper, width=float("inf"))
