"""16-bit images of cameras that use fewer bits."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

__all__ = ["SixteenBitRange"]

# What sensors digitize to. An exact estimate would change with the brightest pixel of a dark scene.
SENSOR_BITS = (10, 12, 14, 16)


class SixteenBitRange:
    """The range of one camera's 16-bit values, and their conversion to 8 bits.

    A camera of 10, 12 or 14 bits sends values that are far below 65535, and would give nearly black images. Its number of
    bits is estimated from the largest value so far; it only grows, so that the brightness does not flicker.

    >>> values = np.array([[0, 2048, 4095]], np.uint16)
    >>> SixteenBitRange(report=print).to_uint8(values).tolist()
    16-bit images seem to use 12 bits: 4095 is taken for white; set significant_bits where that is wrong
    [[0, 128, 255]]

    Args:
        report: Is told of each estimate below 16 bits and of its growth.
        significant_bits: Bits that the camera uses, 8 .. 16; 0 estimates them. May be changed later.
    """

    def __init__(self, report: Callable[[str], None] = warnings.warn, *, significant_bits: int = 0) -> None:
        self.significant_bits = significant_bits
        """Bits that the camera uses, 8 .. 16; larger values are white. 0 estimates them."""
        self._estimated_bits = 0
        self._report = report

    @property
    def is_estimated(self) -> bool:
        """Whether 16-bit images were converted by what earlier ones used."""
        return self._estimated_bits > 0

    def to_uint8(self, values: np.ndarray) -> np.ndarray:
        """Scale uint16 values of any shape to uint8, the largest of the range to 255."""
        bits = self.significant_bits or self._estimate(values)
        return np.minimum(values >> (bits - 8), 255).astype(np.uint8)

    def _estimate(self, values: np.ndarray) -> int:
        used = int(values.max()).bit_length()
        bits = next(bits for bits in SENSOR_BITS if used <= bits)
        if bits > self._estimated_bits:
            if bits < 16 or self._estimated_bits:
                white = f"{2**bits - 1} is taken for white; set significant_bits where that is wrong"
                self._report(f"16-bit images seem to use {bits} bits: {white}")
            self._estimated_bits = bits
        return self._estimated_bits
