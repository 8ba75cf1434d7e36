"""Labelled point clouds, made beside the segmentation node in a process of their own."""
