"""A camera gone mad."""

from __future__ import annotations

import random

from builtin_interfaces.msg import Time
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mpvss_model import FrameError
from mpvss_model.image import check_frame
from mpvss_ros.messages.conversions import rgb_from_message

__all__ = ["HostileCamera", "rejection"]

BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2, "bayer_grbg8": 1, "yuv422_yuy2": 2}
SIZES = [(48, 32), (32, 48), (40, 40), (64, 18)]


class HostileCamera:
    """Makes messages that are all wrong in some way, or right in an unusual one.

    Args:
        seed: Of its moods.
    """

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._last_stamp = (0, 0)
        self._size = SIZES[0]

    def good(self) -> Image:
        """An image that must be answered: any encoding, padded rows, bytes after the last row."""
        if self._random.random() < 0.1:
            self._size = self._random.choice(SIZES)
        width, height = self._size
        encoding = self._random.choice(list(BYTES_PER_PIXEL))
        step = width * BYTES_PER_PIXEL[encoding] + self._random.choice((0, 0, 1, 7))
        data = self._random.randbytes(step * height + self._random.choice((0, 0, 5)))
        is_bigendian = self._random.choice((0, 0, 1, 255))
        return Image(
            header=self._header(),
            width=width,
            height=height,
            encoding=encoding,
            step=step,
            data=data,
            is_bigendian=is_bigendian,
        )

    def broken(self) -> Image:
        """An image with something wrong that no decoder can mend."""
        message = self.good()
        self._random.choice((self._cut, self._squeeze, self._flatten, self._shrink, self._rename, self._inflate))(message)
        return message

    def _header(self) -> Header:
        """Stamps of every kind: forward, back, far away, before 1970, with more than a second of nanoseconds."""
        sec, nanosec = self._last_stamp
        kind = self._random.random()
        if kind < 0.7:
            sec, nanosec = sec + (nanosec + 66_666_667) // 10**9, (nanosec + 66_666_667) % 10**9
        elif kind < 0.9:
            sec, nanosec = sec + self._random.randrange(-5, 5), self._random.randrange(10**9)
        else:
            sec, nanosec = self._random.choice((-(2**31), 2**31 - 6, 0)), self._random.choice((0, 10**9 - 1, 2**32 - 1))
        sec = max(-(2**31), min(2**31 - 1, sec))
        self._last_stamp = (sec, nanosec)
        frame_id = "".join(chr(self._random.randrange(1, 0xD800)) for _ in range(self._random.choice((0, 3, 40))))
        return Header(stamp=Time(sec=sec, nanosec=nanosec), frame_id=frame_id)

    def _cut(self, message: Image) -> None:
        message.data = message.data[: self._random.randrange(message.step * message.height)]

    def _squeeze(self, message: Image) -> None:
        message.step = self._random.randrange(message.width * BYTES_PER_PIXEL[message.encoding])

    def _flatten(self, message: Image) -> None:
        setattr(message, self._random.choice(("width", "height")), 0)

    def _shrink(self, message: Image) -> None:
        setattr(message, self._random.choice(("width", "height")), 2)

    def _rename(self, message: Image) -> None:
        message.encoding = self._random.choice(("", "bogus", "32FC1", "rgb8 ", "RGB8", "\u2603" * 1000, "%s%n"))

    def _inflate(self, message: Image) -> None:
        setattr(message, self._random.choice(("width", "height", "step")), 2**32 - 1)


def rejection(message: Image) -> str | None:
    """Why the node must refuse a message, whatever came before it; None if it need not."""
    try:
        check_frame(rgb_from_message(message))
    except FrameError as error:
        return error.reason
    return None
