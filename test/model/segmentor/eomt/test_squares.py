"""Where an EoMT's squares lie in a frame, and what is found there."""

import pytest
import torch
from transformers.image_transforms import get_size_with_aspect_ratio
from transformers.models.eomt.image_processing_pil_eomt import EomtImageProcessorPil

from mpvss_model.segmentor.eomt.squares import Squares

SIDE_PX = 64


@pytest.mark.parametrize("frame_size", [(64, 64), (64, 114), (113, 64), (48, 200), (1080, 1920), (64, 65), (720, 2000)])
def test_they_are_those_of_the_image_processor(frame_size):
    squares = Squares(frame_size, SIDE_PX, is_split=True)
    height, width = squares.image_size
    assert squares.image_size == get_size_with_aspect_ratio(frame_size, SIDE_PX, None)
    image = torch.arange(3 * height * width, dtype=torch.float32).view(1, 3, height, width)
    processor = EomtImageProcessorPil(
        do_resize=False,
        do_rescale=False,
        do_normalize=False,
        do_split_image=True,
        size={"shortest_edge": SIDE_PX, "longest_edge": None},
    )
    theirs = processor(image[0].numpy(), input_data_format="channels_first")
    assert torch.equal(squares.cut(image), torch.stack([torch.as_tensor(square) for square in theirs["pixel_values"]]))
    assert list(squares.starts_px) == [int(offset[1]) for offset in theirs["patch_offsets"]]


@pytest.mark.parametrize(("frame_size", "image_size"), [((64, 64), (64, 64)), ((32, 64), (32, 64)), ((180, 320), (36, 64))])
def test_an_image_that_is_not_split_fits_into_one(frame_size, image_size):
    squares = Squares(frame_size, SIDE_PX, is_split=False)
    assert (squares.image_size, squares.starts_px) == (image_size, (0,))
    (square,) = squares.cut(torch.ones(1, 3, *image_size))
    assert square.shape == (3, SIDE_PX, SIDE_PX) and square.sum() == 3 * image_size[0] * image_size[1]


@pytest.mark.parametrize("frame_size", [(64, 96), (96, 64), (60, 133)])
def test_values_come_back_to_their_places(frame_size):
    """Masks whose values are their own places in the image, down and to the right, in pixels."""
    squares = Squares(frame_size, SIDE_PX, is_split=True)
    starts = torch.tensor(squares.starts_px)[:, None, None]
    is_wide = frame_size[1] > frame_size[0]
    middles = torch.arange(2.0, SIDE_PX, 4)
    down = middles[:, None].expand(16, 16) + starts * (not is_wide)
    right = middles[None, :].expand(16, 16) + starts * is_wide
    found, inside = squares.in_frame(torch.stack([down, right], dim=1))
    assert inside.any(dim=0).all()
    scales = [image_px / frame_px for image_px, frame_px in zip(squares.image_size, frame_size, strict=True)]
    rows, columns = (torch.arange(2.0, side_px - 2, 4) for side_px in frame_size)
    expected = torch.stack(torch.meshgrid(rows * scales[0], columns * scales[1], indexing="ij"))
    for masks, there in zip(found, inside, strict=True):
        errors_px = (masks[:, : len(rows), : len(columns)] - expected).abs()[:, there[: len(rows), : len(columns)]]
        assert errors_px.max() <= 2.01, "beyond a square's outermost values, half a value from its edge, it is those"
        assert (errors_px < 1e-3).float().mean() > 0.9
