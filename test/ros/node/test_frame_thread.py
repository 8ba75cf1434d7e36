from collections import Counter
from threading import Condition, Event

import pytest

from mpvss_ros.node.frame_thread import FrameThread
from mpvss_ros.node.mailbox import FrameMailbox

TIMEOUT_S = 10.0


class Bench:
    """Mailboxes by name with one thread that works on them, and a record of what it worked on."""

    def __init__(self, *names):
        self.changed = Condition()
        self.boxes = {n: FrameMailbox(capacity=100, newest_wins=False, changed=self.changed) for n in names}
        self.done = []
        self.started, self.gate = Event(), Event()
        self.thread = FrameThread(
            changed=self.changed, work=[(box, lambda f, n=name: self.process(n, f)) for name, box in self.boxes.items()]
        )

    def process(self, name, frame):
        self.started.set()
        assert self.gate.wait(TIMEOUT_S)
        with self.changed:
            self.done.append((name, frame))
            self.changed.notify_all()

    def wait_for(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.done) == count, TIMEOUT_S)


@pytest.fixture
def bench():
    benches = []

    def make(*names):
        benches.append(Bench(*names))
        return benches[-1]

    yield make
    for made in benches:
        made.gate.set()
        assert made.thread.stop(TIMEOUT_S)


def test_frames_of_one_camera_are_worked_on_in_order(bench):
    one = bench("front")
    one.gate.set()
    for i in range(20):
        one.boxes["front"].put(i)
    one.wait_for(20)
    assert one.done == [("front", i) for i in range(20)]


def test_cameras_take_turns_however_many_frames_each_has_waiting(bench):
    three = bench("front", "left", "rear")
    for name, count in (("front", 20), ("left", 5), ("rear", 10)):
        for i in range(count):
            three.boxes[name].put(i)
    three.gate.set()
    three.wait_for(35)
    # The first frame was taken before the others came.
    assert Counter(name for name, _ in three.done[1:16]) == {"front": 5, "left": 5, "rear": 5}
    assert Counter(name for name, _ in three.done[16:26]) == {"front": 5, "rear": 5}
    for name, count in (("front", 20), ("left", 5), ("rear", 10)):
        assert [i for n, i in three.done if n == name] == list(range(count))


def test_stopping_finishes_the_frame_at_hand_and_discards_the_others(bench):
    one = bench("front")
    for i in range(5):
        one.boxes["front"].put(i)
    assert one.started.wait(TIMEOUT_S)
    assert not one.thread.stop(0.05)
    one.gate.set()
    assert one.thread.stop(TIMEOUT_S)
    assert one.done == [("front", 0)]
