"""Annotations of any format -> a data set in the folder layout, see `mpvss_model.data.folder`."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from mpvss_model.data.annotations.annotation_set import UNANNOTATED, AnnotatedImage, AnnotationSet, NamedLabel
from mpvss_model.data.annotations.class_choice import ClassChoice, ClassEntry, class_entries, of_values
from mpvss_model.data.annotations.formats import format_of
from mpvss_model.data.annotations.frame_files import FrameFiles
from mpvss_model.data.annotations.partition import CLIPS_BY, SPLIT_BY, PlannedClip, clips_of, with_validation
from mpvss_model.data.annotations.pixels import oriented_size
from mpvss_model.data.annotations.shapes import ON_TOP
from mpvss_model.errors import ConfigError, DataError
from mpvss_model.semantics import UNLABELED

__all__ = ["ImportConfig", "ImportReport", "import_labels"]

BACKGROUND = "background"
AUTO = "auto"
SHOWN_VALUES = 20


@dataclass(frozen=True, kw_only=True)
class ImportConfig:
    """What is made of annotations.

    Attributes:
        format: One of `formats.FORMATS`, or ``auto``.
        images: Folder of the images, if they are not with the annotations; all of them become frames.
        classes: A list such as ``floor,chair=seat,*=`` or a text file of such lines; empty for all that the annotations have.
        background: Class of pixels that no shape covers; empty for unlabeled. Of no meaning for label images.
        empty: Whether images without a single annotation are all background, instead of frames without labels.
        on_top: Where shapes overlap: ``later`` ones or ``smaller`` ones, or ``auto`` for what the format means.
        clips_by: One of `partition.CLIPS_BY`.
        split_by: One of `partition.SPLIT_BY`.
        validation_share: Of the labelled frames, about as many for validation.
        max_side_px: Images whose longer side is longer are made smaller; 0 for none.
        copy: Whether images are copied where they could be linked.

    Raises:
        ConfigError: If a value is out of range.
    """

    format: str = AUTO
    images: Path | None = None
    classes: str = ""
    background: str = BACKGROUND
    empty: bool = False
    on_top: str = AUTO
    clips_by: str = CLIPS_BY[0]
    split_by: str = SPLIT_BY[0]
    validation_share: float = 0.2
    max_side_px: int = 0
    copy: bool = False

    def __post_init__(self) -> None:
        for name, choices in (("on_top", (AUTO, *ON_TOP)), ("clips_by", CLIPS_BY), ("split_by", SPLIT_BY)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        if not 0.0 <= self.validation_share < 1.0:
            raise ConfigError(f"validation_share must be at least 0 and below 1, got {self.validation_share}")
        if self.max_side_px < 0:
            raise ConfigError(f"max_side_px must be at least 0, got {self.max_side_px}")


@dataclass(frozen=True)
class ImportReport:
    """What was written.

    Attributes:
        out: Folder of the data set.
        class_names: By class index.
        clips: By split.
        frames: By split.
        labelled: Frames with labels by split.
        class_shares: By split, of the pixels with labels by class index.
        unlabeled_share: Of the pixels of labelled frames.
        images: ``linked``, ``copied`` or ``rewritten``, and how many.
        left_out: Annotations that were not used, by reason.
    """

    out: Path
    class_names: tuple[str, ...]
    clips: Counter[str]
    frames: Counter[str]
    labelled: Counter[str]
    class_shares: dict[str, list[float]]
    unlabeled_share: float
    images: Counter[str]
    left_out: Counter[str]

    def lines(self) -> list[str]:
        """For people: counts, classes, and what to look at."""
        how = ", ".join(f"{count} {manner}" for manner, count in self.images.items())
        lines = [f"{self.out}: {self.frames.total()} frames ({how}), {len(self.class_names)} classes"]
        for split in self.clips:
            lines.append(f"{split}: {self.clips[split]} clips, {self.labelled[split]} of {self.frames[split]} frames labelled")
        for i, name in enumerate(self.class_names):
            shares = ", ".join(f"{split} {shares[i]:.1%}" for split, shares in self.class_shares.items())
            lines.append(f"  {name}: {shares}")
        return lines + [f"note: {note}" for note in self.notes()]

    def notes(self) -> list[str]:
        """What may be a mistake."""
        notes = [f"{count} {reason} left out" for reason, count in self.left_out.items()]
        if self.unlabeled_share:
            notes.append(f"{self.unlabeled_share:.1%} of the labelled frames' pixels are unlabeled")
        for split, shares in self.class_shares.items():
            absent = [name for name, share in zip(self.class_names, shares, strict=True) if not share]
            if absent and split in ("train", "val"):
                notes.append(f"{split} shows nothing of {', '.join(absent)}")
        without = self.frames.total() - self.labelled.total()
        if without:
            notes.append(f"{without} frames have no annotation and thus no labels (--empty makes them background)")
        return notes


def import_labels(
    source: str | Path,
    out: str | Path,
    config: ImportConfig | None = None,
    *,
    on_frame: Callable[[int, int], object] = lambda done, total: None,
) -> ImportReport:
    """Write ``classes.txt``, the lists of the splits and a folder for each clip; all of it, or nothing.

    Images are hard links where the file system allows it and nothing about them has to change.

    Args:
        source: File or folder of annotations.
        out: New folder; an empty one may exist.
        config: What to make of them.
        on_frame: Called with the number of frames that are done, and of all.

    Raises:
        DataError: If a file is missing or broken, or ``out`` holds something.
        ConfigError: If the classes cannot be told, or the images not divided.
    """
    source, out, config = Path(source), Path(out), config or ImportConfig()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{str(out)!r} exists and is not empty; choose another folder, or delete it")
    kind = format_of(source, config.format)
    annotations = kind.open(source, config.images, kind.on_top if config.on_top == AUTO else config.on_top)
    choice = _choice(annotations, config)
    if not any(image.read_label for image in annotations.images):
        raise DataError(f"{source} has {len(annotations.images)} images, but no annotation in any of them")
    if config.empty and annotations.is_complete:
        raise ConfigError(f"{source} has label images, of which a missing one cannot be empty: leave out --empty")
    images = [_with_background(image) for image in annotations.images] if config.empty else annotations.images
    clips = with_validation(clips_of(images, config.clips_by), config.validation_share, config.split_by)
    # Inside of nothing that exists, but on the same file system, so that it can be put in place by renaming it.
    unfinished = out.with_name(f".unfinished-{out.name}")
    shutil.rmtree(unfinished, ignore_errors=True)
    try:
        report = _Importer(unfinished, choice, config).write(clips, annotations, on_frame, out)
        if out.exists():
            out.rmdir()
        os.replace(unfinished, out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return report


class _Importer:
    """Writes one data set."""

    def __init__(self, folder: Path, choice: ClassChoice, config: ImportConfig) -> None:
        self._folder = folder
        self._choice = choice
        self._files = FrameFiles(max_side_px=config.max_side_px, copy=config.copy)

    def write(
        self, clips: list[PlannedClip], annotations: AnnotationSet, on_frame: Callable[[int, int], object], out: Path
    ) -> ImportReport:
        pixels = {clip.split or "": np.zeros(UNLABELED + 1, np.int64) for clip in clips}
        total = sum(len(clip.images) for clip in clips)
        done = 0
        self._folder.mkdir(parents=True)
        for clip in clips:
            for image in self._frames(clip):
                label = None if image.read_label is None else self._choice.label_image(image.read_label(), image.source)
                self._files.write(image, label, self._folder / clip.name)
                if label is not None:
                    pixels[clip.split or ""] += np.bincount(label.ravel(), minlength=UNLABELED + 1)
                done += 1
                on_frame(done, total)
        self._write_lists(clips)
        return self._report(clips, annotations, pixels, out)

    def _frames(self, clip: PlannedClip) -> Iterable[AnnotatedImage]:
        """The clip's images, in a new folder."""
        try:
            (self._folder / clip.name / "images").mkdir(parents=True)
        except FileExistsError:
            raise DataError(f"two clips would be called {clip.name!r}; rename the folder {clip.images[0].folder}") from None
        if clip.labelled:
            (self._folder / clip.name / "labels").mkdir()
        stems: dict[str, Path] = {}
        for image in clip.images:
            if image.path.stem in stems:
                raise DataError(
                    f"{stems[image.path.stem]} and {image.path} would be one frame of clip {clip.name!r}; rename one"
                )
            stems[image.path.stem] = image.path
            yield image

    def _write_lists(self, clips: list[PlannedClip]) -> None:
        lists = {"classes": list(self._choice.names)}
        for clip in clips:
            lists.setdefault(clip.split or "", []).append(clip.name)
        for name, lines in lists.items():
            (self._folder / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")

    def _report(
        self, clips: list[PlannedClip], annotations: AnnotationSet, pixels: dict[str, np.ndarray], out: Path
    ) -> ImportReport:
        count = len(self._choice.names)
        every = np.sum(list(pixels.values()), axis=0)
        present = np.flatnonzero(every[:count])
        if len(present) < 2:
            names = ", ".join(self._choice.names[i] for i in present) or "none"
            raise DataError(
                f"all pixels with a label are of one class ({names}), from which nothing can be learned; if 255 is a class of "
                "the label images, say so: --classes '0=background,255=NAME'"
            )
        splits = Counter[str](), Counter[str](), Counter[str]()
        for clip in clips:
            for counter, value in zip(splits, (1, len(clip.images), clip.labelled), strict=True):
                counter[clip.split or ""] += value
        shares = {
            split: (values[:count] / max(1, values[:count].sum())).tolist() for split, values in pixels.items() if values.any()
        }
        return ImportReport(
            out=out,
            class_names=self._choice.names,
            clips=splits[0],
            frames=splits[1],
            labelled=splits[2],
            class_shares=shares,
            unlabeled_share=float(every[UNLABELED] / every.sum()),
            images=self._files.images,
            left_out=annotations.left_out,
        )


def _choice(annotations: AnnotationSet, config: ImportConfig) -> ClassChoice:
    """The chosen classes, or else all that the annotations have."""
    names = annotations.class_names
    background = "" if annotations.is_complete else config.background
    if config.classes:
        entries = class_entries(config.classes)
        return ClassChoice(of_values(entries) if names is None else entries, background)
    if names is None:
        read_label = next(image.read_label for image in annotations.images if image.read_label is not None)
        values = ", ".join(read_label().names[:SHOWN_VALUES])
        raise ConfigError(
            f"label images have no names of classes; the first one holds the values {values}: give --classes "
            "'0=background,7=road,...', or names alone for 0, 1, 2, ..."
        )
    return ClassChoice([ClassEntry(name, name, is_plain=True) for name in names], background)


def _with_background(image: AnnotatedImage) -> AnnotatedImage:
    """With a label without shapes, if it has none at all."""
    return image if image.read_label is not None else replace(image, read_label=partial(_nothing, image.path))


def _nothing(path: Path) -> NamedLabel:
    return NamedLabel(np.full(oriented_size(path), UNANNOTATED, np.int32), ())
