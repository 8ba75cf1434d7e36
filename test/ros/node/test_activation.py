"""What is published, and what never, when a frame is at work while the node is told something else."""

import pytest
import rclpy
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rclpy.context import Context
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, TimeReference
from std_srvs.srv import SetBool, Trigger

from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.segmentation_node import SegmentationNode

from ..conftest import FaultyModel, header

LABELS = "/mpvss/labels"
KEY_FRAME = "/mpvss/key_frame"
INPUT = "segmentation: input"


@pytest.fixture
def messages(frames):
    return [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames)]


@pytest.fixture
def model():
    return FaultyModel()


@pytest.fixture
def change(peer):
    """Ask for lifecycle transitions, as a manager would."""

    def ask(*transitions):
        for transition in transitions:
            request = ChangeState.Request(transition=Transition(id=transition))
            assert peer.call(ChangeState, "/mpvss/segmentation/change_state", request).success

    return ask


@pytest.fixture
def camera_with_frame_at_work(start_node, peer, messages, model):
    """A node that has answered frame 0 and has frame 1 at work, without an end; returns the camera."""
    start_node(load_model=model, max_interval_frames=1)
    peer.listen(TimeReference, KEY_FRAME)
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, messages[:1])
    model.segmentor.block()
    begun = len(model.segmentor.stamps_s)
    camera.publish(messages[1])
    peer.spin_until(lambda: len(model.segmentor.stamps_s) > begun)
    yield camera
    model.segmentor.unblock()


def answered(peer):
    return [m.header.stamp for m in peer.received[LABELS]]


def stamps(*indices):
    return [header(i).stamp for i in indices]


def reconnected(peer, camera, wait_for=1):
    """The camera, once the node has subscribed to it."""
    peer.spin_until(lambda: camera.get_subscription_count() == wait_for)
    return camera


def test_no_frame_of_an_earlier_activation_is_answered(camera_with_frame_at_work, peer, messages, model, change):
    camera = camera_with_frame_at_work
    camera.publish(messages[2])
    change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    reconnected(peer, camera).publish(messages[3])
    model.segmentor.unblock()
    peer.spin_until(lambda: len(peer.received[LABELS]) == 2)
    peer.send(camera, messages[4:6])
    assert answered(peer) == stamps(0, 3, 4, 5)
    peer.spin_until_diagnostics(lambda d: d["segmentation: output"]["published"] == "4")
    report = peer.diagnostics()[INPUT]
    # What waited, or came while the node did not listen, is not answered either; all that came is accounted for.
    assert int(report["received"]) == 4 + int(report["dropped"])
    assert set(report["dropped_by_reason"].split(":")[::2]) == {"deactivated"}


def test_a_model_that_hangs_keeps_no_other_from_working(camera_with_frame_at_work, peer, messages, model, change):
    hanging = model.segmentor
    change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_ACTIVATE)
    change(Transition.TRANSITION_DEACTIVATE, Transition.TRANSITION_CLEANUP)
    change(Transition.TRANSITION_CONFIGURE, Transition.TRANSITION_ACTIVATE)
    assert model.segmentor is not hanging
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, messages[2:4])
    hanging.unblock()
    peer.send(camera, messages[4:6])
    assert answered(peer) == stamps(0, 2, 3, 4, 5)


def test_nothing_is_published_after_the_node_was_disabled(camera_with_frame_at_work, peer, messages, model):
    camera = camera_with_frame_at_work
    camera.publish(messages[2])
    peer.spin_until_diagnostics(lambda d: d[INPUT]["received"] == "3")
    assert peer.call(SetBool, "/mpvss/segmentation/set_enabled", SetBool.Request(data=False)).success
    assert peer.call(SetBool, "/mpvss/segmentation/set_enabled", SetBool.Request(data=True)).success
    camera.publish(messages[3])
    model.segmentor.unblock()
    peer.spin_until(lambda: len(peer.received[LABELS]) == 2)
    assert answered(peer) == stamps(0, 3)
    peer.spin_until_diagnostics(lambda d: d[INPUT]["dropped_by_reason"] == "disabled: 2")


def test_no_answer_from_before_a_reset_comes_after_it(camera_with_frame_at_work, peer, messages, model):
    camera = camera_with_frame_at_work
    assert peer.set_parameters(max_interval_frames=100).successful
    assert peer.call(Trigger, "/mpvss/segmentation/reset", Trigger.Request()).success
    model.segmentor.unblock()
    peer.send(camera, messages[2:4])
    assert answered(peer) == stamps(0, 2, 3)
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == 3)
    assert [r.source for r in peer.received[KEY_FRAME]] == ["key", "key", "propagated"]
    peer.spin_until_diagnostics(lambda d: d[INPUT]["dropped_by_reason"] == "reset: 1")


def test_a_live_parameter_waits_for_the_end_of_the_frame(camera_with_frame_at_work, peer, messages, model):
    camera = camera_with_frame_at_work
    assert peer.set_parameters(output_size=[32, 24], max_interval_frames=100).successful
    model.segmentor.unblock()
    peer.spin_until(lambda: len(peer.received[LABELS]) == 2)
    peer.send(camera, messages[2:4])
    assert [(m.width, m.height) for m in peer.received[LABELS]] == [(64, 48), (64, 48), (32, 24), (32, 24)]
    peer.spin_until(lambda: len(peer.received[KEY_FRAME]) == 4)
    assert [r.source for r in peer.received[KEY_FRAME]] == ["key", "key", "propagated", "propagated"]


def test_a_parameter_that_is_set_while_the_node_is_inactive_holds_when_it_works(start_node, peer, messages, change):
    node = start_node(output_size=[16, 12])
    change(Transition.TRANSITION_DEACTIVATE)
    assert peer.set_parameters(output_size=[32, 24]).successful
    change(Transition.TRANSITION_ACTIVATE)
    (answer,) = peer.send(peer.connect(Image, "/camera/image_raw"), messages[:1])
    assert (answer.width, answer.height) == (32, 24)
    assert node.config.label_size == (32, 24)


def test_an_inactive_node_says_so(start_node, peer, change):
    start_node()
    change(Transition.TRANSITION_DEACTIVATE)
    peer.spin_until_diagnostics(lambda d: d[INPUT]["message"].startswith("inactive"))


def test_a_node_leaves_the_graph_though_its_segmentor_is_inside_a_frame(tiny_checkpoint, peer, messages, model):
    context = Context()
    rclpy.init(args=[], context=context)
    values = {"model": tiny_checkpoint, "threads": 1, "key_frames": "sync"}
    node = SegmentationNode(
        load_model=model, context=context, parameter_overrides=[Parameter(n, value=v) for n, v in values.items()]
    )
    node.trigger_configure()
    node.trigger_activate()
    peer.spin_until(lambda: "segmentation" in peer.get_node_names())
    model.segmentor.block()
    begun = len(model.segmentor.stamps_s)
    node._cameras[0].mailbox.put(messages[0])
    peer.spin_until(lambda: len(model.segmentor.stamps_s) > begun)
    node.release(timeout_s=0.1)
    node.destroy_node()
    peer.spin_until(lambda: "segmentation" not in peer.get_node_names(), timeout_s=2.0)
    model.segmentor.unblock()
    rclpy.shutdown(context=context)
