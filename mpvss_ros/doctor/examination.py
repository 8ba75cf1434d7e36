"""All diagnoses, in the order in which one explains the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from mpvss_ros.doctor import input_diagnoses, node_diagnoses, output_diagnoses
from mpvss_ros.doctor.finding import Finding
from mpvss_ros.doctor.snapshot import GraphSnapshot

__all__ = ["examine", "summary"]

DIAGNOSES: tuple[Callable[[GraphSnapshot], Iterator[Finding]], ...] = (
    node_diagnoses.nothing_seen,
    node_diagnoses.not_running,
    node_diagnoses.same_name,
    node_diagnoses.other_kind,
    node_diagnoses.lifecycle,
    node_diagnoses.silent_node,
    input_diagnoses.clock,
    input_diagnoses.other_topic,
    input_diagnoses.input_topics,
    input_diagnoses.silent_camera,
    input_diagnoses.lost_images,
    input_diagnoses.unusable_images,
    input_diagnoses.stamps,
    input_diagnoses.large_images,
    input_diagnoses.camera_info,
    output_diagnoses.node_reports,
    output_diagnoses.dropped_frames,
    output_diagnoses.unanswered_frames,
    output_diagnoses.output_topics,
    output_diagnoses.nobody_listens,
    output_diagnoses.cloud_reports,
)


def examine(seen: GraphSnapshot) -> list[Finding]:
    """Everything that is to say of a graph, problems first; what the node says in the same words comes once."""
    findings: dict[str, Finding] = {}
    for diagnose in DIAGNOSES:
        for finding in diagnose(seen):
            findings.setdefault(finding.text, finding)
    return sorted(findings.values(), key=lambda finding: not finding.is_problem)


def summary(seen: GraphSnapshot) -> str:
    """One line on a node at work: what it reads and publishes, and how often."""
    parts = []
    for status in seen.statuses:
        if status.kind.endswith("input"):
            parts.append(f"reads {status.values.get('image_topic')} ({status.message})")
        elif status.kind.endswith("output"):
            parts.append(f"answers at {status.number('rate_hz'):.1f} Hz")
    return f"{seen.node} is active, {', '.join(parts)}"
