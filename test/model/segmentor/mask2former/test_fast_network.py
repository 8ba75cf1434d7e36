"""The fast network against transformers' own, and the work that it may do at most."""

import copy
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import Mask2FormerForUniversalSegmentation

from mpvss_model import VideoSegmentor
from mpvss_model.runtime.precision import resolve_precision
from mpvss_model.segmentor.mask2former.backbones import mask2former_config, paper_backbone
from mpvss_model.segmentor.mask2former.fast_network import KEPT_SIZES, FastMask2Former
from mpvss_model.segmentor.network_files import quiet
from mpvss_model.segmentor.registry import load_model
from mpvss_model.segmentor.shipped_models import WEIGHTS_DIR

CPU = torch.device("cpu")
ROOMS = str(WEIGHTS_DIR / "rooms-lite")


class CountedOperators(TorchDispatchMode):
    """Counts what torch is asked to do, by operator, how much of it is views only, and the numbers it makes room for."""

    def __init__(self):
        super().__init__()
        self.calls = Counter()
        self.views = 0
        self.allocated = 0

    @property
    def computations(self):
        return self.calls.total() - self.views

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        self.calls[function.overloadpacket.__name__] += 1
        self.views += function.is_view
        if not function.is_view and not function._schema.is_mutable:
            self.allocated += sum(x.numel() for x in tree_leaves(result) if isinstance(x, torch.Tensor))
        return result


def random_model(backbone):
    torch.manual_seed(0)
    with quiet():
        model = Mask2FormerForUniversalSegmentation(mask2former_config(paper_backbone(backbone), 7, decoder_layers=4)).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.weight, 0.5, 1.5)
            torch.nn.init.normal_(module.running_mean, std=0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
    # Sampling offsets and attention start at constants, and would test little.
    for name, parameter in model.named_parameters():
        if "sampling_offsets" in name or "attention_weights" in name:
            torch.nn.init.normal_(parameter, std=0.2)
    return model.requires_grad_(False)


def outputs(model, pixels):
    plain = model.model(pixels, output_hidden_states=True)
    queries = plain.transformer_decoder_intermediate_states[-1][:, 0]
    return plain.masks_queries_logits[-1][0], model.class_predictor(queries), queries


@pytest.fixture(scope="module", params=["r50", "swin-t", "rooms-lite", "tiny"])
def plain_and_fast(request, tiny_checkpoint):
    if request.param in ("r50", "swin-t"):
        model = random_model(request.param)
    else:
        location = tiny_checkpoint if request.param == "tiny" else ROOMS
        model = load_model(location, device=CPU).segmentor.model
    return model, FastMask2Former(copy.deepcopy(model))


@pytest.mark.parametrize("size", [(96, 128), (64, 32), (160, 96), (96, 128)])
@torch.inference_mode()
def test_numbers_are_those_of_transformers_at_sizes_that_change(plain_and_fast, size):
    model, fast = plain_and_fast
    pixels = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(1))
    for ours, theirs in zip(fast(pixels), outputs(model, pixels), strict=True):
        # Where a mask logit is zero but for rounding, one query may see one pixel more, and differ a little in all it says.
        assert torch.isclose(ours, theirs, atol=2e-3, rtol=1e-3).float().mean() > 0.98


@torch.no_grad()
def test_a_key_frame_samples_no_grids_and_predicts_full_masks_once():
    model = load_model(ROOMS, device=CPU).segmentor.model
    pixels = torch.zeros(1, 3, 96, 128)
    with CountedOperators() as plain:
        model.model(pixels)
    fast = FastMask2Former(model)
    fast(pixels)
    with CountedOperators() as counted:
        fast(pixels)
    assert plain.calls["grid_sampler_2d"] > 0 and counted.calls["grid_sampler_2d"] == 0
    assert counted.calls["_embedding_bag"] + counted.calls["_embedding_bag_forward_only"] == model.config.encoder_layers
    assert not {"native_batch_norm", "sin", "cos", "linspace"} & set(counted.calls)
    assert sum(counted.calls.values()) < 0.6 * sum(plain.calls.values())
    assert counted.computations < 0.5 * plain.computations
    assert counted.allocated < 0.55 * plain.allocated


@torch.inference_mode()
def test_what_is_remembered_per_size_is_bounded():
    fast = FastMask2Former(load_model(ROOMS, device=CPU).segmentor.model)
    for i in range(1, 2 * KEPT_SIZES):
        fast(torch.zeros(1, 3, 32, 32 * i))
    assert len(fast.pixel_decoder._grids) == KEPT_SIZES


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_gives_nearly_the_same_labels(precision):
    frame = np.random.default_rng(0).integers(0, 255, (4, 5, 3), np.uint8).repeat(24, 0).repeat(24, 1)
    exact = VideoSegmentor.from_pretrained(device="cpu", precision="fp32").step(frame, 0.0)
    half = VideoSegmentor.from_pretrained(device="cpu", precision=precision)
    assert half.segmentor.dtype == str(resolve_precision(precision, CPU)).removeprefix("torch.")
    assert (half.step(frame, 0.0).labels == exact.labels).mean() > 0.9
    assert (half.step(frame, 0.1).labels == exact.labels).mean() > 0.9
