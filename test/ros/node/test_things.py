"""The topics of single things: computed for their subscribers only, under the header of the camera's image."""

import numpy as np
import pytest
from sensor_msgs.msg import Image

from mpvss_model import VideoSegmentor
from mpvss_model.instances.panoptic import Panoptic, Segment
from mpvss_model.propagation.registry import make_propagator
from mpvss_ros.messages.conversions import image_message
from mpvss_ros.node.class_map import ClassMap
from mpvss_ros.node.instance_outputs import published_panoptic
from test.thing_segmentor import ThingSegmentor, frame_with

from ..conftest import header

FRAMES = [frame_with({200: (8 + 2 * i, 8), 151: (60, 40)}) for i in range(8)]


def thing_model(*args, config, **kwargs):
    return VideoSegmentor(
        segmentor=ThingSegmentor(), propagator=make_propagator("tracked", motion=None), config=config, things={1, 2}
    )


def segment_image(message):
    assert message.encoding == "32SC1" and message.step == 4 * message.width
    return np.frombuffer(message.data, np.int32).reshape(message.height, message.width)


def test_panoptic_images_have_class_and_lasting_instance_of_each_pixel(start_node, peer):
    node = start_node(load_model=thing_model, max_interval_frames=2, class_map=["plate=dish", "cup=dish"])
    camera = peer.connect(Image, "/camera/image_raw")
    peer.send(camera, [image_message(FRAMES[0], "rgb8", header(0))])
    assert not node._cameras[0]._stream.follows_things  # nobody wants to know
    peer.listen(Image, "/mpvss/panoptic")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/panoptic"))
    images = [image_message(frame, "rgb8", header(1 + i)) for i, frame in enumerate(FRAMES)]
    found = peer.send(camera, images, labels="/mpvss/panoptic")
    assert [m.header for m in found] == [m.header for m in images]
    for message, frame in zip(found, FRAMES, strict=True):
        image = segment_image(message)
        cup, plate = (np.bincount(image[frame[..., 0] == value]).argmax() for value in (200, 151))
        assert {cup >> 16, plate >> 16} == {1} and {cup & 0xFFFF, plate & 0xFFFF} == {1, 2}
        assert image[90, 5] == 0  # stuff of class 0
        assert cup == np.bincount(segment_image(found[0])[FRAMES[0][..., 0] == 200]).argmax()


def test_a_model_without_things_says_so_once_somebody_asks(start_node, peer, frames, capfd):
    start_node()
    camera = peer.connect(Image, "/camera/image_raw")
    peer.listen(Image, "/mpvss/panoptic")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/panoptic"))
    peer.send(camera, [image_message(frame, "rgb8", header(i)) for i, frame in enumerate(frames[:3])])
    log = capfd.readouterr().err
    assert log.count("nothing is published on panoptic and instances: model tiny-mask2former") == 1
    assert peer.received["/mpvss/panoptic"] == []


def test_things_can_be_named_by_a_parameter(start_node, peer, frames, capfd):
    start_node(thing_classes=["robot"])
    camera = peer.connect(Image, "/camera/image_raw")
    peer.listen(Image, "/mpvss/panoptic")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/panoptic"))
    (found,) = peer.send(camera, [image_message(frames[0], "rgb8", header(0))], labels="/mpvss/panoptic")
    assert segment_image(found).shape == (48, 64)
    with pytest.raises(AssertionError):
        start_node(thing_classes=["lamp"])
    assert "thing_classes names the class 'lamp', which the model does not have" in capfd.readouterr().err


def test_published_segments_are_of_published_classes_at_the_published_size():
    encoded = np.repeat(np.array([[(2 << 16) | 70, (1 << 16) | 5, 0, 255 << 16]], np.int32), 2, axis=0)
    panoptic = Panoptic(encoded, (Segment(2, 70, 0.9, (0, 0, 1, 2), 2),))
    class_map = ClassMap(("wall", "cup", "plate"), ("cup=", "plate=dish"))
    expected = [(1 << 16) | 70, 255 << 16, 0, 255 << 16]
    assert published_panoptic(panoptic, class_map, None).tolist() == [expected, expected]
    assert published_panoptic(panoptic, class_map, (8, 1)).tolist() == [[n for n in expected for _ in range(2)]]


def test_detections_have_class_score_box_and_id(start_node, peer):
    vision_msgs = pytest.importorskip("vision_msgs.msg")
    start_node(load_model=thing_model, class_map=["plate="], output_size=[64, 48])
    camera = peer.connect(Image, "/camera/image_raw")
    peer.listen(vision_msgs.Detection2DArray, "/mpvss/instances")
    peer.spin_until(lambda: peer.count_publishers("/mpvss/instances"))
    (found,) = peer.send(camera, [image_message(FRAMES[0], "rgb8", header(0))], labels="/mpvss/instances")
    (detection,) = found.detections
    assert found.header == header(0) == detection.header and detection.id in ("1", "2")
    assert detection.results[0].hypothesis.class_id == "cup" and detection.results[0].hypothesis.score > 0.99
    centre = detection.bbox.center.position
    assert (centre.x, centre.y, detection.bbox.size_x, detection.bbox.size_y) == (10.0, 10.0, 12.0, 12.0)
