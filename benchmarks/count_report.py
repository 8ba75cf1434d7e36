"""What a program beside the nodes reports once a second on ``/diagnostics``, as the nodes do: how many messages, how late."""

from __future__ import annotations

import time

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.node import Node

from mpvss_ros.diagnostics.statistics import Latencies

__all__ = ["CountReport"]

PERIOD_S = 1.0


class CountReport:
    """Counts messages and reports them under the node's name, with ``published``, ``p50_ms`` and ``p99_ms``.

    Args:
        node: Whose messages they are.
        window: How many of the last latencies the percentiles are of.
    """

    def __init__(self, node: Node, window: int) -> None:
        self._node = node
        self._count = 0
        self._latencies = Latencies(window)
        self._publisher = node.create_publisher(DiagnosticArray, "/diagnostics", 10)
        node.create_timer(PERIOD_S, self._report)

    def count(self, stamp_s: float | None = None) -> None:
        """One message, with its stamp if it came from somebody else."""
        self._count += 1
        if stamp_s is not None:
            self._latencies.add(time.time() - stamp_s)

    def _report(self) -> None:
        values = {"published": str(self._count)}
        values |= {f"p{p}_ms": f"{self._latencies.percentile_ms(p):.1f}" for p in (50, 99)}
        status = DiagnosticStatus(name=self._node.get_name(), values=[KeyValue(key=k, value=v) for k, v in values.items()])
        self._publisher.publish(DiagnosticArray(status=[status]))
