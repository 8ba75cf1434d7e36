"""How a labelled point lies in memory."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import PointField

__all__ = ["LABEL_FIELDS", "POINT", "POINT_FIELDS", "numpy_type"]

# Of PointField, by its number.
TYPES = {
    PointField.INT8: "i1",
    PointField.UINT8: "u1",
    PointField.INT16: "i2",
    PointField.UINT16: "u2",
    PointField.INT32: "i4",
    PointField.UINT32: "u4",
    PointField.FLOAT32: "f4",
    PointField.FLOAT64: "f8",
}

# PCL's PointXYZRGBL, with class_id and probability where that has padding. PCL calls the colour's four bytes, 0x00RRGGBB, a
# float.
LAYOUT = (
    ("x", 0, PointField.FLOAT32),
    ("y", 4, PointField.FLOAT32),
    ("z", 8, PointField.FLOAT32),
    ("rgb", 16, PointField.FLOAT32),
    ("label", 20, PointField.UINT32),
    ("class_id", 24, PointField.UINT8),
    ("probability", 28, PointField.FLOAT32),
)
POINT_STEP = 32
POINT_FIELDS = [PointField(name=name, offset=offset, datatype=datatype, count=1) for name, offset, datatype in LAYOUT]
POINT = np.dtype(
    {
        "names": [name for name, _, _ in LAYOUT],
        "formats": ["<u4" if name == "rgb" else "<" + TYPES[datatype] for name, _, datatype in LAYOUT],
        "offsets": [offset for _, offset, _ in LAYOUT],
        "itemsize": POINT_STEP,
    }
)
# What is added to the points of others: name, offset behind theirs, type.
LABEL_FIELDS = (("label", 0, PointField.UINT32), ("class_id", 4, PointField.UINT8), ("probability", 8, PointField.FLOAT32))


def numpy_type(datatype: int, *, is_bigendian: bool) -> str:
    """NumPy's name of a ``PointField``'s type; raises KeyError if there is none."""
    return (">" if is_bigendian else "<") + TYPES[datatype]
