from threading import Condition, Thread

from mpvss_ros.node.mailbox import FrameMailbox


def test_the_newest_frame_replaces_the_one_that_waits():
    mailbox = FrameMailbox(capacity=1, newest_wins=True, changed=Condition())
    assert [mailbox.put(i) for i in range(3)] == [True, True, True]
    assert mailbox.take() == 2 and mailbox.take() is None
    assert mailbox.dropped == 2


def test_a_full_queue_refuses_the_newcomer_and_keeps_the_order():
    mailbox = FrameMailbox(capacity=2, newest_wins=False, changed=Condition())
    assert [mailbox.put(i) for i in range(3)] == [True, True, False]
    assert [mailbox.take(), mailbox.take(), mailbox.take()] == [0, 1, None]
    assert mailbox.dropped == 1


def test_a_cleared_box_is_empty_and_can_be_filled_again():
    mailbox = FrameMailbox(capacity=2, newest_wins=True, changed=Condition())
    mailbox.put("old")
    mailbox.clear()
    assert len(mailbox) == 0 and mailbox.dropped == 0
    mailbox.put("new")
    assert mailbox.take() == "new"


def test_whoever_may_lose_nothing_waits_for_a_place():
    mailbox = FrameMailbox(capacity=1, newest_wins=False, changed=Condition())
    assert mailbox.put_when_free("first")
    waiting = Thread(target=mailbox.put_when_free, args=["second"])
    waiting.start()
    assert mailbox.take() == "first"
    waiting.join(10.0)
    assert not waiting.is_alive() and mailbox.take() == "second" and mailbox.dropped == 0


def test_nobody_waits_for_a_place_in_a_closed_box():
    mailbox = FrameMailbox(capacity=1, newest_wins=False, changed=Condition())
    mailbox.put("first")
    results = []
    waiting = Thread(target=lambda: results.append(mailbox.put_when_free("second")))
    waiting.start()
    mailbox.close()
    waiting.join(10.0)
    assert results == [False] and len(mailbox) == 1
