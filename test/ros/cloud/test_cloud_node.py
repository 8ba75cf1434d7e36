"""The cloud node: what it publishes, when it works, and what it says is missing."""

import os
from contextlib import suppress

import numpy as np
import pytest
import rclpy
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from mpvss_model import ConfigError
from mpvss_ros.cloud.cloud_maker import CloudMaker
from mpvss_ros.cloud.cloud_node import CloudNode
from mpvss_ros.cloud.parameters import PARAMETERS, CloudConfig
from mpvss_ros.cloud.transforms import NoTransform
from mpvss_ros.messages.conversions import image_message, labels_from_message

from ..recorded_clip import color_message, depth_message, info_message, label_message, points_of
from .test_relabelling import cloud_message

POINTS, STATUS = "/mpvss/points", "/mpvss/cloud: points"
REMAPPED = ("depth:=/depth", "image:=/image", "camera_info_in:=/camera_info")
ARGUMENTS = [text for remapping in REMAPPED for text in ("-r", remapping)]


class Robot:
    """What publishes the inputs of the node."""

    def __init__(self, peer):
        self._peer = peer
        self._publishers = {}

    def offers(self, message_type, topic):
        self._publishers[topic] = self._peer.create_publisher(message_type, topic, 5)

    def offers_everything(self):
        self.offers(Image, "/mpvss/labels")
        self.offers(Image, "/mpvss/confidence")
        self.offers(Image, "/depth")
        self.offers(CompressedImage, "/image/compressed")
        self.offers(CameraInfo, "/camera_info")

    def wait_for_node(self):
        self._peer.spin_until(lambda: all(self._listeners()))

    def sends(self, frame):
        """One frame as it comes: the sensors' messages first, labels last."""
        labels = label_message(frame)
        self._publishers["/camera_info"].publish(info_message(frame))
        self._publishers["/depth"].publish(depth_message(frame))
        self._publishers["/image/compressed"].publish(color_message(frame))
        confidence = np.full((labels.height, labels.width), 204, np.uint8)
        self._publishers["/mpvss/confidence"].publish(image_message(confidence, "mono8", labels.header))
        self._publishers["/mpvss/labels"].publish(labels)

    def is_heard(self):
        return any(self._listeners())

    def _listeners(self):
        """How many there are to each topic; the peer itself listens to labels."""
        return [p.get_subscription_count() - topic.endswith("/labels") for topic, p in self._publishers.items()]


@pytest.fixture
def robot(peer):
    return Robot(peer)


def cloud_of(frame, robot, peer, clouds):
    """The cloud of a frame, which is sent again as long as one of its images, sent with best effort, is lost."""
    stamp = label_message(frame).header.stamp
    for _ in range(10):
        robot.sends(frame)
        with suppress(AssertionError):
            peer.spin_until(lambda: any(cloud.header.stamp == stamp for cloud in clouds), timeout_s=4.0)
        answer = next((cloud for cloud in clouds if cloud.header.stamp == stamp), None)
        if answer is not None:
            return answer
    raise AssertionError(f"no cloud; received {peer.counts()}, {peer.diagnostics()}")


def test_clouds_come_from_another_process_while_somebody_listens(robot, peer, start_process):
    robot.offers_everything()
    process = start_process(*ARGUMENTS, module="cloud.main", image_transport="compressed")
    peer.spin_until_diagnostics(lambda found: STATUS in found)
    threads = os.listdir(f"/proc/{process.process.pid}/task")
    assert len(threads) > 1 and {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in threads} == {
        CloudConfig().niceness
    }
    assert peer.diagnostics()[STATUS]["message"] == "nobody subscribes to /mpvss/points" and not robot.is_heard()
    clouds = peer.received[POINTS] = []
    listening = peer.create_subscription(PointCloud2, POINTS, clouds.append, 5)
    robot.wait_for_node()
    answers = [cloud_of(frame, robot, peer, clouds) for frame in (0, 1)]
    maker = CloudMaker(CloudConfig(), transforms=None)
    for frame, cloud in enumerate(answers):
        labels = label_message(frame)
        assert cloud.header == labels.header and (cloud.height, cloud.width) == (labels.height, labels.width)
        confidence = image_message(np.full((labels.height, labels.width), 204, np.uint8), "mono8", labels.header)
        inputs = {"labels": labels, "depth": depth_message(frame), "image": color_message(frame), "confidence": confidence}
        assert bytes(cloud.data) == bytes(maker.make(inputs, info_message(frame)).data)
    peer.spin_until_diagnostics(lambda found: int(found[STATUS]["published"]) >= 2)
    peer.destroy_subscription(listening)
    peer.spin_until(lambda: not robot.is_heard())
    code, _ = process.end()
    assert (code, "Traceback" in process.log()) == (0, False), process.log()


