"""OneFormer, as a segmentor of key frames."""

from mpvss_model.segmentor.registry import loader_of

__all__ = ["load"]

load = loader_of("mpvss_model.segmentor.oneformer.segmentor:OneFormerSegmentor")
