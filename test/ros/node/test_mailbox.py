from threading import Condition

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
