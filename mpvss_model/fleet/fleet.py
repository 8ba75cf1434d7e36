"""Gives units to workers, again where a worker dies, and hands out what came of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

from mpvss_model.fleet.config import FleetConfig
from mpvss_model.fleet.engine import Engine, Event
from mpvss_model.fleet.in_process import InProcessEngine
from mpvss_model.fleet.unit import Outcome, Unit
from mpvss_model.runtime.interruption import Interrupted

__all__ = ["Fleet", "open_fleet"]

# How often it is asked whether to stop, while nothing is finished.
POLL_S = 0.2


class Fleet:
    """Units, those who do them, and what is left to do. Belongs to one thread.

    Args:
        engine: Does them.
        attempts: How often a unit is begun whose worker dies.
        stopped: Asked all the time whether to stop.
    """

    def __init__(self, engine: Engine, *, attempts: int, stopped: Callable[[], bool]) -> None:
        self._engine = engine
        self._attempts = attempts
        self._stopped = stopped
        self._units: list[Unit] = []
        self._deaths: dict[int, tuple[str, ...]] = {}
        self._waiting: deque[int] = deque()
        self._running: set[int] = set()

    def unit(self, number: int) -> Unit:
        """The unit that has a number."""
        return self._units[number]

    def add(self, units: Iterable[Unit]) -> None:
        """More to do; also while outcomes are handed out."""
        for unit in units:
            self._waiting.append(len(self._units))
            self._units.append(unit)

    def outcomes(self) -> Iterator[Outcome]:
        """What came of each unit, as they are finished, until all are or it is to stop; then of those that finish anyway.

        Raises:
            Interrupted: If a unit that was done in this process was stopped by a signal.
        """
        while (self._waiting or self._running) and not self._stopped():
            while self._waiting and self._engine.has_room():
                number = self._waiting.popleft()
                self._engine.give(number, self._units[number])
                self._running.add(number)
            yield from self._finished(POLL_S)
        if self._running:
            self._engine.stop()
        while self._running:
            yield from self._finished(POLL_S)

    def _finished(self, timeout_s: float) -> Iterator[Outcome]:
        for event in self._engine.events(timeout_s):
            self._running.discard(event.number)
            outcome = self._outcome(event)
            if outcome is not None:
                yield outcome

    def _outcome(self, event: Event) -> Outcome | None:
        """None if the unit is to be begun again, or was stopped."""
        unit, deaths, performed = self._units[event.number], self._deaths.get(event.number, ()), event.performed
        death = event.death
        if performed is not None:
            if not performed.signal_number:
                return Outcome(unit, performed.value, performed.error, performed.details, performed.worker, deaths)
            if isinstance(self._engine, InProcessEngine):
                raise Interrupted(performed.error, performed.signal_number)
            death = f"its worker was stopped: {performed.error}"  # by a signal that nobody else got: others go on
        if self._stopped():
            return None
        deaths = self._deaths[event.number] = (*deaths, death)
        if len(deaths) >= self._attempts:
            return Outcome(unit, None, f"given up after {len(deaths)} attempts: {deaths[-1]}", deaths=deaths)
        self._waiting.appendleft(event.number)
        return None


@contextmanager
def open_fleet(
    config: FleetConfig,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_told: Callable[[Unit, int, int], None] = lambda unit, done, total: None,
) -> Iterator[Fleet]:
    """A fleet of this configuration; its workers are let go when the block ends.

    Args:
        config: Where units are done.
        stopped: Asked all the time whether to stop.
        on_told: Is told how much of a unit is done, and of how much.

    Raises:
        ConfigError: If the cluster cannot be reached, or has no machine with what a worker is to have.
    """
    fleet: Fleet | None = None

    def told(number: int, done: int, total: int) -> None:
        assert fleet is not None
        on_told(fleet.unit(number), done, total)

    engine = _engine(config, told, stopped)
    fleet = Fleet(engine, attempts=config.attempts, stopped=stopped)
    try:
        yield fleet
    except BaseException:
        engine.stop()
        raise
    finally:
        engine.close()


def _engine(config: FleetConfig, told: Callable[[int, int, int], None], stopped: Callable[[], bool]) -> Engine:
    if config.cluster:
        from mpvss_model.fleet.ray_engine import RayEngine  # Ray need not be installed

        return RayEngine(config, told)
    if config.workers == 1:
        return InProcessEngine(told, stopped)

    from mpvss_model.fleet.processes import ProcessesEngine

    return ProcessesEngine(config, told)
