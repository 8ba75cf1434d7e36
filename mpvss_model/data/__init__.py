"""Labelled video: VSPW, Cityscapes sequences and plain folders of frames behind one small interface."""

from mpvss_model.data.class_order import in_classes_of
from mpvss_model.data.clip import Clip, ClipSet, Frame
from mpvss_model.data.layouts import LAYOUTS, open_clips
from mpvss_model.data.splits import evaluated_split, path_and_split

__all__ = ["LAYOUTS", "Clip", "ClipSet", "Frame", "evaluated_split", "in_classes_of", "open_clips", "path_and_split"]
