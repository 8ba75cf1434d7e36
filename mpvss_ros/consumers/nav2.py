"""The part of a nav2 costmap's parameters that is for its semantic segmentation layer."""

from __future__ import annotations

from mpvss_ros.consumers.label_space import LabelSpace
from mpvss_ros.consumers.yaml_text import yaml_text

__all__ = ["costmap_yaml"]

LETHAL = 254
HEAD = """\
# For local_costmap or global_costmap of nav2's parameters: add semantic_segmentation_layer to its plugins.
# width x height of pointcloud_topic must be those of the labels; it must be organised, and of the same camera.
"""


def costmap_yaml(space: LabelSpace) -> str:
    """A layer with all classes in it: the layer logs an error for each class that it does not know."""
    people = space.names_of("dynamic")
    surfaces = [name for name in space.names_of("surfaces") if name not in people]
    others = [name for name in space.names.values() if name not in (*people, *surfaces)]
    types = {
        "traversable": _class_type(surfaces, cost=0, samples=0),
        # One sure sight is not enough: a class at the edge of another may be wrong for a frame.
        "obstacle": _class_type(others, cost=LETHAL, samples=3),
        "moving": _class_type(people, cost=LETHAL, samples=0, dominant=True),
    }
    types = {name: values for name, values in types.items() if values["classes"]}
    camera = {
        "segmentation_topic": "/mpvss/labels",
        "confidence_topic": "/mpvss/confidence",
        "labels_topic": "/mpvss/label_info",
        "pointcloud_topic": "/camera/depth_registered/points",
        "max_obstacle_distance": 5.0,
        "min_obstacle_distance": 0.3,
        "tile_map_decay_time": 5.0,
        "class_types": list(types),
        **types,
    }
    layer = {
        "plugin": "semantic_segmentation_layer::SemanticSegmentationLayer",
        "enabled": True,
        "observation_sources": "camera",
        "camera": camera,
    }
    return HEAD + yaml_text({"semantic_segmentation_layer": layer})


def _class_type(classes: list[str], *, cost: int, samples: int, dominant: bool = False) -> dict[str, object]:
    return {
        "classes": list(dict.fromkeys(classes)),
        "base_cost": 0 if samples else cost,
        "max_cost": cost,
        "mark_confidence": 128 if samples else 0,
        "samples_to_max_cost": samples,
        "dominant_priority": dominant,
    }
