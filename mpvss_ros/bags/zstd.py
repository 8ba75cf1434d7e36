"""Zstandard, as recorders compress whole files and single messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from zstandard import ZstdDecompressor, ZstdError

__all__ = ["ZSTD_MAGIC", "ZstdError", "decompress", "decompressed_blocks"]

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def decompress(data: bytes) -> bytes:
    """The content of one or more frames, whether or not they say how long it is.

    Raises:
        ZstdError: If they are damaged, or end too early.
    """
    return b"".join(decompressed_blocks([data]))


def decompressed_blocks(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """The content of one or more frames, piece by piece, so that a long file needs no more memory than a short one.

    Args:
        blocks: The frames, cut anywhere.

    Raises:
        ZstdError: If they are damaged, or end too early.
    """
    # The library's own readers take the end of the data for the end of the content: only a frame's object knows better.
    frame = ZstdDecompressor().decompressobj()
    for block in blocks:
        while block:
            if frame.eof:
                frame = ZstdDecompressor().decompressobj()
            yield frame.decompress(block)
            block = frame.unused_data
    if not frame.eof:
        raise ZstdError("it ends too early")
