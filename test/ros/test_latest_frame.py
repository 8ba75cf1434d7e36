from threading import Thread

from mpvss_ros.latest_frame import FrameMailbox


def test_the_newest_frame_replaces_the_one_that_waits():
    mailbox = FrameMailbox(capacity=1, newest_wins=True)
    assert [mailbox.put(i) for i in range(3)] == [True, True, True]
    assert mailbox.take() == 2
    assert mailbox.dropped == 2


def test_a_full_queue_refuses_the_newcomer_and_keeps_the_order():
    mailbox = FrameMailbox(capacity=2, newest_wins=False)
    assert [mailbox.put(i) for i in range(3)] == [True, True, False]
    assert [mailbox.take(), mailbox.take()] == [0, 1]
    assert mailbox.dropped == 1


def test_taking_waits_for_a_frame():
    mailbox, taken = FrameMailbox(capacity=1, newest_wins=True), []
    thread = Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.put("frame")
    thread.join(timeout=5)
    assert taken == ["frame"]


def test_closing_discards_frames_and_wakes_the_taker():
    mailbox, taken = FrameMailbox(capacity=1, newest_wins=True), []
    thread = Thread(target=lambda: taken.append(mailbox.take()))
    thread.start()
    mailbox.close()
    thread.join(timeout=5)
    assert taken == [None]
    assert not mailbox.put("late") and mailbox.take() is None
