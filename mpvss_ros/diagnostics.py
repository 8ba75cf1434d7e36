"""Plain statistics -> ``diagnostic_msgs``."""

from __future__ import annotations

import resource

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue

from mpvss_ros.statistics import NodeStatistics

__all__ = ["diagnostic_array"]

STALE_INPUT_RATE = 0.1


def diagnostic_array(
    statistics: NodeStatistics, *, stamp, node_name: str, dropped: int, model: dict[str, str] | None
) -> DiagnosticArray:
    """The node's four statuses: input, output, key frames and model.

    Args:
        statistics: Is read under its lock.
        stamp: ``builtin_interfaces/Time`` of the report.
        node_name: Prefix of the statuses' names.
        dropped: Frames that gave way to newer ones.
        model: What to say of the loaded model; None while there is none.
    """
    with statistics.lock:
        statuses = [
            _input_status(statistics, dropped),
            _output_status(statistics),
            _key_frame_status(statistics),
            _model_status(model),
        ]
    for status in statuses:
        status.name = f"{node_name}: {status.name}"
        status.hardware_id = node_name
    message = DiagnosticArray(status=statuses)
    message.header.stamp = stamp
    return message


def _input_status(statistics: NodeStatistics, dropped: int) -> DiagnosticStatus:
    rate_hz = statistics.input_rate.per_second()
    level, text = DiagnosticStatus.OK, f"{rate_hz:.1f} Hz"
    if statistics.incompatible_qos:
        topics = ", ".join(sorted(statistics.incompatible_qos))
        level, text = DiagnosticStatus.WARN, f"incompatible QoS on {topics}"
    elif rate_hz < STALE_INPUT_RATE:
        level, text = DiagnosticStatus.WARN, "no frames" if statistics.received else "no frame yet"
    elif statistics.rejected:
        level, text = DiagnosticStatus.WARN, f"{sum(statistics.rejected.values())} frames could not be used"
    return _status(
        "input",
        level,
        text,
        {
            "rate_hz": f"{rate_hz:.2f}",
            "received": statistics.received,
            "dropped": dropped,
            "malformed": sum(statistics.rejected.values()),
            "malformed_by_reason": _counts(statistics.rejected),
            "last_malformed": statistics.last_rejection,
            "incompatible_qos": _counts(statistics.incompatible_qos),
        },
    )


def _output_status(statistics: NodeStatistics) -> DiagnosticStatus:
    rate_hz = statistics.output_rate.per_second()
    level = DiagnosticStatus.ERROR if statistics.failing else DiagnosticStatus.OK
    return _status(
        "output",
        level,
        statistics.last_failure if statistics.failing else f"{rate_hz:.1f} Hz",
        {
            "rate_hz": f"{rate_hz:.2f}",
            "published": statistics.published,
            "failures": statistics.failures,
            "last_failure": statistics.last_failure,
            **_percentiles("stamp_to_publish", statistics.stamp_to_publish),
            **_percentiles("key_processing", statistics.key_processing),
            **_percentiles("propagated_processing", statistics.propagated_processing),
        },
    )


def _key_frame_status(statistics: NodeStatistics) -> DiagnosticStatus:
    return _status(
        "key frames",
        DiagnosticStatus.OK,
        f"{statistics.key_frames} key frames",
        {
            "count": statistics.key_frames,
            "by_reason": _counts(statistics.key_frame_reasons),
            "last_reason": statistics.last_key_frame_reason,
            "age_s": f"{statistics.key_frame_age_s:.3f}",
        },
    )


def _model_status(model: dict[str, str] | None) -> DiagnosticStatus:
    if model is None:
        return _status("model", DiagnosticStatus.WARN, "no model loaded", {})
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return _status("model", DiagnosticStatus.OK, model["name"], {**model, "peak_memory_mb": f"{peak_mb:.0f}"})


def _status(name: str, level: bytes, text: str, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, level=level, message=text, values=pairs)


def _counts(counter) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counter.items()))


def _percentiles(name: str, latencies) -> dict[str, str]:
    return {f"{name}_p{p}_ms": f"{latencies.percentile_ms(p):.1f}" for p in (50, 99)}
