"""Labels many sources, and long bags in pieces, on all workers of a fleet."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console

from mpvss_model.config import DecodingConfig
from mpvss_model.errors import ConfigError
from mpvss_model.files import write_whole
from mpvss_model.fleet import FleetConfig, Unit
from mpvss_model.fleet.ledger import DONE, Entry, Ledger
from mpvss_model.fleet.sources_run import SourcesRun
from mpvss_model.labelling.labeller import labelling_model
from mpvss_model.runtime.progress import new_console
from mpvss_model.settings import changed_settings
from mpvss_ros.bags.fleet.cutting import Cut, Piece
from mpvss_ros.bags.fleet.label_work import (
    JoinPieces,
    Labelled,
    LabellingTask,
    LabelOrCut,
    LabelPiece,
    PieceLabels,
    Place,
)
from mpvss_ros.bags.fleet.sources import GivenSources, fingerprint, plain_name
from mpvss_ros.bags.labelled_bag import is_single_file

__all__ = ["LEDGER_FILE", "label_sources"]

LEDGER_FILE = "sources.json"
# Lists the clips of all sources, so that their folder is a data set; names every clip of a folder anyway.
CLIPS_FILE, CLASSES_FILE = "all.txt", "classes.txt"


def label_sources(
    sources: GivenSources, out: Path, *, task: LabellingTask, fleet: FleetConfig, console: Console | None = None
) -> Ledger:
    """Label all sources; the same call goes on where an earlier one was stopped, and leaves alone what that one finished.

    Args:
        sources: Bags, folders of images and data sets.
        out: Of several sources, a folder with a folder or bag for each, named like it, and `LEDGER_FILE`; of one, what
            `label_source` writes.
        task: How they are labelled; whether the model has a memory is found out.
        fleet: Who does it.
        console: Where to tell how far it is; nowhere by default.

    Returns:
        What came of each source.

    Raises:
        ConfigError: If settings or model cannot be used, or there is another file in the ledger's place.
        Interrupted: If SIGINT or SIGTERM came; what was labelled stays.
    """
    if sources.are_several and is_single_file(out):
        raise ConfigError(
            f"--out {str(out)!r} is one bag, and there may be several sources: name a folder, with --bag for bags"
        )
    model = labelling_model(task.model, task.mapping)
    task = replace(task, has_memory=model.has_memory, piece_frames=task.piece_frames if fleet.is_several else 0)
    keys = {source: _key(source, task, model.digest) for source in sources.locations}
    named = [(source, plain_name(source)) for source in sources.locations]
    ledger = Ledger(out / LEDGER_FILE if sources.are_several else None, named, keys)
    places = {entry.name: Place(out / entry.name if sources.are_several else out) for entry in ledger.entries}
    ledger.forget(entry for entry in ledger.entries if not places[entry.name].out.exists())
    console = console or new_console(visible=False)
    run = SourcesRun(ledger, fleet, title="labelling", verb="labelled", console=console)
    labelling = _Labelling(task, places, run)
    run.run(labelling.whole, labelling.after)
    if sources.are_several and not task.as_bag:
        _write_lists(out, ledger)
    return ledger


class _Labelling:
    """One start.

    Args:
        task: What is done with each source.
        places: Of the sources' labels, by name.
        run: Has it done.
    """

    def __init__(self, task: LabellingTask, places: dict[str, Place], run: SourcesRun) -> None:
        self._task = task
        self._places = places
        self._run = run
        # Of bags that are cut, by name.
        self._cuts: dict[str, Cut] = {}
        self._pieces: dict[str, dict[int, PieceLabels]] = {}

    def whole(self, entry: Entry, *, may_cut: bool = True) -> Unit:
        """All of a source."""
        work = LabelOrCut(task=self._task, source=entry.source, place=self._places[entry.name], key=entry.key, may_cut=may_cut)
        return Unit(entry.name, work)

    def after(self, entry: Entry, value: Labelled | Cut | PieceLabels) -> Iterator[Unit]:
        """What is to be done after a unit."""
        if isinstance(value, Labelled):
            self._run.finish(entry, asdict(value), f"{value.frames} frames")
            self._places[entry.name].clear()
        elif isinstance(value, Cut):
            self._cuts[entry.name], self._pieces[entry.name] = value, {}
            yield from self._missing(entry)
        else:
            self._pieces[entry.name][value.first] = value
            if len(self._pieces[entry.name]) == len(self._cuts[entry.name].pieces):
                yield from self._after_pieces(entry)

    def _missing(self, entry: Entry) -> Iterator[Unit]:
        """Pieces of a bag that are not labelled yet."""
        cut, place = self._cuts[entry.name], self._places[entry.name]
        frames = sum(piece.count for piece in cut.pieces)
        for piece in cut.pieces:
            if piece.first not in self._pieces[entry.name]:
                work = LabelPiece(task=self._task, source=entry.source, place=place, topic=cut.topic, piece=piece)
                yield Unit(entry.name, work, piece.count / frames)

    def _after_pieces(self, entry: Entry) -> Iterator[Unit]:
        """Join the pieces, or go on with those that do not meet the next, or label the bag in one piece after all."""
        cut, place, labels = self._cuts[entry.name], self._places[entry.name], self._pieces[entry.name]
        if any(piece.is_dependent for piece in labels.values()):
            why = "its 16-bit images are read by what earlier ones used; --significant-bits says it beforehand"
            self._run.say(entry, f"labelled in one piece: {why}")
            place.clear()
            yield self.whole(entry, may_cut=False)
            return
        pieces: list[Piece] = []
        for piece in cut.pieces:
            if pieces and not labels[pieces[-1].first].meets_next:
                pieces[-1] = pieces[-1].with_next(piece)
            else:
                pieces.append(piece)
        self._cuts[entry.name] = cut = replace(cut, pieces=tuple(pieces))
        kept = {piece.first: labels[piece.first] for piece in pieces if piece.count == labels[piece.first].count}
        self._pieces[entry.name] = kept
        if len(kept) < len(pieces):
            place.write_cut(cut)
            yield from self._missing(entry)
        else:
            work = JoinPieces(task=self._task, source=entry.source, place=place, cut=cut, labels=kept)
            yield Unit(entry.name, work, share=0.0)


def _key(source: str, task: LabellingTask, digest: str) -> str:
    """All that a source's labels depend on, as JSON; where it is done does not matter."""
    settings = {
        "source": fingerprint(source),
        "model": f"{task.model} ({digest})",
        "labelling": repr(task.config),
        "classes": "of the model" if task.mapping is None else task.mapping.name,
        "stream": changed_settings(task.stream),
        "decoding": changed_settings(task.decoding or DecodingConfig()),
        **{name: getattr(task, name) for name in ("topic", "split", "device", "precision", "as_bag")},
    }
    return json.dumps(settings)


def _write_lists(out: Path, ledger: Ledger) -> None:
    """Make one data set of those sources that are done."""
    results = {entry.name: entry.result for entry in ledger.entries if entry.state == DONE}
    if not results:
        return
    clips = [f"{name}/{clip}" for name, result in results.items() for clip in result["clips"]]
    class_names = next(iter(results.values()))["class_names"]
    for file, lines in ((CLIPS_FILE, clips), (CLASSES_FILE, class_names)):
        text = "".join(f"{line}\n" for line in lines)
        write_whole(out / file, lambda unfinished, text=text: unfinished.write_text(text, encoding="utf-8"))
