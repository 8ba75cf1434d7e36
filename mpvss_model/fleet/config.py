"""Where units of work are done."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mpvss_model.errors import ConfigError
from mpvss_model.settings import check_settings, described, setting

__all__ = ["FleetConfig"]


@described
@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """Processes of this machine, or of a Ray cluster.

    Raises:
        ConfigError: If a value is out of range, or both several workers and a cluster are asked for.
    """

    workers: int = setting(
        1,
        "Processes that share the work",
        details="1 works in the process that asks.",
        minimum=1,
    )
    cluster: str = setting(
        "",
        "Have a Ray cluster do it: auto for the one that this machine belongs to, or its address (needs "
        "requirements-cluster.txt)",
        unit="auto|ADDRESS",
    )
    cpus_per_worker: int = setting(
        0,
        "CPU cores of each worker; 0: an equal share of this machine's, or 1 on a cluster",
        unit="CORES",
        minimum=0,
    )
    gpus_per_worker: float = setting(
        0.0,
        "GPUs of each worker, and 0.5 lets two share one; 0: none on a cluster, and all here",
        unit="GPUS",
        minimum=0.0,
    )
    attempts: int = setting(
        3,
        "How often something is begun whose worker dies",
        unit="TIMES",
        minimum=1,
    )

    def __post_init__(self) -> None:
        check_settings(self)
        gpus = self.gpus_per_worker
        if gpus > 1.0 and gpus != int(gpus):
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
