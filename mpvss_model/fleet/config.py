"""Where units of work are done."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass

from mpvss_model.errors import ConfigError

__all__ = ["FleetConfig"]


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Processes of this machine, or of a Ray cluster.

    Attributes:
        workers: Processes on this machine; 1 works in this one.
        cluster: Address of a Ray cluster, ``auto`` for the one that this machine belongs to; empty for none.
        cpus_per_worker: CPU cores that each worker has for itself; 0 for an equal share of this machine's, or 1 on a cluster.
        gpus_per_worker: GPUs that each has for itself; 0.5 lets two share one. On this machine, 0 lets all see all.
        attempts: How often a unit is begun whose worker dies.

    Raises:
        ConfigError: If a value is out of range, or both several workers and a cluster are asked for.
    """

    workers: int = 1
    cluster: str = ""
    cpus_per_worker: int = 0
    gpus_per_worker: float = 0.0
    attempts: int = 3

    def __post_init__(self) -> None:
        for name, least in (("workers", 1), ("cpus_per_worker", 0), ("attempts", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"{name} must be at least {least}, got {getattr(self, name)!r}")
        gpus = self.gpus_per_worker
        if not (math.isfinite(gpus) and gpus >= 0.0 and (gpus <= 1.0 or gpus == int(gpus))):
            raise ConfigError(f"gpus_per_worker must be 0 to 1, or a whole number, got {gpus!r}")
        if self.cluster and self.workers > 1:
            raise ConfigError(f"a cluster has as many workers as fit into it, got {self.workers} workers, too: leave them out")

    @property
    def is_several(self) -> bool:
        """Whether units may be done at the same time, in other processes than this one."""
        return self.workers > 1 or bool(self.cluster)

    def threads(self, requested: int) -> int:
        """CPU threads of the model in each worker.

        Args:
            requested: 0 for as many as a worker has cores; for half of the machine's where this process does the work.
        """
        if requested or not (self.is_several or self.cpus_per_worker):
            return requested
        if self.cpus_per_worker or self.cluster:
            return max(1, self.cpus_per_worker)
        return max(1, len(os.sched_getaffinity(0)) // self.workers)
