"""Labels for whole recordings and data sets, as good as a model can give them without hurry."""

from mpvss_model.labelling.class_mapping import ClassMapping
from mpvss_model.labelling.config import LabellingConfig
from mpvss_model.labelling.label_folder import LabelFolder
from mpvss_model.labelling.labeller import Labelling, label_clips

__all__ = ["ClassMapping", "LabelFolder", "Labelling", "LabellingConfig", "label_clips"]
