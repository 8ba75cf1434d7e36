"""Propagation of a key frame's masks to later frames."""
