"""Ten thousand messages of a camera gone mad: the node answers those that are images and counts the others by reason."""

import random
from collections import Counter

from builtin_interfaces.msg import Time
from rclpy.serialization import serialize_message
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from mpvss_model import FrameError
from mpvss_model.image import check_frame
from mpvss_ros.messages.conversions import rgb_from_message, stamp_s

MESSAGES = 10_000
BURST = 100
BYTES_PER_PIXEL = {"rgb8": 3, "bgr8": 3, "rgba8": 4, "bgra8": 4, "mono8": 1, "mono16": 2, "bayer_grbg8": 1, "yuv422_yuy2": 2}
SIZES = [(48, 32), (32, 48), (40, 40), (64, 18)]
BROKEN_SHARE = 0.95
REPEATED_SHARE = 0.02


class HostileCamera:
    """Makes messages that are all wrong in some way, or right in an unusual one."""

    def __init__(self, seed):
        self._random = random.Random(seed)
        self._last_stamp = (0, 0)
        self._size = SIZES[0]

    def good(self):
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

    def broken(self):
        """An image with something wrong that no decoder can mend."""
        message = self.good()
        self._random.choice((self._cut, self._squeeze, self._flatten, self._shrink, self._rename, self._inflate))(message)
        return message

    def _header(self):
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

    def _cut(self, message):
        message.data = message.data[: self._random.randrange(message.step * message.height)]

    def _squeeze(self, message):
        message.step = self._random.randrange(message.width * BYTES_PER_PIXEL[message.encoding])

    def _flatten(self, message):
        setattr(message, self._random.choice(("width", "height")), 0)

    def _shrink(self, message):
        setattr(message, self._random.choice(("width", "height")), 2)

    def _rename(self, message):
        message.encoding = self._random.choice(("", "bogus", "32FC1", "rgb8 ", "RGB8", "\u2603" * 1000, "%s%n"))

    def _inflate(self, message):
        setattr(message, self._random.choice(("width", "height", "step")), 2**32 - 1)


def rejection(message):
    """Why the node must refuse a message, whatever came before it; None if it need not."""
    try:
        check_frame(rgb_from_message(message))
    except FrameError as error:
        return error.reason
    return None


def test_the_node_answers_every_valid_image_and_counts_the_others_by_reason(start_node, peer):
    start_node(queue_size=2 * BURST)
    publisher = peer.connect(Image, "/camera/image_raw")
    camera, chance = HostileCamera(seed=0), random.Random(1)
    expected, rejected, last_good, last_stamp_s = [], Counter(), None, None
    for index in range(MESSAGES):
        # Each burst ends with an image that is answered, so that the next one waits for this one.
        is_last = index % BURST == BURST - 1
        message = camera.broken() if chance.random() < BROKEN_SHARE and not is_last else camera.good()
        if chance.random() < REPEATED_SHARE and last_good and not is_last:
            message = last_good
        while is_last and stamp_s(message) == last_stamp_s:
            message = camera.good()
        reason = rejection(message)
        if reason is None and stamp_s(message) == last_stamp_s:
            reason = "duplicate stamp"
        if reason is None:
            last_good, last_stamp_s = message, stamp_s(message)
            expected.append((message.header, message.width, message.height))
        else:
            rejected[reason] += 1
        publisher.publish(message)
        if is_last:
            peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == len(expected))
    assert [(m.header, m.width, m.height) for m in peer.received["/mpvss/labels"]] == expected
    assert len(expected) > 500
    assert {"short buffer", "wrong step", "zero size", "too small", "unknown encoding", "duplicate stamp"} == set(rejected)
    # A report of the moment at which the last burst had arrived and was not yet answered says less.
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == str(len(expected)))
    report = peer.diagnostics()
    assert report["segmentation: input"]["received"] == str(MESSAGES)
    assert report["segmentation: input"]["malformed_by_reason"] == ", ".join(f"{r}: {n}" for r, n in sorted(rejected.items()))
    assert report["segmentation: input"]["dropped"] == "0" and report["segmentation: output"]["unanswered"] == "0"


def test_frame_ids_that_are_no_text_do_not_stop_the_node(start_node, peer):
    start_node()
    publisher = peer.connect(Image, "/camera/image_raw")
    message = HostileCamera(seed=2).good()
    message.header.frame_id = "FRAME"
    for i, frame_id in enumerate((b"\xff\xfe\xc3\x28!", b"A\x00B\x00C", b"\xed\xa0\x80  ", b"FRAME")):
        message.header.stamp = Time(sec=i)
        publisher.publish(serialize_message(message).replace(b"FRAME", frame_id))
        peer.spin_until(lambda: len(peer.received["/mpvss/labels"]) == i + 1)
    assert [m.header.stamp.sec for m in peer.received["/mpvss/labels"]] == [0, 1, 2, 3]
