"""The ``mpvss`` command."""
