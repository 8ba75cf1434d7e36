"""Who reads the labels, each as its own sources do it, against a node with the parameters and topics of its profile.

Quality of service, topics, synchronization, encodings and sizes are those of kiwicampus/semantic_segmentation_layer,
MIT-SPARK/Hydra-ROS and MIT-SPARK/Hydra, leggedrobotics/elevation_mapping_cupy and NVIDIA-ISAAC-ROS/isaac_ros_nvblox.
"""

import itertools
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import yaml
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data, qos_profile_system_default
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from mpvss_ros.consumers.files import CONSUMERS
from mpvss_ros.messages.conversions import image_message

from ..conftest import header
from ..synchronizer import synchronize

PROFILES = Path(__file__).parents[3] / "config" / "profiles"
CLASSES = ("background", "robot", "wall")
WIDTH, HEIGHT = 64, 48
MOST_FRAMES = 200
K = [50.0, 0.0, 32.0, 0.0, 50.0, 24.0, 0.0, 0.0, 1.0]
SENSOR_DATA_50 = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=5, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)


def profile_arguments(name, *, color="/camera/image_raw", color_info="/camera/camera_info", **others):
    """Parameters and remappings of a profile, as the launch file hands them on for one camera."""
    profile = yaml.safe_load((PROFILES / f"{name}.yaml").read_text())
    remappings = {
        name: topic.replace("{camera}", "camera").replace("{index}", "0")
        for name, topic in profile.get("remappings", {}).items()
    }
    remappings |= {"image": color, "camera_info_in": color_info}
    arguments = [text for pair in remappings.items() for text in ("-r", ":=".join(pair))]
    return arguments, {**profile["parameters"], "mode": "lossless", **others}


class Camera:
    """An RGB-D camera whose messages of one moment have one header; its depth is registered."""

    def __init__(self, peer, *, color="/camera/image_raw", color_info="/camera/camera_info", labels="/mpvss/labels"):
        self._peer = peer
        self.color = peer.create_publisher(Image, color, 10)
        self.color_info = peer.create_publisher(CameraInfo, color_info, 10)
        self.depth = peer.create_publisher(Image, "/hydra/input/camera/depth_registered/image_rect", 10)
        self.cloud = peer.create_publisher(PointCloud2, "/camera/points", qos_profile_sensor_data)
        self._labels = labels
        peer.listen(Image, labels)

    def publish_until(self, condition, frames):
        """One frame after the other, each when the one before has its labels, until it is enough."""
        peer = self._peer
        for publisher in (self.color, self.color_info):
            own = sum(subscription.topic_name == publisher.topic_name for subscription in peer.subscriptions)
            peer.spin_until(lambda publisher=publisher, own=own: publisher.get_subscription_count() > own)
        peer.spin_until(lambda: peer.count_publishers(self._labels))
        for i in itertools.count():
            if condition():
                return
            assert i < MOST_FRAMES, f"{i} frames have labels, but too few of them arrived together with the rest"
            stamp = header(i)
            self.color_info.publish(CameraInfo(header=stamp, width=WIDTH, height=HEIGHT, k=K))
            self.depth.publish(image_message(np.full((HEIGHT, WIDTH), 1500, np.uint16), "16UC1", stamp))
            self.cloud.publish(PointCloud2(header=stamp, width=WIDTH, height=HEIGHT))
            peer.send(self.color, [image_message(frames[i % len(frames)], "rgb8", stamp)], labels=self._labels)


