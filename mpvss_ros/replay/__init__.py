"""Bags replayed through the node, and the report of it."""
