"""Spreads units of work, such as recordings, over processes of this machine or a cluster."""

from mpvss_model.fleet.config import FleetConfig
from mpvss_model.fleet.fleet import Fleet, open_fleet
from mpvss_model.fleet.unit import Link, Outcome, Unit

__all__ = ["Fleet", "FleetConfig", "Link", "Outcome", "Unit", "open_fleet"]
