"""Does the node answer what it reads, and does anybody hear it?"""

from __future__ import annotations

from collections.abc import Iterator

from mpvss_ros.diagnostics.graph import node_names
from mpvss_ros.diagnostics.statuses import NO_FRAME_YET, NO_FRAMES
from mpvss_ros.diagnostics.topic_check import RAW, check_output_topics
from mpvss_ros.doctor.finding import Finding
from mpvss_ros.doctor.snapshot import GraphSnapshot, NodeStatus

__all__ = ["cloud_reports", "dropped_frames", "nobody_listens", "node_reports", "output_topics", "unanswered_frames"]

# Of all images; fewer are no news in a mode where the newest wins.
MANY_DROPPED = 0.05
NEWER_FRAME = "newer frame"
MAX_TOPICS = 3
# What to do about frames that the node has dropped, by its reason.
WAYS_OUT = {
    NEWER_FRAME: "a newer one came before they had their turn, so nothing is wrong if that rate is enough; else take a "
    "smaller inference_size, a lighter model or a GPU",
    "queue full": "raise queue_size, or replay slower",
    "disabled": "until set_enabled was called with true",
}


def node_reports(seen: GraphSnapshot) -> Iterator[Finding]:
    """What the node itself says is wrong: with the camera, the segmentor, its masks or its peers."""
    if seen.is_active:
        texts = [text for status in seen.statuses for text in status.findings]
        # Why there are none is what the diagnoses of the input are about.
        yield from (Finding("node-report", text) for text in texts if text not in (NO_FRAMES, NO_FRAME_YET))


def dropped_frames(seen: GraphSnapshot) -> Iterator[Finding]:
    """Images that were fine and were not answered, by reason."""
    for status in _of_kind(seen, "input"):
        received = status.number("received")
        for reason, count in status.counts("dropped_by_reason").items():
            if reason not in WAYS_OUT or count <= MANY_DROPPED * received * (reason == NEWER_FRAME):
                continue
            output = next((s for s in _of_kind(seen, "output") if s.camera == status.camera), None)
            rates = f"of {status.number('rate_hz'):.1f} images a second"
            answered = f", {output.number('rate_hz'):.1f} are answered" if output else ""
            yield Finding(
                "dropped",
                f"{count} of {received:.0f} images were dropped ({reason}){_named(status)}; {rates}{answered}: "
                f"{WAYS_OUT[reason]}",
                is_problem=reason == "queue full",
            )


def unanswered_frames(seen: GraphSnapshot) -> Iterator[Finding]:
    """Images that could not be used, or that the model could not answer, since the node was configured."""
    for status in _of_kind(seen, "input"):
        if status.number("malformed"):
            yield Finding(
                "malformed",
                f"{status.number('malformed'):.0f} of {status.number('received'):.0f} images could not be used"
                f"{_named(status)} ({status.values['malformed_by_reason']}), the last: {status.values.get('last_malformed')}",
                is_problem=False,
            )
    for status in _of_kind(seen, "output"):
        if status.number("unanswered"):
            yield Finding(
                "unanswered",
                f"{status.number('unanswered'):.0f} images got no labels{_named(status)} "
                f"({status.values['unanswered_by_reason']}); the node's log has each cause",
                is_problem=False,
            )
        elif not status.number("published") and _received(seen, status.camera):
            yield Finding(
                "none-answered",
                f"{_received(seen, status.camera)} images came and none is answered yet{_named(status)}: the first key "
                "frame is being made; if this stays so, see the node's log",
            )


def output_topics(seen: GraphSnapshot) -> Iterator[Finding]:
    """Who reads what the node publishes with a QoS or type that does not fit, and who publishes the same."""
    report = check_output_topics(seen, seen.node, seen.outputs)
    yield from (Finding("incompatible-qos", text) for text in report.qos_troubles)
    yield from (Finding("output-topic", text) for text in report.troubles)


def nobody_listens(seen: GraphSnapshot) -> Iterator[Finding]:
    """Nobody subscribes to labels, and who may have meant to."""
    for topic in seen.outputs:
        if not topic.name.endswith("/labels") or seen.subscriptions(topic.name):
            continue
        waiting = [
            f"{node_names(ends)} waits for images on {name}, which nobody publishes: if those should be labels, remap it to "
            f"{topic.name}"
            for name, ends in sorted(seen.subscribed.items())
            if not seen.publishers(name) and {end.type_name for end in ends} == {RAW} and {e.node for e in ends} != {seen.node}
        ]
        hint = "".join(f"; {text}" for text in waiting[:MAX_TOPICS])
        yield Finding("nobody-listens", f"nobody subscribes to {topic.name}{hint}", is_problem=False)


def cloud_reports(seen: GraphSnapshot) -> Iterator[Finding]:
    """What cloud nodes say is wrong with their inputs."""
    for node, status in sorted(seen.clouds.items()):
        if not status.is_ok:
            yield Finding("cloud-report", f"{node}: {status.message}")


def _of_kind(seen: GraphSnapshot, kind: str) -> list[NodeStatus]:
    return [status for status in seen.statuses if status.kind.split(" ")[-1] == kind]


def _received(seen: GraphSnapshot, camera: str) -> int:
    """Images of a camera that were fine when they came."""
    inputs = [status for status in _of_kind(seen, "input") if status.camera == camera]
    return sum(int(s.number("received") - s.number("malformed") - s.number("dropped")) for s in inputs)


def _named(status: NodeStatus) -> str:
    return f" of camera {status.camera}" if status.camera else ""
