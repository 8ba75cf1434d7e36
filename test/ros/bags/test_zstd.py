import pytest
import zstandard

from mpvss_ros.bags.zstd import ZstdError, decompress, decompressed_blocks

DATA = bytes(range(256)) * 1000


def without_size(data):
    frame = zstandard.ZstdCompressor().compressobj()
    return frame.compress(data) + frame.flush()


@pytest.mark.parametrize("pack", [zstandard.compress, without_size])
def test_frames_are_decompressed_whether_or_not_they_say_their_size(pack):
    assert decompress(pack(DATA)) == DATA
    assert decompress(pack(DATA) + pack(DATA[:10])) == DATA + DATA[:10]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_frames_may_be_cut_anywhere(size):
    packed = zstandard.compress(DATA) + without_size(DATA)
    blocks = [packed[i : i + size] for i in range(0, len(packed), size)]
    assert b"".join(decompressed_blocks(blocks)) == DATA + DATA


@pytest.mark.parametrize("pack", [zstandard.compress, without_size])
@pytest.mark.parametrize("kept", [0, 3, 20, -1])
def test_a_frame_that_is_cut_off_is_an_error(pack, kept):
    with pytest.raises(ZstdError, match="it ends too early"):
        decompress(pack(DATA)[:kept])


def test_damage_is_an_error():
    with pytest.raises(ZstdError):
        decompress(zstandard.compress(DATA)[:-30] + bytes(30))
