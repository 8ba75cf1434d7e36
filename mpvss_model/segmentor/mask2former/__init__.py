"""Mask2Former, as a segmentor of key frames."""
