"""Plain statistics -> ``diagnostic_msgs``."""

from __future__ import annotations

import json
import os
import resource
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence

import torch
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from mpvss_model import VideoSegmentor
from mpvss_model.stamps import seconds
from mpvss_ros.diagnostics.camera_check import CameraCheck
from mpvss_ros.diagnostics.statistics import CameraStatistics
from mpvss_ros.diagnostics.topic_check import TopicReport

__all__ = ["NO_FRAMES", "NO_FRAME_YET", "STALE_INPUT_RATE", "camera_statuses", "model_status", "resident_mb", "status_prefix"]

# Aggregators that were set up for the node under its usual name know its statuses by this one.
USUAL_NAME, USUAL_PREFIX = "/mpvss/segmentation", "segmentation"
# A segmentor may take its time for the first frame.
LONG_WORK_S = 10.0
STALE_INPUT_RATE = 0.1
NO_FRAMES, NO_FRAME_YET = "no frames", "no frame yet"
MB = 1024 * 1024


def status_prefix(node_name: str) -> str:
    """What the names of a node's statuses begin with, different for each instance.

    >>> status_prefix("/mpvss/segmentation"), status_prefix("/robot1/mpvss/segmentation")
    ('segmentation', '/robot1/mpvss/segmentation')

    Args:
        node_name: Fully qualified.
    """
    return USUAL_PREFIX if node_name == USUAL_NAME else node_name


def camera_statuses(
    statistics: CameraStatistics,
    *,
    node_name: str,
    camera: str,
    dropped: dict[str, int],
    check: CameraCheck,
    now_s: float,
) -> list[DiagnosticStatus]:
    """What there is to say of one camera: input, output and key frames.

    Args:
        statistics: Is read under its lock.
        node_name: Fully qualified.
        camera: Goes before the names of its statuses; empty if the node has only one.
        dropped: Frames that were never answered, by reason.
        check: What is wrong with the camera and its peers.
        now_s: The node's clock, which is that of the stamps.
    """
    kind = f"{camera} " if camera else ""
    with statistics.lock:
        return [
            _input_status(node_name, kind + "input", statistics, dropped, check),
            _output_status(node_name, kind + "output", statistics, check),
            _key_frame_status(node_name, kind + "key frames", statistics, now_s),
        ]


