"""Key-frame segmentors. Nothing else in this project imports ``transformers``."""
