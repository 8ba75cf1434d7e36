"""Keeps a replay to itself: no other node hears it, and it hears no other, whatever the shell's settings are."""

from __future__ import annotations

import os
import random
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

__all__ = ["Isolation", "isolated"]

# Higher ones reach into the ports that Linux gives to clients.
DOMAIN_IDS = range(1, 102)
# Multicast discovery, and the first participant's own port.
DOMAIN_PORTS = (7400, 7410)
PORTS_PER_DOMAIN = 250
# Each of them could lead to nodes elsewhere.
DISCOVERY_VARIABLES = ("ROS_LOCALHOST_ONLY", "ROS_STATIC_PEERS", "ROS_DISCOVERY_SERVER", "ROS_SUPER_CLIENT")


@dataclass(frozen=True)
class Isolation:
    """Where a replay's nodes find each other.

    Attributes:
        domain_id: That no process of this machine used when it was chosen.
        namespace: That only this replay uses, since two may choose the same domain at the same time.
    """

    domain_id: int
    namespace: str


@contextmanager
def isolated() -> Iterator[Isolation]:
    """Choose a domain and a namespace; the environment is that of the domain, also for new processes, until the block ends."""
    isolation = Isolation(_free_domain_id(), f"/mpvss_run_{secrets.token_hex(4)}")
    changes: dict[str, str | None] = {
        "ROS_DOMAIN_ID": str(isolation.domain_id),
        "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST",
        **dict.fromkeys(DISCOVERY_VARIABLES),
    }
    before = {name: os.environ.get(name) for name in changes}
    try:
        _set_environment(changes)
        yield isolation
    finally:
        _set_environment(before)


def _set_environment(values: dict[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


def _free_domain_id() -> int:
    # Not in order, so that replays that start together choose differently.
    candidates = random.SystemRandom().sample(DOMAIN_IDS, len(DOMAIN_IDS))
    return next((domain_id for domain_id in candidates if _is_free(domain_id)), candidates[0])


def _is_free(domain_id: int) -> bool:
    for port in DOMAIN_PORTS:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(("", port + PORTS_PER_DOMAIN * domain_id))
            except OSError:
                return False
    return True
