import pytest
import torch

from mpvss_model.warp import backward_warp


def test_zero_flow_is_the_identity():
    source = torch.randn(2, 3, 5, 7)
    torch.testing.assert_close(backward_warp(source, torch.zeros(2, 2, 5, 7)), source)


def test_flow_points_from_the_output_to_the_source():
    source = torch.arange(35.0).view(1, 1, 5, 7)
    flow = torch.zeros(1, 2, 5, 7)
    flow[:, 0], flow[:, 1] = 2.0, 1.0
    torch.testing.assert_close(backward_warp(source, flow)[..., :4, :5], source[..., 1:, 2:])


def test_positions_outside_take_the_border_value():
    source = torch.arange(35.0).view(1, 1, 5, 7)
    warped = backward_warp(source, torch.full((1, 2, 5, 7), 100.0))
    assert (warped == source[0, 0, -1, -1]).all()


def test_the_released_grid_samples_slightly_inwards():
    source = torch.arange(8.0).view(1, 1, 1, 8).expand(1, 1, 8, 8)
    warped = backward_warp(source, torch.zeros(1, 2, 8, 8), released_grid=True)
    torch.testing.assert_close(warped[0, 0, 0], torch.arange(8.0) * 7 / 8)


def test_mismatched_shapes_are_named():
    with pytest.raises(ValueError, match=r"\(1, 2, 5, 7\).*\(1, 2, 5, 6\)"):
        backward_warp(torch.zeros(1, 3, 5, 7), torch.zeros(1, 2, 5, 6))
