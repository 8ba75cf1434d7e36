"""The motion module as a whole; `test_parity` compares it with the released code."""

import pytest
import torch

from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.module import MotionModule, propagate_masks
from mpvss_model.warp import backward_warp

SMALL = MotionConfig(
    num_queries=6,
    query_size=16,
    hidden_size=16,
    num_layers=2,
    num_heads=2,
    ffn_size=16,
    encoder_channels=(4, 6, 8, 10, 10, 12),
    upsampled_channels=(6, 6, 6, 4),
)


def trained_module(config=SMALL):
    """A module whose flow is not zero."""
    torch.manual_seed(0)
    module = MotionModule(config).eval()
    with torch.no_grad():
        module.pixel_flow.predict_flow.weight.normal_(std=0.2)
        module.segment_flow.fusion.weight.normal_()
    return module


def inputs(batch=1, size=(50, 70), config=SMALL):
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (2, batch, 3, *size), dtype=torch.uint8, generator=generator)
    return images[0], images[1], torch.randn(batch, config.num_queries, config.query_size, generator=generator)


def test_published_module_has_the_published_size():
    with torch.device("meta"):
        module = MotionModule(MotionConfig())
    assert sum(p.numel() for p in module.parameters()) == pytest.approx(40.085e6, rel=1e-4)


@torch.inference_mode()
def test_new_module_moves_nothing():
    module = MotionModule(SMALL).eval()
    motion = module(*inputs())
    assert motion.pixel_flow.shape == (1, 2, 8, 12) and motion.segment_flow.shape == (1, 6, 2, 8, 12)
    assert not motion.pixel_flow.any() and not motion.segment_flow.any()
    mask_logits = torch.randn(1, 6, 16, 24)
    torch.testing.assert_close(propagate_masks(mask_logits, motion.segment_flow), mask_logits, atol=1e-5, rtol=1e-5)


def test_new_module_learns_flow_of_either_branch():
    module = MotionModule(SMALL)
    (module(*inputs()).segment_flow - 1).square().sum().backward()
    assert module.pixel_flow.predict_flow.weight.grad.abs().sum() > 0
    assert module.segment_flow.fusion.weight.grad[:, 2:].abs().sum() > 0


@torch.inference_mode()
def test_batch_equals_single():
    module = trained_module()
    current, key, queries = inputs(batch=3)
    together = module(current, key, queries)
    for i in range(3):
        alone = module(current[i : i + 1], key[i : i + 1], queries[i : i + 1])
        torch.testing.assert_close(together.segment_flow[i], alone.segment_flow[0], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_selected_queries_are_rows_of_all():
    module, arguments = trained_module(), inputs()
    every, some = module(*arguments), module(*arguments, selected=torch.tensor([1, 4]))
    torch.testing.assert_close(some.segment_flow, every.segment_flow[:, [1, 4]], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(some.pixel_flow, every.pixel_flow)


@pytest.mark.parametrize("size", [(32, 32), (33, 31), (130, 260)])
@torch.inference_mode()
def test_any_frame_size_works(size):
    flow = trained_module()(*inputs(size=size)).segment_flow
    assert flow.shape[-2:] == tuple(-(-side // 32) * 4 for side in size)


@pytest.mark.parametrize("hidden_size", [96, 128])
@torch.inference_mode()
def test_light_variants_take_a_fraction_of_the_parameters(hidden_size):
    light = MotionConfig(
        num_queries=20,
        hidden_size=hidden_size,
        num_layers=3,
        ffn_size=4 * hidden_size,
        encoder_channels=(16, 32, 64, 128, 128, 256),
        upsampled_channels=(32, 32, 32, 16),
    )
    module = MotionModule(light).eval()
    assert sum(p.numel() for p in module.parameters()) < 4e6
    assert module(*inputs(config=light)).segment_flow.shape == (1, 20, 2, 8, 12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c, k, q: (c, k[..., :-1], q), r"images must both be \[B, 3, H, W\], got .*70\) and .*69\)"),
        (lambda c, k, q: (c.float(), k, q), "images must be uint8, got torch.float32 and torch.uint8"),
        (lambda c, k, q: (c, k, q[:, 1:]), r"queries must be \(1, 6, 16\) .*, got \(1, 5, 16\)"),
        (lambda c, k, q: (c, k, q.repeat(2, 1, 1)), r"queries must be \(1, 6, 16\) .*, got \(2, 6, 16\)"),
    ],
)
def test_rejects_inputs_that_do_not_fit(change, message):
    with pytest.raises(ValueError, match=message):
        trained_module()(*change(*inputs()))


def test_propagation_follows_each_query_s_own_flow():
    mask_logits = torch.randn(1, 2, 8, 12)
    flow = torch.zeros(1, 2, 2, 4, 6)
    flow[0, 1, 0] = 1.0  # one pixel to the right at half resolution, two at the masks'
    warped = propagate_masks(mask_logits, flow)
    torch.testing.assert_close(warped[0, 0], mask_logits[0, 0], atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(warped[0, 1, :, :-2], mask_logits[0, 1, :, 2:], atol=1e-5, rtol=1e-5)


def test_one_flow_for_all_queries_is_that_flow_for_each():
    mask_logits, flow = torch.randn(2, 3, 8, 12), torch.randn(2, 2, 4, 6)
    each = flow.unsqueeze(1).expand(-1, 3, -1, -1, -1)
    for released_grid in (False, True):
        shared = propagate_masks(mask_logits, flow, released_grid=released_grid)
        torch.testing.assert_close(shared, propagate_masks(mask_logits, each, released_grid=released_grid))


def test_released_grid_reaches_the_warp():
    mask_logits = torch.randn(1, 1, 8, 12)
    warped = propagate_masks(mask_logits, torch.zeros(1, 1, 2, 4, 6), released_grid=True)
    torch.testing.assert_close(warped, backward_warp(mask_logits, torch.zeros(1, 2, 8, 12), released_grid=True))
    assert not torch.allclose(warped, mask_logits, atol=1e-3)


@pytest.mark.parametrize("shape", [(1, 3, 2, 8, 12), (1, 2, 2, 4, 6), (2, 2, 4, 6), (1, 3, 1, 4, 6)])
def test_flow_of_another_size_is_rejected(shape):
    with pytest.raises(ValueError, match="flow_px must have half the resolution of mask_logits"):
        propagate_masks(torch.zeros(1, 3, 8, 12), torch.zeros(shape))
