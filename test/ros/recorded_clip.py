"""Frames of the shipped clip as messages of the robot's side."""

from array import array
from functools import cache

import numpy as np
from builtin_interfaces.msg import Time
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from mpvss_ros.bags.bag import GROUND_TRUTH_TOPIC, Bag
from mpvss_ros.cli.common.options import SAMPLE_BAG
from mpvss_ros.messages.conversions import image_message, labels_from_message

TOPICS = {
    "labels": GROUND_TRUTH_TOPIC,
    "image": "/camera/image_raw/compressed",
    "depth": "/camera/depth_registered/image_raw",
    "info": "/camera/camera_info",
    "tf": "/tf",
    "tf_static": "/tf_static",
}


@cache
def recorded(name):
    with Bag(SAMPLE_BAG) as bag:
        return list(bag.messages(TOPICS[name]))


def header_of(message):
    stamp = Time(sec=message.header.stamp.sec, nanosec=message.header.stamp.nanosec)
    return Header(stamp=stamp, frame_id=message.header.frame_id)


def label_message(frame):
    message = recorded("labels")[frame]
    return image_message(labels_from_message(message), "mono8", header_of(message))


def color_message(frame):
    message = recorded("image")[frame]
    return CompressedImage(header=header_of(message), format="jpeg", data=array("B", message.data.tobytes()))


def depth_message(frame, encoding="16UC1"):
    message = recorded("depth")[frame]
    values = np.frombuffer(message.data, "<u2")
    if encoding == "32FC1":
        values = (values / 1000).astype("<f4")
    data = array("B", values.tobytes())
    step = len(data) // message.height
    size = {"height": message.height, "width": message.width}
    return Image(header=header_of(message), encoding=encoding, step=step, data=data, **size)


def info_message(frame=0):
    message = recorded("info")[frame]
    return CameraInfo(
        header=header_of(message),
        height=message.height,
        width=message.width,
        distortion_model=message.distortion_model,
        d=message.d,
        k=message.k,
        r=message.r,
        p=message.p,
    )


def points_of(cloud):
    """The points of a cloud as a subscriber reads them: by its fields' names and offsets."""
    names = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 8: "<f8"}
    dtype = np.dtype(
        {
            "names": [field.name for field in cloud.fields],
            "formats": [names[field.datatype] for field in cloud.fields],
            "offsets": [field.offset for field in cloud.fields],
            "itemsize": cloud.point_step,
        }
    )
    assert len(cloud.data) == cloud.row_step * cloud.height and cloud.row_step == cloud.point_step * cloud.width
    return np.frombuffer(bytes(cloud.data), dtype).reshape(cloud.height, cloud.width)
