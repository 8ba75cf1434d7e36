"""Units done by the machines of a Ray cluster (https://docs.ray.io)."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

from mpvss_model.errors import ConfigError, first_line
from mpvss_model.fleet.config import FleetConfig
from mpvss_model.fleet.engine import Event, Told
from mpvss_model.fleet.in_process import stopped_work
from mpvss_model.fleet.unit import Link, Performed, Unit, performed

__all__ = ["RayEngine"]

# How often a worker tells how far it is, and hears whether to stop.
TELL_S = 1.0
STOP_S = 60.0
CONNECT_S = 10.0


class RayEngine:
    """Leaves to Ray where units are done and when; all are given to it at once, so that it uses machines that join later.

    Where the program is connected to a cluster already, that one is used, and stays connected.

    Args:
        config: The cluster's address, and what each worker has.
        told: Is told how far units are.

    Raises:
        ConfigError: If Ray is not installed, there is no such cluster, or no machine of it has what a worker is to have.
    """

    def __init__(self, config: FleetConfig, told: Told) -> None:
        try:
            import ray
        except ModuleNotFoundError as error:
            raise ConfigError(
                f"a cluster needs {error.name}, which is not installed: pip install -r requirements-cluster.txt"
            ) from error

        self._ray = ray
        self._told = told
        self._is_own_connection = not ray.is_initialized()
        if self._is_own_connection:
            _connect(ray, config.cluster)
        self._needs = {"num_cpus": max(1, config.cpus_per_worker), "num_gpus": config.gpus_per_worker}
        try:
            _check_needs(ray, config.cluster, self._needs)
            self._board = self._new_board()
        except BaseException:
            self.close()
            raise
        self._running: dict[Any, int] = {}
        self._stop_by_s: float | None = None

    def has_room(self) -> bool:
        """Ray keeps what no machine has room for."""
        return True

    def give(self, number: int, unit: Unit) -> None:
        """Have a unit done. Who dies is told here, rather than tried again by Ray unseen."""
        task = self._ray.remote(_work_on_cluster).options(**self._needs, max_retries=0, name=f"mpvss: {unit.source}")
        self._running[task.remote(unit.work, self._board, number, os.getcwd())] = number

    def events(self, timeout_s: float) -> list[Event]:
        """What workers finished or died of, and tell how far the others are."""
        finished, _ = self._ray.wait([*self._running], num_returns=1, timeout=timeout_s)
        self._hear()
        if self._stop_by_s is not None and time.monotonic() > self._stop_by_s:
            finished = [*self._running]  # they end with the connection
        return [self._event(task) for task in finished]

    def stop(self) -> None:
        """Ray drops what has not begun, and interrupts work as Ctrl-C does; what it misses hears it from the board."""
        self._stop_by_s = time.monotonic() + STOP_S
        self._board.stop.remote()
        for task in self._running:
            with suppress(self._ray.exceptions.RayError):
                self._ray.cancel(task, force=False)

    def close(self) -> None:
        """Leave the cluster, which goes on."""
        if self._is_own_connection:
            self._ray.shutdown()

    def _event(self, task: Any) -> Event:
        number, errors = self._running.pop(task), self._ray.exceptions
        try:
            return Event(number, self._ray.get(task, timeout=0 if self._stop_by_s else None))
        except (errors.TaskCancelledError, errors.GetTimeoutError):
            return Event(number, None, "it was stopped")
        except errors.RayTaskError as error:  # what the work wanted to send could not be sent
            return Event(number, Performed(None, "", error=f"{type(error.cause).__name__}: {first_line(error.cause)}"))
        except errors.RayError as error:
            return Event(number, None, first_line(error))

    def _new_board(self) -> Any:
        """Lives on the machine of this program, since others may go."""
        here = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy(
            self._ray.get_runtime_context().get_node_id(), soft=True
        )
        return self._ray.remote(_Board).options(num_cpus=0, scheduling_strategy=here).remote()

    def _hear(self) -> None:
        with suppress(self._ray.exceptions.RayError):
            for number, (done, total) in self._ray.get(self._board.take.remote(), timeout=TELL_S).items():
                self._told(number, done, total)


class _Board:
    """Where workers write how far they are, and read whether to stop."""

    def __init__(self) -> None:
        self._notes: dict[int, tuple[int, int]] = {}
        self._is_stopped = False

    def tell(self, number: int, done: int, total: int) -> bool:
        """Returns whether to stop."""
        self._notes[number] = done, total
        return self._is_stopped

    def is_stopped(self) -> bool:
        return self._is_stopped

    def stop(self) -> None:
        self._is_stopped = True

    def take(self) -> dict[int, tuple[int, int]]:
        """What was written since it was last asked for."""
        notes, self._notes = self._notes, {}
        return notes


class _BoardLink:
    """Of a worker to the board."""

    def __init__(self, board: Any, number: int) -> None:
        self._board = board
        self._number = number
        self._asked_s = 0.0

    def tell(self, done: int, total: int) -> None:
        if self._is_due() and self._answer(self._board.tell.remote(self._number, done, total)):
            raise stopped_work(done, total)

    def is_stopped(self) -> bool:
        return self._is_due() and self._answer(self._board.is_stopped.remote())

    def _is_due(self) -> bool:
        """Whether the board was not asked just now."""
        now_s = time.monotonic()
        if now_s - self._asked_s < TELL_S:
            return False
        self._asked_s = now_s
        return True

    def _answer(self, asked: Any) -> bool:
        """What the board says; False if it cannot be asked: work that nobody waits for any more is ended by Ray."""
        import ray

        with suppress(ray.exceptions.RayError):
            return bool(ray.get(asked, timeout=TELL_S))
        return False


def _work_on_cluster(work: Callable[[Link], Any], board: Any, number: int, folder: str) -> Performed:
    with suppress(OSError):  # paths that are not absolute are meant from there
        os.chdir(folder)
    return performed(work, _BoardLink(board, number))


def _connect(ray: Any, address: str) -> None:
    terminated = signal.getsignal(signal.SIGTERM)
    try:
        _check_answers(address)
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (OSError, ValueError, RuntimeError) as error:
        way_out = "'ray start --head' on one machine, 'ray start --address=HOST:6379' on the others"
        raise ConfigError(f"no Ray cluster at {address!r} ({first_line(error)}): {way_out}") from error
    finally:
        # Ray would end the program at once, in the middle of what it writes.
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, terminated)


def _check_answers(address: str) -> None:
    """Raise `OSError` if nothing answers at an address such as ``10.0.0.1:6379``: Ray would try for many minutes."""
    place = urlsplit(address if "//" in address else f"//{address}")
    if place.port is not None:
        socket.create_connection((place.hostname or "", place.port), timeout=CONNECT_S).close()


def _check_needs(ray: Any, address: str, needs: dict[str, float]) -> None:
    """Raise `ConfigError` if no machine has so many cores and GPUs: Ray would wait for one."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus, gpus = needs["num_cpus"], needs["num_gpus"]
    if not any(machine.get("CPU", 0) >= cpus and machine.get("GPU", 0) >= gpus for machine in machines):
        raise ConfigError(
            f"none of the {len(machines)} machines of the cluster at {address!r} has {cpus} CPUs and {gpus:g} GPUs: ask for "
            "less per worker, or start Ray with --num-cpus and --num-gpus"
        )
