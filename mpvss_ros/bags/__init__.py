"""Recordings: read, written, and opened as labelled video."""