def model_status(model: VideoSegmentor | None, *, node_name: str, class_names: tuple[str, ...]) -> DiagnosticStatus:
    """What there is to say of the model and of the memory it takes.

    Args:
        model: None while there is none.
        node_name: Fully qualified.
        class_names: As published.
    """
    if model is None:
        return _status(node_name, "model", DiagnosticStatus.WARN, "no model loaded", {})
    segmentor = model.segmentor
    values = {
        "name": segmentor.name,
        "device": segmentor.device,
        "dtype": segmentor.dtype,
        "precision": model.precision,
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
    return _status(node_name, "model", DiagnosticStatus.OK, segmentor.name, values)


def resident_mb() -> float:
    """Memory that this process holds now."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / MB


def _input_status(
    node_name: str, kind: str, statistics: CameraStatistics, dropped: dict[str, int], check: CameraCheck
) -> DiagnosticStatus:
    rate_hz = statistics.input_rate.per_second()
    troubles = list(_input_troubles(statistics, check, rate_hz, _incompatible(check.inputs)))
    return _status(
        node_name,
        kind,
        DiagnosticStatus.WARN if troubles else DiagnosticStatus.OK,
        "; ".join(troubles) or f"{rate_hz:.1f} Hz{statistics.image and ', '}{statistics.image}",
        {
            "rate_hz": f"{rate_hz:.2f}",
            "image": statistics.image,
            "image_topic": check.image_topic,
            "camera_info_topic": check.camera_info_topic,
            "received": statistics.received,
            "dropped": sum(dropped.values()),
            "dropped_by_reason": _counts(dropped),
            "malformed": sum(statistics.rejected.values()),
            "malformed_by_reason": _counts(statistics.rejected),
            "last_malformed": statistics.last_rejection,
            "publishers": check.inputs.publishers,
            "incompatible_qos": _counts(check.inputs.incompatible_qos),
            "findings_json": _as_json(_input_troubles(statistics, check, rate_hz, check.inputs.qos_troubles)),
        },
    )


def _input_troubles(
    statistics: CameraStatistics, check: CameraCheck, rate_hz: float, incompatible: Sequence[str]
) -> Iterator[str]:
    """Everything that is wrong now, what explains the rest first.

    Args:
        statistics: Of the camera.
        check: What is wrong with it and its peers.
        rate_hz: Of its images.
        incompatible: Which quality of service does not fit, briefly or in full.
    """
    if not check.active:
        yield "inactive: no frames are read until the node is activated"
        return
    if not statistics.enabled:
        yield "disabled: frames are dropped until set_enabled is called with true"
    yield from (check.clock,) if check.clock else ()
    yield from incompatible
    yield from check.inputs.troubles
    yield from check.sequence
    if rate_hz < STALE_INPUT_RATE:
        yield NO_FRAMES if statistics.received else NO_FRAME_YET
    elif statistics.rejection_rate.in_window():
        yield f"frame not used: {statistics.last_rejection}"
    yield from (text for text in (check.inputs.nobody, check.camera_info) if text)


def _incompatible(report: TopicReport) -> list[str]:
    topics = ", ".join(sorted(report.incompatible_qos))
    return [f"incompatible QoS on {topics}"] if topics else []


def _output_status(node_name: str, kind: str, statistics: CameraStatistics, check: CameraCheck) -> DiagnosticStatus:
    rate_hz = statistics.output_rate.per_second()
    problems = [statistics.problem] if statistics.problem else []
    work_s = 0.0 if statistics.began_s is None else time.monotonic() - statistics.began_s
    if work_s > LONG_WORK_S:
        problems.append(f"one frame has been at work for {work_s:.0f} s: the segmentor hangs, or is too slow")
    warnings = [*_incompatible(check.outputs), *check.outputs.troubles]
    level = DiagnosticStatus.ERROR if problems else DiagnosticStatus.WARN if warnings else DiagnosticStatus.OK
    return _status(
        node_name,
        kind,
        level,
        "; ".join(problems + warnings) or f"{rate_hz:.1f} Hz",
        {
            "rate_hz": f"{rate_hz:.2f}",
            "published": statistics.published,
            "unanswered": sum(statistics.unanswered.values()),
            "unanswered_by_reason": _counts(statistics.unanswered),
            "key_frame_faults": statistics.faults,
            "last_key_frame_fault": statistics.last_fault,
            "pictures_dropped": statistics.pictures_dropped,
            "incompatible_qos": _counts(check.outputs.incompatible_qos),
            # Each in a line of its own: this is for programs, such as `mpvss doctor`.
            "findings_json": _as_json([*problems, *check.outputs.qos_troubles, *check.outputs.troubles]),
            **_percentiles("stamp_to_publish", statistics.stamp_to_publish),
            **_percentiles("key_processing", statistics.key_processing),
            **_percentiles("propagated_processing", statistics.propagated_processing),
        },
    )


def _key_frame_status(node_name: str, kind: str, statistics: CameraStatistics, now_s: float) -> DiagnosticStatus:
    key_stamp_ns, label_stamp_ns = statistics.key_stamp_ns, statistics.label_stamp_ns
    has_key_frame = key_stamp_ns is not None
    return _status(
        node_name,
        kind,
        DiagnosticStatus.OK,
        f"{statistics.key_frames} key frames",
        {
            "count": statistics.key_frames,
            "rate_hz": f"{statistics.key_frame_rate.per_second():.2f}",
            "by_reason": _counts(statistics.key_frame_reasons),
            "last_reason": statistics.last_key_frame_reason,
            "restarts_by_reason": _counts(statistics.restart_reasons),
            "age_s": f"{now_s - seconds(key_stamp_ns):.3f}" if has_key_frame else "",
            "age_at_last_labels_s": f"{seconds(label_stamp_ns - key_stamp_ns):.3f}" if has_key_frame else "",
        },
    )


def _status(node_name: str, kind: str, level: bytes, text: str, values: dict[str, object]) -> DiagnosticStatus:
    pairs = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    name = f"{status_prefix(node_name)}: {kind}"
    return DiagnosticStatus(name=name, hardware_id=node_name, level=level, message=text, values=pairs)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()) if count)


def _as_json(lines: Iterable[str]) -> str:
    return json.dumps(list(lines), ensure_ascii=False)


def _percentiles(name: str, latencies) -> dict[str, str]:
    return {f"{name}_p{p}_ms": f"{latencies.percentile_ms(p):.1f}" for p in (50, 99)}
