"""Published networks with random weights that find as much in a frame as trained ones do, to measure their speed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mpvss_model.checkpoints.mpvss_model import MPVSSModel, paper_config
from mpvss_model.checkpoints.starting_model import save_model
from mpvss_model.image import IMAGENET_MEAN, IMAGENET_STD
from mpvss_model.segmentor.mask2former.segmentor import Mask2FormerSegmentor
from mpvss_model.segmentor.network_files import quiet

__all__ = ["save_random_model"]

# The published models find about ten objects in a frame; of a random one's queries, all or none would matter.
RELEVANT_QUERIES = 10
CONFIDENCE = 12.0


def save_random_model(backbone: str, folder: Path, *, num_classes: int, frame: np.ndarray) -> None:
    """Write a model directory with a segmentor and a motion module, the same one each time.

    Args:
        backbone: One of the paper's.
        folder: Where to.
        num_classes: Without "no object"; at least as many as objects are found.
        frame: In which ten of the queries find an object, uint8 RGB ``[H, W, 3]``.

    Raises:
        ConfigError: If there is no such backbone.
    """
    torch.manual_seed(0)
    with quiet():
        model = MPVSSModel(paper_config(backbone, num_classes)).eval()
    _make_decided(Mask2FormerSegmentor(model=model.segmentor, name=backbone, device=torch.device("cpu")), frame)
    save_model(model, folder, image_mean=IMAGENET_MEAN, image_std=IMAGENET_STD)


@torch.no_grad()
def _make_decided(segmentor: Mask2FormerSegmentor, frame: np.ndarray) -> None:
    """Change a random network so that ten queries are objects, each of its own class, with clear masks of half a frame."""
    network = segmentor.model
    decoder = network.model.transformer_module.decoder
    # Random attention would make all queries the same: let them stay what they were learned to be, mostly.
    for layer in decoder.layers:
        for update in (layer.cross_attn.out_proj, layer.self_attn.out_proj, layer.fc2):
            update.weight.mul_(0.1)
    projection = network.model.pixel_level_module.decoder.mask_projection
    means = []
    hook = projection.register_forward_hook(lambda _module, _inputs, output: means.append(output.mean(dim=(0, 2, 3)).clone()))
    segmentor.segment(frame, 0.0)
    hook.remove()
    projection.bias -= means[0]
    queries = segmentor.segment(frame, 0.0).queries.clone()
    wanted = torch.zeros(len(queries), network.config.num_labels + 1)
    wanted[:, -1] = CONFIDENCE
    objects = torch.arange(RELEVANT_QUERIES)
    wanted[objects, -1] = 0.0
    wanted[objects, objects] = CONFIDENCE
    network.class_predictor.weight.copy_((torch.linalg.pinv(queries) @ wanted).t())
    network.class_predictor.bias.zero_()
    last = decoder.mask_predictor.mask_embedder.layers[-1].layers[0]
    last.weight.mul_(4 * CONFIDENCE)
    last.bias.mul_(4 * CONFIDENCE)
