"""Mask2Former as one module that can be traced."""
