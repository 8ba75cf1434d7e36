"""Units done by processes of this machine, one unit at a time each."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from typing import Any

import torch

from mpvss_model.fleet.config import FleetConfig
from mpvss_model.fleet.engine import Event, Told
from mpvss_model.fleet.in_process import stopped_work
from mpvss_model.fleet.unit import Link, Performed, Unit, performed

__all__ = ["ProcessesEngine"]

# How often a process tells how far it is.
TELL_S = 0.2
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"

_connection: Connection | None = None


class ProcessesEngine:
    """A pool of one process for each worker, so that it is known which unit a process died of, and no other suffers.

    Args:
        config: How many, and what each has.
        told: Is told how far units are.
    """

    def __init__(self, config: FleetConfig, told: Told) -> None:
        self._told = told
        self._slots = [_Slot(gpus) for gpus in _gpus_of_workers(config)]

    def has_room(self) -> bool:
        """Whether a process has nothing to do."""
        return any(slot.future is None for slot in self._slots)

    def give(self, number: int, unit: Unit) -> None:
        """Let a process that has nothing to do begin; there must be one."""
        next(slot for slot in self._slots if slot.future is None).give(number, unit)

    def events(self, timeout_s: float) -> list[Event]:
        """What processes finished or died of, and tell how far the others are."""
        wait([slot.future for slot in self._slots if slot.future], timeout=timeout_s, return_when=FIRST_COMPLETED)
        for slot in self._slots:
            for done, total in slot.heard():
                self._told(slot.number, done, total)
        return [slot.take() for slot in self._slots if slot.future is not None and slot.future.done()]

    def stop(self) -> None:
        """Processes hear it at their next frame."""
        for slot in self._slots:
            slot.stop()

    def close(self) -> None:
        """Wait for all processes to end."""
        for slot in self._slots:
            slot.close()


class _Slot:
    """One worker: a process, or the one that takes its place when it dies."""

    def __init__(self, gpus: str | None) -> None:
        self.number = -1
        self.future: Future[Performed] | None = None
        self._gpus = gpus
        self._pool: ProcessPoolExecutor | None = None
        self._connection: Connection | None = None

    def give(self, number: int, unit: Unit) -> None:
        self.number = number
        if self._pool is None:
            self._open()
        assert self._pool is not None
        try:
            self.future = self._pool.submit(_work_in_process, unit.work)
        except BrokenProcessPool:  # it died while it had nothing to do
            self.close()
            self._open()
            self.future = self._pool.submit(_work_in_process, unit.work)

    def heard(self) -> list[tuple[int, int]]:
        """What the process told since it was last asked."""
        told: list[tuple[int, int]] = []
        with suppress(EOFError, OSError):
            while self._connection is not None and self._connection.poll():
                told.append(self._connection.recv())
        return told

    def take(self) -> Event:
        """What came of the unit; the process is free then."""
        future, self.future = self.future, None
        assert future is not None
        try:
            return Event(self.number, future.result())
        except BrokenProcessPool:
            self.close()
            return Event(self.number, None, "its process ended unexpectedly, perhaps for lack of memory")
        except Exception as error:  # what it wanted to send could not be sent
            return Event(self.number, Performed(None, "", error=f"{type(error).__name__}: {error}"))

    def stop(self) -> None:
        if self._connection is not None:
            with suppress(OSError):
                self._connection.send(None)

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._connection is not None:
            self._connection.close()
        self._pool = self._connection = None

    def _open(self) -> None:
        spawning = multiprocessing.get_context("spawn")  # CUDA and threads of torch do not survive a fork
        # Of this process alone: what a killed one held locked would hold up others.
        self._connection, theirs = spawning.Pipe()
        self._pool = ProcessPoolExecutor(1, mp_context=spawning, initializer=_start_process, initargs=(theirs, self._gpus))


class _PipeLink:
    """Of a process to the one that started it."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._told_s = 0.0

    def tell(self, done: int, total: int) -> None:
        if self.is_stopped():
            raise stopped_work(done, total)
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_S:
            self._told_s = now_s
            self._connection.send((done, total))

    def is_stopped(self) -> bool:
        return self._connection.poll()


def _start_process(connection: Connection, gpus: str | None) -> None:
    global _connection  # a process of the pool has nowhere else to keep it
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all processes; the first one says when to stop
    if gpus is not None:
        os.environ[VISIBLE_GPUS] = gpus
    _connection = connection
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's process waits for work forever, also for that of a parent that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait_for([parent.sentinel])
    os._exit(1)


def _work_in_process(work: Callable[[Link], Any]) -> Performed:
    assert _connection is not None
    return performed(work, _PipeLink(_connection))


def _gpus_of_workers(config: FleetConfig) -> Sequence[str | None]:
    """What each worker is to see of the GPUs, as CUDA is told so; None for all of them."""
    gpus = config.gpus_per_worker
    if not gpus or not (count := torch.cuda.device_count()):
        return [None] * config.workers
    names = [name for name in os.environ.get(VISIBLE_GPUS, "").split(",") if name] or [str(i) for i in range(count)]
    firsts = [int(worker * gpus + 1e-9) for worker in range(config.workers)]
    return [",".join(names[(first + i) % len(names)] for i in range(max(1, int(gpus)))) for first in firsts]
