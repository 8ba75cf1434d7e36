"""A small model made right for one's own cameras, by what a strong one sees there."""

from mpvss_model.adaptation.adapt import adapt
from mpvss_model.adaptation.config import AdaptationConfig
from mpvss_model.adaptation.verdict import Verdict

__all__ = ["AdaptationConfig", "Verdict", "adapt"]
