"""The part of elevation_mapping_cupy's parameters that makes a layer of each class."""

from __future__ import annotations

from mpvss_ros.consumers.label_space import LabelSpace
from mpvss_ros.consumers.yaml_text import yaml_text

__all__ = ["subscriber_yaml"]


def subscriber_yaml(space: LabelSpace) -> str:
    """A subscriber of all classes' scores; the channels are in the order in which they are published."""
    classes = list(space.names.values())
    parameters = {
        "image_channel_fusions": {"default": "exponential"},
        "subscribers": {
            "mpvss": {
                "topic_name": "/mpvss/class_scores",
                "camera_info_topic_name": "/mpvss/camera_info",
                "channels": classes,
                "data_type": "image",
            }
        },
        "publishers": {
            "elevation_map_raw": {"layers": ["elevation", *classes], "basic_layers": ["elevation"], "fps": 5.0},
        },
    }
    return yaml_text({"/elevation_mapping_node": {"ros__parameters": parameters}})
