"""``mpvss doctor``: says why no labels come out of a running graph."""

from __future__ import annotations

from typing import Annotated

import typer

from mpvss_ros.cli.common.options import JsonOption

__all__ = ["doctor"]

NodeOption = Annotated[str, typer.Option(help="Full name of the segmentation node.")]
ImageOption = Annotated[
    str, typer.Option(help="Full name of the camera topic that it should read, if not the one it does.", show_default=False)
]
TimeoutOption = Annotated[float, typer.Option(help="Seconds to wait for what does not come.", min=1.0, max=600.0)]


def doctor(
    node: NodeOption = "/mpvss/segmentation",
    image: ImageOption = "",
    timeout: TimeoutOption = 5.0,
    json: JsonOption = False,
) -> None:
    """Say why a running node gives no labels, each cause with the way out. Exit code 0: healthy, 1: something is wrong."""
    from mpvss_ros.cli.common.json_output import print_json
    from mpvss_ros.doctor.collector import look
    from mpvss_ros.doctor.examination import examine, summary

    _check_full_name("--node", node, "/mpvss/segmentation")
    if image:
        _check_full_name("--image", image, "/camera/image_raw")
    seen = look(node, image=image, timeout_s=timeout)
    findings = examine(seen)
    is_healthy = not any(finding.is_problem for finding in findings)
    if json:
        print_json({"node": node, "healthy": is_healthy, "state": seen.state, "findings": [vars(f) for f in findings]})
    else:
        for finding in findings:
            print(f"{'problem' if finding.is_problem else 'note'}: {finding.text}")
        if is_healthy:
            print(f"healthy: {summary(seen)}")
    raise typer.Exit(0 if is_healthy else 1)


def _check_full_name(option: str, name: str, example: str) -> None:
    from rclpy.exceptions import InvalidTopicNameException
    from rclpy.validate_full_topic_name import validate_full_topic_name

    from mpvss_model import ConfigError

    try:
        validate_full_topic_name(name)
    except InvalidTopicNameException as error:
        raise ConfigError(f"{option} must be a full name such as {example}, got {name!r}") from error