class SegmentationLayer:
    """nav2's semantic segmentation layer: its subscriptions, and what it does to masks before they become costs."""

    def __init__(self, node):
        self.frames, self.ids = [], {}
        topics = ((Image, "/mpvss/labels"), (Image, "/mpvss/confidence"), (PointCloud2, "/camera/points"))
        self.sync = synchronize(node, topics, self._on_frame, qos=SENSOR_DATA_50, slop_s=0.1, queue_size=1000)
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            return
        node.create_subscription(LabelInfo, "/mpvss/label_info", self._on_label_info, LATCHED)

    def _on_label_info(self, info):
        self.ids = {entry.class_name: entry.class_id for entry in info.class_map}

    def _on_frame(self, mask, confidence, cloud):
        assert mask.width * mask.height == cloud.width * cloud.height
        assert len(mask.data) >= mask.width * mask.height and len(confidence.data) >= mask.width * mask.height
        # It looks neither at encoding nor at step.
        ids = np.array([mask.data[v * mask.width + u] for v in range(mask.height) for u in range(mask.width)])
        self.frames.append(SimpleNamespace(mask=mask, confidence=confidence, ids=ids))


class ElevationMapping:
    """elevation_mapping_cupy's image subscriber, from the parameters that are written for it."""

    def __init__(self, node, text):
        parameters = yaml.safe_load(text)["/elevation_mapping_node"]["ros__parameters"]
        (config,) = parameters["subscribers"].values()
        assert config["data_type"] == "image"
        self.channels, self.frames = config["channels"], []
        topics = ((Image, config["topic_name"]), (CameraInfo, config["camera_info_topic_name"]))
        self.sync = synchronize(node, topics, self._on_frame, qos=10, slop_s=0.5)

    def _on_frame(self, image, info):
        # What cv_bridge's passthrough makes of it: one type and a number of channels, taken from the encoding.
        kind, channels = image.encoding.split("C")
        assert kind == "32F" and image.step == image.width * 4 * int(channels)
        pixels = np.frombuffer(image.data, "<f4").reshape(image.height, image.width, int(channels))
        layers = [pixels[:, :, k] for k in range(pixels.shape[2])]
        self.frames.append(SimpleNamespace(image=image, info=info, layers=layers))


class HydraInput:
    """Hydra's ClosedSetImageReceiver, and what Hydra makes of its images."""

    def __init__(self, node, text):
        space = yaml.safe_load(text)
        self.total, self.frames = space["total_semantic_labels"], []
        self.names = {entry["label"]: entry["name"] for entry in space["label_names"]}
        base = "/hydra/input/camera"
        topics = ((Image, f"{base}/rgb/image_raw"), (Image, f"{base}/depth_registered/image_rect"))
        topics += ((Image, f"{base}/semantic/image_raw"),)
        self.sync = synchronize(node, topics, self._on_frame, qos=QoSProfile(depth=10), slop_s=0.02, queue_size=30)

    def _on_frame(self, color, depth, semantic):
        types = {"mono8": "u1", "8UC1": "u1", "16UC1": "<u2", "16SC1": "<i2", "32SC1": "<i4"}
        labels = (
            np.frombuffer(semantic.data, types[semantic.encoding]).reshape(semantic.height, semantic.width).astype(np.int32)
        )
        assert (depth.height, depth.width) == labels.shape == (color.height, color.width)
        # A voxel's label is unsigned; the largest one is no label, and others beyond the label space are errors.
        unsigned = labels.view(np.uint32)
        has_label = unsigned != np.iinfo(np.uint32).max
        assert (unsigned[has_label] < self.total).all()
        self.frames.append(SimpleNamespace(color=color, semantic=semantic, labels=labels, has_label=has_label))


class Nvblox:
    """nvblox_node with use_segmentation: color and mask, each with its calibration, at exactly one stamp."""

    def __init__(self, node):
        self.frames = []
        base = "/camera_0"
        topics = [(Image, f"{base}/color/image"), (CameraInfo, f"{base}/color/camera_info")]
        topics += [(Image, f"{base}/mask/image"), (CameraInfo, f"{base}/mask/camera_info")]
        self.sync = synchronize(node, topics, self._on_frame, qos=qos_profile_system_default, slop_s=0.0)

    def _on_frame(self, color, color_info, mask, mask_info):
        assert mask.encoding == "mono8" and (mask.height, mask.width) == (color.height, color.width)
        # Rows are taken to have no padding; whatever is not 0 is masked.
        is_masked = np.frombuffer(mask.data, np.uint8).reshape(mask.height, mask.width) != 0
        self.frames.append(
            SimpleNamespace(color=color, color_info=color_info, mask=mask, mask_info=mask_info, masked=is_masked)
        )


