"""Annotations as labelling tools export them, and how they become folders of frames that can be trained on."""

from mpvss_model.data.annotations.formats import FORMATS
from mpvss_model.data.annotations.import_labels import ImportConfig, ImportReport, import_labels

__all__ = ["FORMATS", "ImportConfig", "ImportReport", "import_labels"]
