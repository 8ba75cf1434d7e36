"""What workers do to label a bag, in one piece or in several."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from mpvss_model.config import DecodingConfig, StreamConfig
from mpvss_model.data import Clip, ClipSet, path_and_split
from mpvss_model.data.source_counts import SourceCounts
from mpvss_model.errors import ConfigError
from mpvss_model.files import full_disk_named, write_whole
from mpvss_model.fleet import Link
from mpvss_model.fleet.exclusive import exclusive
from mpvss_model.labelling import ClassMapping, Labelling, LabellingConfig, label_clips
from mpvss_model.labelling.labeller import NothingLabelledError
from mpvss_model.labelling.pieces import dependence, join_pieces
from mpvss_model.runtime.threads import use_threads
from mpvss_model.text_files import read_json_object
from mpvss_ros.bags.bag import LABELS_TOPIC, Bag
from mpvss_ros.bags.fleet.cutting import Cut, Piece, cut_bag
from mpvss_ros.bags.labelled_bag import DISK_IS_FULL, given_settings, label_source, write_labelled_bag
from mpvss_ros.bags.labelled_source import is_bag, open_labelled_source

__all__ = ["JoinPieces", "LabelOrCut", "LabelPiece", "Labelled", "LabellingTask", "PieceLabels", "Place"]


@dataclass(frozen=True, kw_only=True)
class LabellingTask:
    """What is the same for all sources; see `mpvss_ros.bags.labelled_bag.label_source`.

    Attributes:
        model: See there, as all up to ``as_bag``.
        config: How frames are labelled.
        mapping: To other classes.
        stream: Further settings of the stream.
        topic: Of bags' cameras.
        split: Of data sets.
        decoding: Of images.
        device: Where the model runs.
        precision: Of the model.
        as_bag: Whether to write bags.
        threads: See `use_threads`.
        piece_frames: Bags of twice as many frames are cut into pieces of about so many; 0 for none.
        has_memory: Of the model, see `LabellingModel`.
    """

    model: str
    config: LabellingConfig
    mapping: ClassMapping | None
    stream: StreamConfig
    topic: str | None
    split: str | None
    decoding: DecodingConfig
    device: str
    precision: str
    as_bag: bool
    threads: int
    piece_frames: int
    has_memory: bool = False

    @property
    def _common(self) -> dict[str, Any]:
        names = ("model", "config", "mapping", "stream", "device", "precision")
        return {name: getattr(self, name) for name in names}

    @property
    def whole_stream(self) -> StreamConfig:
        """The stream's settings with its interval."""
        return StreamConfig(**{**vars(self.stream), "max_interval_frames": self.config.interval})

    def check(self, source: str) -> None:
        """Raise `MPVSSError` if a source is none, before anything is written for it."""
        path, split = path_and_split(source, self.split)
        open_labelled_source(path, split=split, whole=True, topic=self.topic, decoding=self.decoding)

    def label_source(self, source: str, out: Path, link: Link) -> Labelling:
        """Label a source in one piece."""
        path, split = path_and_split(source, self.split)
        return label_source(
            path,
            out,
            as_bag=self.as_bag,
            topic=self.topic,
            split=split,
            decoding=self.decoding,
            on_frame=link.tell,
            **self._common,
        )

    def label_piece(self, source: Path, topic: str, piece: Piece, out: Path, link: Link) -> tuple[Labelling, bool]:
        """Label a piece of a bag; also returns whether it depends on images before it."""
        frames = piece.frames(source, topic, self.decoding)
        clips = ClipSet(str(source), None, (Clip(source.resolve().name, frames),))
        given = given_settings(source, topic=self.topic, split=self.split, decoding=self.decoding, stream=self.stream)
        labelling = label_clips(clips, out, given=given, with_images=not self.as_bag, on_frame=link.tell, **self._common)
        return labelling, frames.sixteen_bits.is_estimated


