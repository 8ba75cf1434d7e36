import math

import pytest
import torch

from mpvss_model.motion.config import MotionConfig
from mpvss_model.motion.decoder import MotionDecoder
from mpvss_model.position_encoding import sine_position_encoding

SMALL = MotionConfig(
    num_queries=5, query_size=16, hidden_size=16, num_heads=2, ffn_size=32, num_layers=4, encoder_channels=(4, 4, 4, 6, 16, 8)
)


def features(batch=1):
    return [torch.rand(batch, 8, 1, 2), torch.rand(batch, 16, 2, 3), torch.rand(batch, 6, 3, 5)]


def test_position_encoding_is_that_of_detr():
    height, width, channels = 3, 5, 8
    encoding = sine_position_encoding(height, width, like=torch.empty(0, channels)).view(height, width, channels)
    for y, x, i in [(0, 0, 0), (2, 4, 1), (1, 3, 2), (2, 0, 3), (0, 2, 5), (1, 4, 6)]:
        position, size = (y, height) if i < 4 else (x, width)
        angle = (position + 1) / (size + 1e-6) * 2 * math.pi / 10000 ** ((i % 4) // 2 * 2 / 4)
        assert encoding[y, x, i].item() == pytest.approx(math.cos(angle) if i % 2 else math.sin(angle), abs=1e-5)


@torch.inference_mode()
def test_keeps_the_shapes_of_features_and_queries():
    refined, queries = MotionDecoder(SMALL).eval()(features(2), torch.rand(2, 5, 16))
    assert [tuple(level.shape) for level in refined] == [(2, 16, 1, 2), (2, 16, 2, 3), (2, 16, 3, 5)]
    assert queries.shape == (2, 5, 16)


@torch.inference_mode()
def test_levels_beyond_the_layers_are_only_projected():
    one_layer = MotionConfig(**{**vars(SMALL), "num_layers": 1})
    decoder = MotionDecoder(one_layer).eval()
    levels = features()
    refined, _ = decoder(levels, torch.rand(1, 5, 16))
    for i in (1, 2):
        projected = decoder.input_proj[i](levels[i]) + decoder.level_embed.weight[i].view(1, -1, 1, 1)
        torch.testing.assert_close(refined[i], projected)


@torch.inference_mode()
def test_projects_queries_of_another_size():
    decoder = MotionDecoder(MotionConfig(**{**vars(SMALL), "query_size": 24})).eval()
    assert decoder(features(), torch.rand(1, 5, 24))[1].shape == (1, 5, 16)


def test_the_fused_and_the_differentiable_layers_agree():
    decoder, levels, queries = MotionDecoder(SMALL).eval(), features(), torch.rand(1, 5, 16)
    with torch.inference_mode():
        fast = decoder(levels, queries)[1]
    torch.testing.assert_close(fast, decoder(levels, queries)[1].detach())
