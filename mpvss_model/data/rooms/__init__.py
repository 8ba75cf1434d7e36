"""Rendered indoor video with exact labels: furnished rooms, people, and a robot's camera."""

from mpvss_model.data.rooms.config import RoomsConfig

__all__ = ["RoomsConfig"]