@dataclass(frozen=True)
class Place:
    """Where the labels of a source go, and what is needed on the way, hidden beside it and on the same disk.

    Attributes:
        out: Folder or bag; appears when it is whole.
    """

    out: Path

    @property
    def work(self) -> Path:
        """All that is needed on the way."""
        return self.out.with_name(f".{self.out.name}.work")

    @property
    def labels(self) -> Path:
        """Labels of all frames, until they are whole."""
        return self.work / "labels"

    @property
    def lock(self) -> Path:
        """Held by who works on all of it."""
        return self.work / "lock"

    def piece(self, piece: Piece) -> Path:
        """Labels of a piece."""
        return self.work / f"piece-{piece.first:07d}"

    def begin(self, key: str) -> bool:
        """Say what is made here; returns whether an earlier start began to make it.

        Args:
            key: JSON of all that it depends on, by name.

        Raises:
            ConfigError: If that was something else.
        """
        self.work.mkdir(parents=True, exist_ok=True)
        if not self._key_file.is_file():
            write_whole(self._key_file, lambda unfinished: unfinished.write_text(key, encoding="utf-8"))
            return False
        begun, wanted = read_json_object(self._key_file, ConfigError), json.loads(key)
        changed = [name for name in wanted if begun.get(name) != wanted[name]]
        if changed:
            raise ConfigError(
                f"labels of {str(self.out)!r} were begun with other settings ({', '.join(changed)}): give those again, or "
                f"delete {str(self.work)!r}"
            )
        return True

    def read_cut(self) -> Cut | None:
        """The pieces that an earlier start, or the one that this belongs to, made of the bag."""
        return Cut.from_dict(json.loads(self._cut_file.read_text())) if self._cut_file.is_file() else None

    def write_cut(self, cut: Cut) -> None:
        """Keep the pieces."""
        write_whole(self._cut_file, lambda unfinished: unfinished.write_text(json.dumps(cut.as_dict())))

    def clear(self) -> None:
        """Nothing is needed any more."""
        shutil.rmtree(self.work, ignore_errors=True)

    @property
    def _key_file(self) -> Path:
        return self.work / "key.json"

    @property
    def _cut_file(self) -> Path:
        return self.work / "pieces.json"


@dataclass(frozen=True)
class Labelled:
    """What came of a source.

    Attributes:
        frames: That have labels.
        clips: Paths of the clips' folders, in the folder of the source; empty for a bag.
        class_names: By class index.
        notes: What was left out and why, in lines.
    """

    frames: int
    clips: tuple[str, ...]
    class_names: tuple[str, ...]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PieceLabels:
    """What came of a piece of a source.

    Attributes:
        first: See `Piece`.
        count: See `Piece`.
        frames: That have labels.
        class_names: By class index.
        left_out: Frames that have none, by reason.
        details: What was said of the first of them, by reason.
        meets_next: The next piece's first frame is a key frame here, too.
        is_dependent: Its images were read by what earlier ones used of 16 bits.
    """

    first: int
    count: int
    frames: int
    class_names: tuple[str, ...]
    left_out: dict[str, int] = field(default_factory=dict)
    details: dict[str, str] = field(default_factory=dict)
    meets_next: bool = True
    is_dependent: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelOrCut:
    """Labels a source, unless it is a bag that is worth cutting.

    Attributes:
        task: What is done.
        source: Where it lies.
        place: Where labels go.
        key: Of all that they depend on.
        may_cut: Whether a bag may be cut.
    """

    task: LabellingTask
    source: str
    place: Place
    key: str
    may_cut: bool = True

    def __call__(self, link: Link) -> Labelled | Cut:
        """The pieces of a bag that is cut."""
        use_threads(self.task.threads)
        self.task.check(self.source)
        with exclusive(self.place.lock, what=repr(str(self.place.out))):
            return self._work(link)

    def _work(self, link: Link) -> Labelled | Cut:
        place, task, out = self.place, self.task, self.place.out
        was_begun = place.begin(self.key)
        if task.as_bag and was_begun and out.exists():  # its worker died, or the program, right after it was there
            with Bag(out) as bag:
                return Labelled(bag.count(LABELS_TOPIC), (), ())
        notes: tuple[str, ...] = ()
        if self.may_cut and task.piece_frames and is_bag(Path(self.source)) and not out.exists():
            cut = place.read_cut() or self._cut()
            if isinstance(cut, Cut):
                place.write_cut(cut)
                return cut
            notes = (cut,) if cut else ()
        if task.as_bag:
            labelling = task.label_source(self.source, out, link)
        else:
            labelling = task.label_source(self.source, out if out.exists() else place.labels, link)
            if not out.exists():
                os.rename(place.labels, out)
        clips = () if task.as_bag else tuple(part.path.name for part in labelling.clips)
        return Labelled(labelling.frames, clips, labelling.class_names, (*labelling.counts.lines(), *notes))

    def _cut(self) -> Cut | str:
        """Why a long bag is not cut; empty for one that is not long."""
        task = self.task
        with Bag(self.source) as bag:
            topic = bag.image_topic(task.topic)
            if bag.count(topic) < 2 * task.piece_frames:
                return ""
            why = dependence(task.whole_stream, has_memory=task.has_memory)
            why = why or (None if bag.has_index else "its files have no index, or are compressed as a whole")
            if why is None:
                cut = cut_bag(bag, topic, piece_frames=task.piece_frames, config=task.whole_stream)
                if cut is not None:
                    return cut
                why = "its times of recording tell no place to cut it"
            return f"labelled in one piece: {why}"


