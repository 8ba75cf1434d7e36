"""Stamps: integer nanoseconds of any clock, so that those of two frames are equal only where the frames' are.

Seconds as a float tell times of today apart by 238 nanoseconds, and differences of such floats are off by as much.
"""

from __future__ import annotations

import operator
from decimal import Decimal
from fractions import Fraction

from mpvss_model.errors import FrameError

__all__ = ["checked_stamp_ns", "nanoseconds", "seconds", "stamp_text"]

NANOSECONDS = 1_000_000_000
# What 64 bits hold, as everybody's stamps: 292 years.
MAX_STAMP_NS = 2**63 - 1


def checked_stamp_ns(stamp_s: float | None, stamp_ns: int | None) -> int:
    """The stamp of a frame, given in one of two ways.

    >>> checked_stamp_ns(0.1, None), checked_stamp_ns(None, 1_700_000_000_000_000_100)
    (100000000, 1700000000000000100)

    Args:
        stamp_s: In seconds, rounded to the next nanosecond.
        stamp_ns: In nanoseconds.

    Raises:
        FrameError: Unless exactly one of them is given, is a finite number, ``stamp_ns`` an integer, and no more than 292
            years away from 0.
    """
    if stamp_s is not None and stamp_ns is None:
        stamp = nanoseconds(stamp_s)
    elif stamp_s is None and stamp_ns is not None:
        stamp = _integer(stamp_ns)
    else:
        raise FrameError("invalid stamp", f"give either stamp_s or stamp_ns, got stamp_s={stamp_s!r}, stamp_ns={stamp_ns!r}")
    if abs(stamp) > MAX_STAMP_NS:
        given = f"stamp_s={stamp_s!r}; give nanoseconds as stamp_ns" if stamp_ns is None else f"stamp_ns={stamp_ns!r}"
        raise FrameError("invalid stamp", f"a stamp must be less than 292 years away from 0, got {given}")
    return stamp


def nanoseconds(stamp_s: float) -> int:
    """The nanosecond next to a stamp in seconds.

    Raises:
        FrameError: If it is not a finite number.
    """
    try:
        # A float is a fraction, exactly; its product with 1e9 is no float any more.
        return round(Fraction(float(stamp_s)) * NANOSECONDS)
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameError("invalid stamp", f"a stamp must be a finite number of seconds, got {stamp_s!r}") from error


def seconds(duration_ns: int) -> float:
    """The float next to a duration, or a stamp, of so many nanoseconds.

    Of durations up to 104 days, each has a float of its own, and one that was written as a decimal has the same as the
    decimal: so comparing it with a limit in seconds is exact.

    >>> seconds(300_000_000) >= 0.3, seconds(299_999_999) >= 0.3
    (True, False)
    """
    return int(duration_ns) / NANOSECONDS


def stamp_text(stamp_ns: int) -> str:
    """For messages: in seconds, with all digits.

    >>> stamp_text(1_700_000_000_000_000_100)
    '1700000000.000000100 s'
    """
    return f"{Decimal(stamp_ns).scaleb(-9):f} s"


def _integer(stamp_ns: int) -> int:
    try:
        if not isinstance(stamp_ns, bool):
            return operator.index(stamp_ns)
    except TypeError:
        pass
    raise FrameError("invalid stamp", f"stamp_ns must be an integer, got {stamp_ns!r}; give seconds as stamp_s")
