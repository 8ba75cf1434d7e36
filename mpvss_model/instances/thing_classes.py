"""Which of a model's classes are things, that can be counted, such as chairs; all others are stuff, such as walls.

A ``config.json`` of ``transformers`` does not say: its users pass it to the library's post-processing themselves.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from mpvss_model.errors import ConfigError

__all__ = ["thing_classes", "why_none"]

# Of the 133 classes of COCO's panoptic segmentation, things come first; of 80 classes, all are things.
COCO_THINGS, COCO_CLASSES = 80, 133
# Both data sets have the same classes for semantic segmentation, where a class is one mask: only the name tells.
TRAINED_FOR_INSTANCES = re.compile(r"panoptic|instance", re.IGNORECASE)
ADE20K_CLASSES = 150
ADE20K_STUFF = (
    *(0, 1, 2, 3, 4, 5, 6, 9, 11, 13, 16, 17, 21, 25, 26, 28, 29, 34, 40, 46, 48, 51, 52, 54, 59, 60, 61, 63, 68, 77, 79),
    *(84, 91, 94, 96, 99, 100, 101, 105, 106, 109, 113, 114, 117, 122, 128, 131, 140, 141, 145),
)
CITYSCAPES_CLASSES = 19
CITYSCAPES_THINGS = ("person", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def thing_classes(class_names: Sequence[str], given: Sequence[str | int] = (), *, model_name: str = "") -> frozenset[int]:
    """The class indices of things.

    >>> sorted(thing_classes(("wall", "seat", "table"), ("table", "seat")))
    [1, 2]

    Args:
        class_names: Of the model, by class index.
        given: Names, or class indices. A name that several classes have names them all. If there are none, they follow from
            what is known of COCO, ADE20K and Cityscapes.
        model_name: Its hub id, or the name of its directory; says whether a model of ADE20K or Cityscapes was trained for
            panoptic or instance segmentation.

    Returns:
        None of them if nothing is known.

    Raises:
        ConfigError: If the model has no such class.
    """
    if not given:
        return _known(tuple(class_names), model_name)
    indices: set[int] = set()
    for entry in given:
        found = {i for i, name in enumerate(class_names) if entry in (i, name) and not isinstance(entry, bool)}
        if not found:
            raise ConfigError(
                f"thing_classes names the class {entry!r}, which the model does not have; its classes are "
                f"{', '.join(class_names)}"
            )
        indices |= found
    return frozenset(indices)


def why_none(model_name: str) -> str:
    """Why a model finds no single things, and what to do about it, in one line."""
    return (
        f"model {model_name} does not say which of its classes are things: name them as thing_classes, if it was trained for "
        "panoptic or instance segmentation"
    )


def _known(class_names: tuple[str, ...], model_name: str) -> frozenset[int]:
    number = len(class_names)
    if number in (COCO_THINGS, COCO_CLASSES) and class_names[:2] == ("person", "bicycle"):
        return frozenset(range(COCO_THINGS))
    if not TRAINED_FOR_INSTANCES.search(model_name):
        return frozenset()
    if number == ADE20K_CLASSES and (class_names[0], class_names[-1]) == ("wall", "flag"):
        return frozenset(range(ADE20K_CLASSES)).difference(ADE20K_STUFF)
    things = [i for i, name in enumerate(class_names) if name in CITYSCAPES_THINGS]
    return frozenset(things if number in (CITYSCAPES_CLASSES, len(CITYSCAPES_THINGS)) else ())