def test_nav2_buffers_masks_that_lie_on_its_cloud(start_process, peer, frames):
    layer = SegmentationLayer(peer)
    arguments, parameters = profile_arguments("nav2", class_map=["wall="])
    node = start_process(*arguments, **parameters)
    Camera(peer).publish_until(lambda: len(layer.frames) >= 3, frames)
    known = {0, 1}  # background and robot; pixels of a wall have the id of no class, which the layer passes over
    for frame in layer.frames:
        assert frame.mask.header == frame.confidence.header and frame.mask.encoding == "mono8"
        assert set(np.unique(frame.ids)) <= known | {255}
    try:
        import vision_msgs.msg  # noqa: F401
    except ImportError:
        assert "the topic label_info is not published" in node.log()
    else:
        assert layer.ids == {"background": 0, "robot": 1}


def test_elevation_mapping_gets_a_layer_of_each_class_with_a_calibration_of_its_size(start_process, peer, frames):
    files = CONSUMERS["elevation_mapping"].files(CLASSES)
    mapping = ElevationMapping(peer, files["elevation_mapping.yaml"])
    arguments, parameters = profile_arguments("elevation_mapping")
    start_process(*arguments, **parameters)
    Camera(peer).publish_until(lambda: len(mapping.frames) >= 2, frames)
    for frame in mapping.frames:
        assert len(frame.layers) == len(mapping.channels) == 3
        assert frame.image.header.frame_id == "camera_color_optical_frame"
        np.testing.assert_allclose(sum(frame.layers), 1.0, atol=1e-4)
        assert (frame.info.width, frame.info.height) == (frame.image.width, frame.image.height) == (320, 240)
        np.testing.assert_allclose(frame.info.k, [250, 0, 160, 0, 250, 120, 0, 0, 1])


def test_hydra_gets_labels_of_its_label_space(start_process, peer, frames):
    entries = ("wall=",)
    files = CONSUMERS["hydra"].files(CLASSES, class_map=entries)
    hydra = HydraInput(peer, files["label_space.yaml"])
    color = "/hydra/input/camera/rgb/image_raw"
    arguments, parameters = profile_arguments("hydra", color=color, class_map=list(entries))
    start_process(*arguments, **parameters)
    camera = Camera(peer, color=color, labels="/hydra/input/camera/semantic/image_raw")
    camera.publish_until(lambda: len(hydra.frames) >= 3, frames)
    assert hydra.names == {0: "background", 1: "robot"} and hydra.total == 2
    for frame in hydra.frames:
        assert frame.semantic.encoding == "16SC1" and frame.semantic.header == frame.color.header
        assert set(np.unique(frame.labels[~frame.has_label])) <= {-1}


def test_nvblox_masks_people_and_nothing_else(start_process, peer, frames):
    nvblox = Nvblox(peer)
    # The checkpoint knows no people.
    color, info = "/camera_0/color/image", "/camera_0/color/camera_info"
    arguments, parameters = profile_arguments("nvblox", color=color, color_info=info, class_map=["robot=person", "*="])
    start_process(*arguments, **parameters)
    camera = Camera(peer, color=color, color_info=info, labels="/camera_0/mask/image")
    camera.publish_until(lambda: len(nvblox.frames) >= 2, frames)
    for frame in nvblox.frames:
        assert frame.mask.header == frame.mask_info.header == frame.color.header
        assert (frame.mask_info.width, frame.mask_info.height) == (WIDTH, HEIGHT) and list(frame.mask_info.k) == K
        assert set(frame.mask.data) <= {0, 1}
