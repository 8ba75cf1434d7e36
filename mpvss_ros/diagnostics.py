"""Plain statistics -> ``diagnostic_msgs``."""

from __future__ import annotations

import json
import os
import resource

import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mpvss_model import VideoSegmentor
from mpvss_ros.statistics import CameraStatistics

__all__ = ["camera_statuses", "model_status", "resident_mb"]

STALE_INPUT_RATE = 0.1
MB = 1024 * 1024


def camera_statuses(
    statistics: CameraStatistics, *, node_name: str, camera: str, dropped: dict[str, int], now_s: float
) -> list[DiagnosticStatus]:
    """What there is to say of one camera: input, output and key frames.

    Args:
        statistics: Is read under its lock.
        node_name: Prefix of the statuses' names.
        camera: Likewise, after it; empty if the node has only one.
        dropped: Frames that were never looked at, by reason.
        now_s: The node's clock, which is that of the stamps.
    """
    prefix = f"{node_name}: {camera} " if camera else f"{node_name}: "
    with statistics.lock:
        return [
            _input_status(prefix + "input", statistics, dropped),
            _output_status(prefix + "output", statistics),
            _key_frame_status(prefix + "key frames", statistics, now_s),
        ]


def model_status(model: VideoSegmentor | None, *, node_name: str, class_names: tuple[str, ...]) -> DiagnosticStatus:
    """What there is to say of the model and of the memory it takes.

    Args:
        model: None while there is none.
        node_name: Prefix of the status's name.
        class_names: As published.
    """
    name = f"{node_name}: model"
    if model is None:
        return _status(name, DiagnosticStatus.WARN, "no model loaded", {})
    segmentor = model.segmentor
    values = {
        "name": segmentor.name,
        "device": segmentor.device,
        "dtype": segmentor.dtype,
        "propagation": model.propagator.name,
        "class_names": ", ".join(class_names),
        # Names may hold commas: this is for programs.
        "class_names_json": json.dumps(class_names, ensure_ascii=False),
        "memory_mb": f"{resident_mb():.0f}",
        "peak_memory_mb": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f}",
    }
    if segmentor.device.type == "cuda":
        values["gpu_memory_mb"] = f"{torch.cuda.memory_allocated(segmentor.device) / MB:.0f}"
        values["peak_gpu_memory_mb"] = f"{torch.cuda.max_memory_allocated(segmentor.device) / MB:.0f}"
    return _status(name, DiagnosticStatus.OK, segmentor.name, values)


def resident_mb() -> float:
    """Memory that this process holds now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB


def _input_status(name: str, statistics: CameraStatistics, dropped: dict[str, int]) -> DiagnosticStatus:
    rate_hz = statistics.input_rate.per_second()
    level, text = DiagnosticStatus.OK, f"{rate_hz:.1f} Hz"
    if statistics.incompatible_qos:
        topics = ", ".join(sorted(statistics.incompatible_qos))
        level, text = DiagnosticStatus.WARN, f"incompatible QoS on {topics}"
    elif not statistics.enabled:
        level, text = DiagnosticStatus.WARN, "disabled: frames are dropped until set_enabled is called with true"
    elif rate_hz < STALE_INPUT_RATE:
        level, text = DiagnosticStatus.WARN, "no frames" if statistics.received else "no frame yet"
    elif statistics.rejection_rate.in_window():
        level, text = DiagnosticStatus.WARN, f"frame not used: {statistics.last_rejection}"
    return _status(
        name,
        level,
        text,
        {
            "rate_hz": f"{rate_hz:.2f}",
            "received": statistics.received,
            "dropped": sum(dropped.values()),
            "dropped_by_reason": _counts(dropped),
            "malformed": sum(statistics.rejected.values()),
            "malformed_by_reason": _counts(statistics.rejected),
            "last_malformed": statistics.last_rejection,
            "incompatible_qos": _counts(statistics.incompatible_qos),
        },
    )


def _output_status(name: str, statistics: CameraStatistics) -> DiagnosticStatus:
    rate_hz = statistics.output_rate.per_second()
    return _status(
        name,
        DiagnosticStatus.ERROR if statistics.problem else DiagnosticStatus.OK,
        statistics.problem or f"{rate_hz:.1f} Hz",
        {
            "rate_hz": f"{rate_hz:.2f}",
            "published": statistics.published,
            "unanswered": sum(statistics.unanswered.values()),
            "unanswered_by_reason": _counts(statistics.unanswered),
            "key_frame_faults": statistics.faults,
            "last_key_frame_fault": statistics.last_fault,
            **_percentiles("stamp_to_publish", statistics.stamp_to_publish),
            **_percentiles("key_processing", statistics.key_processing),
            **_percentiles("propagated_processing", statistics.propagated_processing),
        },
    )


def _key_frame_status(name: str, statistics: CameraStatistics, now_s: float) -> DiagnosticStatus:
    key_stamp_s, label_stamp_s = statistics.key_stamp_s, statistics.label_stamp_s
    has_key_frame = key_stamp_s is not None
    return _status(
        name,
        DiagnosticStatus.OK,
        f"{statistics.key_frames} key frames",
        {
            "count": statistics.key_frames,
            "rate_hz": f"{statistics.key_frame_rate.per_second():.2f}",
            "by_reason": _counts(statistics.key_frame_reasons),
            "last_reason": statistics.last_key_frame_reason,
            "age_s": f"{now_s - key_stamp_s:.3f}" if has_key_frame else "",
            "age_at_last_labels_s": f"{label_stamp_s - key_stamp_s:.3f}" if has_key_frame else "",
        },
    )


def _status(name: str, level: bytes, text: str, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(name=name, hardware_id=name.partition(":")[0], level=level, message=text, values=pairs)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()) if count)


def _percentiles(name: str, latencies) -> dict[str, str]:
    return {f"{name}_p{p}_ms": f"{latencies.percentile_ms(p):.1f}" for p in (50, 99)}
