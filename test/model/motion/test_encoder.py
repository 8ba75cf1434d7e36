import pytest
import torch
import torch.nn.functional as F

from mpvss_model.motion.encoder import MotionEncoder, half_size_input

CHANNELS = (4, 6, 8, 10, 12, 14)


def test_input_is_halved_bilinearly_after_padding_with_zeros():
    image = torch.randint(0, 256, (1, 3, 45, 70), dtype=torch.uint8)
    centred = image / 255 - torch.tensor([0.411, 0.432, 0.450]).view(3, 1, 1)
    expected = F.interpolate(F.pad(centred, (0, 26, 0, 19)), scale_factor=0.5, mode="bilinear", align_corners=False)
    torch.testing.assert_close(half_size_input(image), expected)


@pytest.mark.parametrize("size", [(32, 32), (480, 864), (96, 160)])
def test_features_have_strides_8_to_128_of_the_frame(size):
    with torch.device("meta"):
        encoder = MotionEncoder(CHANNELS)
        features = encoder(*torch.empty(2, 1, 3, size[0] // 2, size[1] // 2))
    strides = (8, 16, 32, 64, 128)
    expected = [(1, c, -(-size[0] // s), -(-size[1] // s)) for c, s in zip(CHANNELS[1:], strides, strict=True)]
    assert [tuple(feature.shape) for feature in features] == expected


def test_current_and_key_frame_are_told_apart():
    current, key = torch.rand(2, 1, 3, 32, 32)
    encoder = MotionEncoder(CHANNELS)
    assert not torch.allclose(encoder(current, key)[-1], encoder(key, current)[-1])
