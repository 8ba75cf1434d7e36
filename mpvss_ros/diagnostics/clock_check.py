"""Whether a node's clock runs, and whether a camera's stamps are of that clock."""

from __future__ import annotations

from mpvss_ros.diagnostics.frame_sequence import ZERO_STAMPS

__all__ = ["clock_trouble", "stamp_trouble"]

# More than networks and drivers take, less than two clocks that were never set to each other differ by.
FOREIGN_CLOCK_S = 10.0
UNITS_S = {"days": 86_400.0, "hours": 3_600.0}


def clock_trouble(*, use_sim_time: bool, now_ns: int) -> str:
    """Why a node has no time; empty if it has.

    Args:
        use_sim_time: Whether it takes the time from ``/clock``.
        now_ns: Its clock.
    """
    if not use_sim_time or now_ns:
        return ""
    return (
        "use_sim_time is true, and no time comes on /clock: have the simulator publish it, play the bag with "
        "'ros2 bag play --clock', or set use_sim_time to false"
    )


def stamp_trouble(*, stamp_ns: int, now_ns: int, use_sim_time: bool) -> str:
    """That an image's stamp is zero, or of another clock than the node's; empty if it may be of the same.

    Labels come all the same, under these stamps, but what joins them with other topics or transforms waits for ever.

    Args:
        stamp_ns: Of an image that has just come.
        now_ns: The node's clock at that moment.
        use_sim_time: Whether it is that of ``/clock``.
    """
    if not stamp_ns:
        return ZERO_STAMPS
    age_s = (now_ns - stamp_ns) * 1e-9
    if abs(age_s) < FOREIGN_CLOCK_S:
        return ""
    way_out = (
        "set use_sim_time to false if this camera is a real one"
        if use_sim_time
        else "for a recording or a simulator, set use_sim_time to true for all nodes and play the bag with "
        "'ros2 bag play --clock'; for a camera on another computer, synchronise the clocks (chrony, PTP)"
    )
    side, clock = "behind" if age_s > 0 else "ahead of", "simulated" if use_sim_time else "system"
    return (
        f"the images' stamps, and so those of the labels, are {_duration(abs(age_s))} {side} the {clock} clock: what joins "
        f"labels with transforms or other topics will find none; {way_out}"
    )


def _duration(seconds: float) -> str:
    for unit, unit_s in UNITS_S.items():
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:.0f} {unit}"
    return f"{seconds:.0f} s"
