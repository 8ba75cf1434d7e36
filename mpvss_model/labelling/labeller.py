"""Labels every frame of some clips, and goes on where it was stopped."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mpvss_model.config import UNLABELED, StreamConfig
from mpvss_model.data import Clip, ClipSet, Frame
from mpvss_model.data.source_counts import CountedFrames, SourceCounts, listed_frames
from mpvss_model.errors import UNANSWERED_REASONS, DataError, FrameError, SegmentorError, left_out_reason
from mpvss_model.files import full_disk_named
from mpvss_model.labelling.averaging_segmentor import AveragingSegmentor
from mpvss_model.labelling.class_mapping import ClassMapping
from mpvss_model.labelling.config import LabellingConfig, View
from mpvss_model.labelling.label_folder import ClipLabels, LabelFolder
from mpvss_model.runtime.content_digest import content_digest
from mpvss_model.runtime.interruption import Interrupted, StopSignals
from mpvss_model.settings import changed_settings
from mpvss_model.stream.segmentation import Segmentation
from mpvss_model.stream.video_segmentor import VideoSegmentor

__all__ = [
    "Labelling",
    "LabellingModel",
    "NothingLabelledError",
    "label_clips",
    "labelled_class_names",
    "labelling_model",
]

UNANSWERED = (FrameError, *UNANSWERED_REASONS)
PLAIN = (View(),)
# Of classes that are left out, beside those that are wanted.
LEFT_OUT = "left out"


class NothingLabelledError(DataError):
    """None of the frames can be labelled."""


@dataclass(frozen=True)
class Labelling:
    """What came of `label_clips`.

    Attributes:
        class_names: By class index.
        frames: That have labels now.
        labelled_now: Those of them that an earlier start had not labelled.
        counts: What was left out of them and why.
        clips: The labels of each clip.
    """

    class_names: tuple[str, ...]
    frames: int
    labelled_now: int
    counts: SourceCounts
    clips: tuple[ClipLabels, ...]


def label_clips(
    clips: ClipSet,
    out: Path,
    *,
    model: str,
    given: Mapping[str, Any] | None = None,
    config: LabellingConfig | None = None,
    mapping: ClassMapping | None = None,
    stream: StreamConfig | None = None,
    device: str = "auto",
    precision: str = "auto",
    with_images: bool = True,
    on_frame: Callable[[int, int], None] = lambda done, total: None,
) -> Labelling:
    """Write labels and confidence of all frames into a folder that `mpvss_model.data` reads.

    Started again with the same settings, it goes on with the frames that are not done: where every frame is segmented with
    the first of those, else with the last key frame before it, so that the labels are those of a single start. A clip that was
    begun with a model whose key frames depend on earlier ones is gone through again for that, up to those frames.

    Args:
        clips: From a recording or a data set; ground truth is not looked at.
        out: The folder.
        model: See `VideoSegmentor.from_pretrained`.
        given: Settings that the clips were opened with, as JSON can hold them; may not change from start to start either.
        config: How they are labelled.
        mapping: To other classes than the model's.
        stream: Further settings of the stream; its key-frame interval is that of ``config``.
        device: See `VideoSegmentor.from_pretrained`.
        precision: See `VideoSegmentor.from_pretrained`.
        with_images: Whether the frames are put beside their labels.
        on_frame: Called with the frames done and their total.

    Raises:
        MPVSSError: If clips, model or settings cannot be used, settings are not those of an earlier start, or the disk is
            full.
        Interrupted: If SIGINT or SIGTERM came; what was labelled stays.
    """
    config = config or LabellingConfig()
    segmentor = _segmentor(model, config, mapping, stream or StreamConfig(), device=device, precision=precision)
    class_names = segmentor.class_names if mapping is None else mapping.classes
    folder, counts = LabelFolder(out), SourceCounts()
    total = sum(listed_frames(clip) for clip in clips.clips)
    done = labelled_now = 0
    way_out = "free some, and the same command goes on; what is labelled stays"
    with StopSignals() as signals, full_disk_named(out, way_out):
        folder.prepare({**(given or {}), **_settings(segmentor, config, mapping)}, class_names)
        parts = tuple(folder.clip(clip.name, with_images=with_images) for clip in clips.clips)
        for clip, part in zip(clips.clips, parts, strict=True):
            segmentor.reset()
            for is_new in _labelled(clip, part, segmentor, config, len(class_names), counts):
                done, labelled_now = done + 1, labelled_now + is_new
                on_frame(done, total)
                if signals.received:
                    raise Interrupted(_interruption(signals.received, done, total, out), signals.received)
            if isinstance(clip.frames, CountedFrames):
                counts.include(clip.frames.counts)
    if done == 0:
        raise NothingLabelledError(
            f"{clips.name} has no frame that can be labelled: {'; '.join(counts.lines()) or 'no images'}"
        )
    return Labelling(class_names, done, labelled_now, counts, parts)


@dataclass(frozen=True)
class LabellingModel:
    """What can be known of a model before it labels anything.

    Attributes:
        class_names: That `label_clips` would give, by class index.
        digest: Changes with its weights.
        has_memory: Whether key frames depend on earlier ones.
    """

    class_names: tuple[str, ...]
    digest: str
    has_memory: bool


def labelling_model(model: str, mapping: ClassMapping | None) -> LabellingModel:
    """Look at a model on the CPU.

    Raises:
        MPVSSError: If the model cannot be loaded, or the mapping does not fit it.
    """
    video_segmentor = VideoSegmentor.from_pretrained(model, device="cpu")
    segmentor = video_segmentor.segmentor
    if mapping is not None:
        mapping.indices(segmentor.class_names, segmentor.name)
    return LabellingModel(
        class_names=segmentor.class_names if mapping is None else mapping.classes,
        digest=_digest(video_segmentor),
        has_memory=getattr(segmentor, "has_memory", False),
    )


def labelled_class_names(model: str, mapping: ClassMapping | None) -> tuple[str, ...]:
    """The classes that `label_clips` would give; raises as `labelling_model`."""
    return labelling_model(model, mapping).class_names


def _digest(segmentor: VideoSegmentor) -> str:
    """Of all that was trained."""
    module = segmentor.propagator.module
    return content_digest(segmentor.segmentor.digest(), *([] if module is None else [module])).hex()[:12]


def _segmentor(
    model: str, config: LabellingConfig, mapping: ClassMapping | None, stream: StreamConfig, *, device: str, precision: str
) -> VideoSegmentor:
    given = {name: value for name, value in vars(stream).items() if name != "max_interval_frames"}
    video_segmentor = VideoSegmentor.from_pretrained(
        model,
        device=device,
        precision=precision,
        propagation=config.propagation,
        config=StreamConfig(**given, max_interval_frames=config.interval),
    )
    segmentor = video_segmentor.segmentor
    if mapping is not None:
        video_segmentor.segmentor = AveragingSegmentor(
            segmentor,
            config.views,
            class_names=(*mapping.classes, LEFT_OUT),
            merging=mapping.matrix(segmentor.class_names, segmentor.name),
        )
    elif config.views != PLAIN:
        video_segmentor.segmentor = AveragingSegmentor(segmentor, config.views)
    return video_segmentor


def _settings(segmentor: VideoSegmentor, config: LabellingConfig, mapping: ClassMapping | None) -> Mapping[str, Any]:
    """All that the labels depend on, by names that users know."""
    return {
        "model": f"{segmentor.segmentor.name} ({_digest(segmentor)})",
        "precision": segmentor.segmentor.dtype,
        "interval": config.interval,
        "propagation": segmentor.propagator.name if config.interval > 1 else "none",
        "views": [f"{view.scale:g}{' mirrored' * view.mirrored}" for view in config.views],
        "min_confidence": config.min_confidence,
        "classes": "of the model" if mapping is None else mapping.name,
        **{name: value for name, value in changed_settings(segmentor.config).items() if name != "max_interval_frames"},
    }


def _labelled(
    clip: Clip,
    part: ClipLabels,
    segmentor: VideoSegmentor,
    config: LabellingConfig,
    num_classes: int,
    counts: SourceCounts,
) -> Iterator[bool]:
    """Label the frames of a clip that are not done; yields for each frame that has labels then whether it is a new one."""
    names_done = {row.name for row in part.rows}
    # A stream that begins with a key frame goes on as if it had seen all before.
    last_key_frame = next((row.name for row in reversed(part.rows) if row.is_key_frame), None)
    # Unless each key frame takes something from the one before it.
    has_memory = getattr(segmentor.segmentor, "has_memory", False)
    is_running = has_memory and len(part.rows) < listed_frames(clip)
    depends_on_earlier = config.interval > 1 or has_memory
    for number, frame in enumerate(clip.frames):
        name = frame.name or f"{number:06d}"
        is_done = name in names_done
        is_running = is_running or not is_done or (config.interval > 1 and name == last_key_frame)
        if is_done and not (is_running and depends_on_earlier):
            yield False
            continue
        try:
            segmentation = _segmentation(segmentor, frame, config)
        except UNANSWERED as error:
            counts.leave_out(error, left_out_reason(error))
            continue
        if not is_done:
            labels, confidence = _answer(segmentation, config, num_classes)
            part.add(frame, name, labels, confidence, key_stamp_ns=segmentation.key_stamp_ns)
        yield not is_done


def _segmentation(segmentor: VideoSegmentor, frame: Frame, config: LabellingConfig) -> Segmentation:
    """Step the stream; where each frame is to be segmented, none is answered from another."""
    image = frame.reduced_image(segmentor.inference_size)
    segmentation = segmentor.step(image.pixels, stamp_ns=frame.stamp_ns, frame_size=image.size)
    if config.interval == 1 and not segmentation.is_key_frame:
        segmentor.reset()
        raise SegmentorError(str(segmentation.fault))
    return segmentation


def _answer(segmentation: Segmentation, config: LabellingConfig, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Labels uint8 ``[H, W]`` and confidence float32 ``[H, W]``."""
    confidence = segmentation.confidence
    is_left_out = segmentation.labels >= num_classes
    if config.min_confidence:
        is_left_out |= confidence < config.min_confidence
    return np.where(is_left_out, np.uint8(UNLABELED), segmentation.labels), confidence


def _interruption(number: int, done: int, total: int, out: Path) -> str:
    return (
        f"stopped by {signal.Signals(number).name} after {done} of {total} frames, which stay in {str(out)!r}: the same "
        "command goes on from there"
    )