@pytest.fixture
def start_cloud(peer):
    """A cloud node in this process, to be turned by hand, to whose clouds the peer listens."""
    nodes = []

    def start(*arguments, **parameters):
        nodes.append(
            CloudNode(
                parameter_overrides=[Parameter(name, value=value) for name, value in parameters.items()],
                cli_args=["--ros-args", *ARGUMENTS, *arguments],
            )
        )
        peer.listen(PointCloud2, POINTS)
        executor = SingleThreadedExecutor()
        executor.add_node(nodes[-1])

        def is_listening():
            executor.spin_once(timeout_sec=0.01)
            return bool(nodes[-1]._inputs)

        peer.spin_until(is_listening)
        return nodes[-1]

    yield start
    for node in nodes:
        node.destroy_node()


def troubles(node, silent_s=10.0):
    """What the node would report if it had waited so long."""
    node._began_s -= silent_s
    return list(node._troubles())


def test_what_is_missing_is_named_with_its_topic(start_cloud, peer):
    node = start_cloud()
    labels, depth, image, info = troubles(node)
    assert labels == "nobody publishes /mpvss/labels: remap labels to the topic that has it"
    assert depth == "nobody publishes /depth: remap depth to the topic that has it"
    assert "nobody publishes /image" in image and "nobody publishes /camera_info" in info


def test_a_topic_of_another_type_is_named_with_both(start_cloud, peer):
    node = start_cloud(source="cloud")
    context = Context()  # for DDS another process
    rclpy.init(args=[], context=context)
    driver = rclpy.create_node("driver", context=context)
    driver.create_publisher(Image, "/mpvss/cloud_in", 1)
    peer.spin_until(lambda: node.count_publishers("/mpvss/cloud_in"))
    assert troubles(node)[0] == "/mpvss/cloud_in is sensor_msgs/msg/Image, and cloud_in wants PointCloud2"
    driver.destroy_node()
    rclpy.shutdown(context=context)


def test_stamps_that_do_not_meet_are_named(start_cloud):
    node = start_cloud(colors="classes", slop_s=0.01)
    node._on_info(info_message())
    late = depth_message(3)
    node._on_message("depth", late)
    node._on_message("labels", label_message(0))
    (text,) = troubles(node, silent_s=0.0)
    assert text.startswith(
        "/depth has nothing within 0.01 s of the stamps of /mpvss/labels, the nearest is +0.200 s off: raise"
    )


def test_frames_that_do_not_fit_together_are_named_and_the_next_one_is_answered(start_cloud, peer):
    node = start_cloud(colors="classes", confidence=False)
    wrong = info_message()
    wrong.width = 240
    for frame, info in ((0, wrong), (1, info_message())):
        node._on_info(info)
        node._on_message("depth", depth_message(frame))
        node._on_message("labels", label_message(frame))
    (text,) = troubles(node, silent_s=0.0)
    assert text.startswith("no cloud: calibration: camera_info is of 240 x 240 pixels, the depth image has 320 x 240")
    peer.spin_until(lambda: peer.received[POINTS])
    (cloud,) = peer.received[POINTS]
    assert cloud.header.stamp == label_message(1).header.stamp
    np.testing.assert_array_equal(points_of(cloud)["label"], labels_from_message(label_message(1)))