@dataclass(frozen=True, kw_only=True)
class LabelPiece:
    """Labels a piece of a bag.

    Attributes:
        task: What is done.
        source: Where the bag lies.
        place: Where labels go.
        topic: Of the camera.
        piece: Which messages.
    """

    task: LabellingTask
    source: str
    place: Place
    topic: str
    piece: Piece

    def __call__(self, link: Link) -> PieceLabels:
        """What came of it; kept for another start."""
        use_threads(self.task.threads)
        folder = self.place.piece(self.piece)
        with exclusive(folder.with_suffix(".lock"), what=repr(str(folder))):
            kept = self._kept(folder.with_suffix(".json"))
            return kept or self._labelled(folder, link)

    def _kept(self, file: Path) -> PieceLabels | None:
        if not file.is_file():
            return None
        values = json.loads(file.read_text())
        labels = PieceLabels(**{**values, "class_names": tuple(values["class_names"])})
        return labels if (labels.first, labels.count) == (self.piece.first, self.piece.count) else None

    def _labelled(self, folder: Path, link: Link) -> PieceLabels:
        piece = self.piece
        try:
            labelling, is_dependent = self.task.label_piece(Path(self.source), self.topic, piece, folder, link)
        except NothingLabelledError:  # what comes after goes on from what came before
            return PieceLabels(piece.first, piece.count, 0, (), meets_next=False)
        last = labelling.clips[0].rows[-1]
        labels = PieceLabels(
            first=piece.first,
            count=piece.count,
            frames=labelling.frames - (piece.next_stamp_ns is not None),
            class_names=labelling.class_names,
            left_out=dict(labelling.counts.left_out),
            details=dict(labelling.counts.details),
            meets_next=piece.next_stamp_ns is None or (last.stamp_ns == piece.next_stamp_ns and last.is_key_frame),
            is_dependent=is_dependent,
        )
        write_whole(folder.with_suffix(".json"), lambda unfinished: unfinished.write_text(json.dumps(asdict(labels))))
        return labels


@dataclass(frozen=True, kw_only=True)
class JoinPieces:
    """Makes one folder or bag of the labels of all pieces.

    Attributes:
        task: What is done.
        source: Where the bag lies.
        place: Where labels go.
        cut: All pieces, each of which meets the next.
        labels: What came of them, by their first frame.
    """

    task: LabellingTask
    source: str
    place: Place
    cut: Cut
    labels: Mapping[int, PieceLabels]

    def __call__(self, link: Link) -> Labelled:
        """The labels of all."""
        place, out, source = self.place, self.place.out, Path(self.source)
        labels = [self.labels[piece.first] for piece in self.cut.pieces]
        class_names = labels[0].class_names
        with exclusive(place.lock, what=repr(str(out))), full_disk_named(out.parent, DISK_IS_FULL):
            if not out.exists():
                folders = [place.piece(piece) for piece in self.cut.pieces]
                joined = join_pieces(folders, source.resolve().name, place.labels)
                if self.task.as_bag:
                    threshold = self.task.config.min_confidence
                    with Bag(source) as bag:
                        write_labelled_bag(bag, self.cut.topic, joined, out, class_names=class_names, threshold=threshold)
                else:
                    os.rename(place.labels, out)
        clips = () if self.task.as_bag else (source.resolve().name,)
        return Labelled(sum(piece.frames for piece in labels), clips, class_names, tuple(self._counts(labels).lines()))

    def _counts(self, labels: list[PieceLabels]) -> SourceCounts:
        counts = SourceCounts()
        for piece in labels:
            counts.include(SourceCounts(left_out=Counter(piece.left_out), details=piece.details))
        from mpvss_ros.bags.bag_frames import leave_out_unread  # needs ROS, which folders do not

        leave_out_unread(counts, Path(self.source), self.cut.unread)
        return counts
