"""What an exported network's file says about it, so that whoever runs it needs no other file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mpvss_model.errors import CheckpointError
from mpvss_model.image import FramePadding

__all__ = ["INPUT_NAME", "OUTPUT_NAMES", "NetworkDescription"]

INPUT_NAME = "frames"
OUTPUT_NAMES = ("mask_logits", "class_logits", "queries")
# Changes with whatever is computed or said in another way: files of another version are not run.
VERSION = 1
PREFIX = "mpvss."


@dataclass(frozen=True, kw_only=True)
class NetworkDescription:
    """Of the network in an ONNX file; each attribute is an entry ``mpvss.NAME`` of the file's metadata, in JSON.

    Attributes:
        model: Name of the model that it was made from.
        model_type: Of that model's network, such as ``mask2former``.
        class_names: By class index.
        height: Of the frames, in pixels.
        width: Of the frames, in pixels.
        padding_multiple: Frames are padded by zeros right and below to a multiple of this, inside of the network.
        image_mean: RGB mean on the 0..1 scale, subtracted inside of the network; None where nobody said.
        image_std: RGB standard deviation on the 0..1 scale, that the network divides by inside; None where nobody said.
        digest: Of the segmentor, see `KeyFrameSegmentor.digest`, in hexadecimal digits.
    """

    model: str
    model_type: str
    class_names: tuple[str, ...]
    height: int
    width: int
    padding_multiple: int
    image_mean: tuple[float, ...] | None
    image_std: tuple[float, ...] | None
    digest: str

    @property
    def padding(self) -> FramePadding:
        """Geometry of the frames in the network."""
        return FramePadding(self.height, self.width, self.padding_multiple)

    def entries(self) -> dict[str, str]:
        """For the file's metadata."""
        texts = {PREFIX + name: json.dumps(value, ensure_ascii=False) for name, value in vars(self).items()}
        return {
            PREFIX + "version": json.dumps(VERSION),
            PREFIX + "input": json.dumps(f"{INPUT_NAME}: uint8 RGB [N, {self.height}, {self.width}, 3]"),
            PREFIX + "outputs": json.dumps(
                "mask_logits [N, Q, h/4, w/4] of the padded frame, class_logits [N, Q, C + 1] with 'no object' last, "
                "queries [N, Q, d]; the class scores of a pixel are the sum over Q of softmax(class_logits), without the last "
                "column, times sigmoid(mask_logits)"
            ),
            **texts,
        }

    @classmethod
    def from_entries(cls, entries: Mapping[str, str], file: str) -> NetworkDescription:
        """From a file's metadata.

        Args:
            entries: By name.
            file: That they are of, for messages.

        Raises:
            CheckpointError: If it is no file of `mpvss export`, or of another version's.
        """
        try:
            values: dict[str, Any] = {
                name.removeprefix(PREFIX): json.loads(text) for name, text in entries.items() if name.startswith(PREFIX)
            }
            if values.pop("version") != VERSION:
                raise CheckpointError(f"{file!r} was exported by another version of this package: export it again")
            rows = ((name, values[name]) for name in cls.__annotations__)
            known: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in rows}
            return cls(**known)
        except (KeyError, ValueError, TypeError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(
                f"{file!r} does not say what network it holds: only files that `mpvss export` wrote can be run"
            ) from error