def test_depth_in_another_frame_than_the_labels_is_named(start_cloud):
    node = start_cloud(colors="classes", confidence=False)
    node._on_info(info_message())
    for frame, frame_id, count in ((0, "camera_depth_optical_frame", 1), (1, label_message(1).header.frame_id, 0)):
        depth = depth_message(frame)
        depth.header.frame_id = frame_id
        node._on_message("depth", depth)
        node._on_message("labels", label_message(frame))
        texts = troubles(node, silent_s=0.0)
        assert len(texts) == count
        assert not texts or texts[0].startswith(f"/depth is in frame '{frame_id}', which is not that of the labels")


class LateTransforms:
    """Knows where the LiDAR is from some moment on."""

    is_known = False

    def matrix(self, header, camera_header):
        if not self.is_known:
            raise NoTransform("transform", "from 'lidar' to 'camera': extrapolation into the future")
        return None


@pytest.mark.parametrize("wait_s", [10.0, 0.0])
def test_a_cloud_waits_for_its_transform_but_not_for_ever(start_cloud, peer, wait_s):
    node = start_cloud(source="cloud", confidence=False, transform_wait_s=wait_s)
    transforms = node._maker._transforms = LateTransforms()
    node._on_info(info_message())
    cloud = cloud_message(np.array([[0.0, 0.1, 2.0]]), frame_id="lidar")
    node._on_message("labels", label_message(0))
    node._on_message("cloud_in", cloud)
    failed = "no cloud: transform: from 'lidar' to 'camera': extrapolation into the future"
    assert troubles(node, silent_s=0.0) == ([] if wait_s else [failed])
    transforms.is_known = True
    node._answer_what_waits()
    assert (node._published, node._failed) == ((1, 0) if wait_s else (0, 1))


def test_a_calibration_that_was_sent_once_and_latched_is_heard(start_cloud, peer):
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    peer.create_publisher(CameraInfo, "/camera_info", latched).publish(info_message())
    node = start_cloud()
    peer.spin_until(lambda: node.count_publishers("/camera_info"))
    node._follow_publishers()
    executor = SingleThreadedExecutor()
    executor.add_node(node)

    def is_heard():
        executor.spin_once(timeout_sec=0.01)
        return node._info is not None

    peer.spin_until(is_heard)
    assert node._info.k.tolist() == info_message().k.tolist()


def test_parameters_are_checked_and_misspelt_ones_named(start_cloud, capfd):
    with pytest.raises(ConfigError, match="parameter 'source' must be one of depth, cloud, got 'lidar'"):
        start_cloud(source="lidar")
    with pytest.raises(ConfigError, match=r"parameter 'max_depth_m' must be in 0.0 .. 1000.0, got -1.0"):
        start_cloud(max_depth_m=-1.0)
    qos = {"qos_overrides./depth.subscription.depth": 1, "qos_overrides./mpvss/points.publisher.depth": 1}
    node = start_cloud(max_depth=2.0, **qos)
    warnings = capfd.readouterr().err
    assert "parameter 'max_depth' is unknown and has no effect: did you mean 'max_depth_m'" in warnings
    assert "'qos_overrides./depth.subscription.depth' has no effect: only /mpvss/points has such" in warnings
    assert "points.publisher" not in warnings
    assert {p.name: p.default for p in PARAMETERS} == vars(CloudConfig()) == vars(node.config)


def reliabilities(node, *topics):
    """With which the node listens, in words."""
    infos = [node.get_subscriptions_info_by_topic(topic) for topic in topics]
    return [next(i.qos_profile.reliability.name.lower() for i in found if i.node_name == "cloud") for found in infos]


def test_it_listens_as_reliably_as_the_publisher_sends(start_cloud, peer):
    peer.create_publisher(Image, "/depth", QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE))
    node = start_cloud(colors="classes")
    peer.spin_until(lambda: node.count_publishers("/depth"))
    node._follow_publishers()
    assert reliabilities(node, "/depth", "/camera_info") == ["reliable", "best_effort"]
    # A second one, that a reliable subscription would not hear.
    peer.create_publisher(Image, "/depth", QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT))
    peer.spin_until(lambda: node.count_publishers("/depth") == 2)
    node._follow_publishers()
    assert reliabilities(node, "/depth") == ["best_effort"]
