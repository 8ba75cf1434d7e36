"""Evaluates a model on many sources, on all workers of a fleet."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from mpvss_model.config import DecodingConfig, ExecutionConfig, StreamConfig
from mpvss_model.data import path_and_split
from mpvss_model.evaluation.evaluation_report import EvaluationReport
from mpvss_model.evaluation.label_export import LabelExport
from mpvss_model.evaluation.repeats import evaluate_repeatedly
from mpvss_model.fleet import FleetConfig, Link, Unit
from mpvss_model.fleet.ledger import Entry, Ledger
from mpvss_model.fleet.sources_run import SourcesRun
from mpvss_model.labelling.labeller import labelling_model
from mpvss_model.runtime.progress import new_console
from mpvss_model.runtime.threads import use_threads
from mpvss_model.settings import changed_settings
from mpvss_ros.bags.fleet.sources import GivenSources, fingerprint, plain_name
from mpvss_ros.bags.labelled_source import open_labelled_source

__all__ = ["EvaluationTask", "evaluate_sources"]


@dataclass(frozen=True, kw_only=True)
class EvaluationTask:
    """What is the same for all sources; see `mpvss_model.evaluation.repeats.evaluate_repeatedly`.

    Attributes:
        model: See there.
        runs: Each way of propagation with the settings of its stream.
        repeats: See there.
        topic: Of bags' cameras.
        split: Of data sets.
        decoding: Of images.
        device: See there.
        precision: See there.
        execution: See there.
        thing_classes: See there.
        threads: See `use_threads`.
    """

    model: str
    runs: tuple[tuple[str, StreamConfig], ...]
    repeats: int
    topic: str | None
    split: str | None
    decoding: DecodingConfig
    device: str
    precision: str
    execution: ExecutionConfig
    thing_classes: tuple[str, ...]
    threads: int

    def evaluate(
        self,
        location: str,
        way: str,
        stream: StreamConfig,
        *,
        export: LabelExport | None = None,
        on_frame: Callable[[int, int], None],
    ) -> EvaluationReport:
        """Evaluate on a source in one of the ways; see `mpvss_model.evaluation.source_evaluation.evaluate_clips`."""
        path, split = path_and_split(location, self.split)
        return evaluate_repeatedly(
            lambda: open_labelled_source(path, split=split, topic=self.topic, decoding=self.decoding),
            repeats=self.repeats,
            source=str(path),
            model=self.model,
            propagation=way,
            config=stream,
            decoding=self.decoding,
            device=self.device,
            precision=self.precision,
            execution=self.execution,
            thing_classes=self.thing_classes,
            export=export,
            on_frame=on_frame,
        )


@dataclass(frozen=True)
class EvaluateSource:
    """What a worker does with a source.

    Attributes:
        task: What is done.
        location: Of the source.
    """

    task: EvaluationTask
    location: str

    def __call__(self, link: Link) -> list[EvaluationReport]:
        """A report of each run."""
        runs = self.task.runs
        use_threads(self.task.threads)
        return [
            self.task.evaluate(
                self.location,
                way,
                stream,
                on_frame=lambda done, total, before=number: link.tell(before * total + done, len(runs) * total),
            )
            for number, (way, stream) in enumerate(runs)
        ]


def evaluate_sources(
    sources: GivenSources, out: Path | None, *, task: EvaluationTask, fleet: FleetConfig, console: Console | None = None
) -> tuple[Ledger, list[EvaluationReport]]:
    """Evaluate on all sources; a call with the same file leaves alone what an earlier one finished.

    Args:
        sources: Bags, folders of frames and data sets.
        out: JSON file for several sources, with the reports of each.
        task: How they are evaluated.
        fleet: Who does it.
        console: Where to tell how far it is; nowhere by default.

    Returns:
        What came of each source, and the reports that were made now.

    Raises:
        ConfigError: If settings or model cannot be used, or there is another file in the ledger's place.
        Interrupted: If SIGINT or SIGTERM came; what is finished stays in the file.
    """
    digest = labelling_model(task.model, None).digest
    keys = {source: _key(source, task, digest) for source in sources.locations}
    named = [(source, plain_name(source)) for source in sources.locations]
    ledger = Ledger(out if sources.are_several else None, named, keys)
    console = console or new_console(visible=False)
    run = SourcesRun(ledger, fleet, title="evaluating", verb="evaluated", console=console)
    made: list[EvaluationReport] = []

    def first(entry: Entry) -> Unit:
        return Unit(entry.name, EvaluateSource(task, entry.source))

    def then(entry: Entry, reports: list[EvaluationReport]) -> list[Unit]:
        made.extend(reports)
        notes = list(dict.fromkeys(note for report in reports for note in report.notes))
        result = {"runs": [report.as_dict() for report in reports], "notes": notes}
        found = ", ".join("no ground truth" if report.miou is None else f"mIoU {report.miou:.3f}" for report in reports)
        run.finish(entry, result, found)
        return []

    run.run(first, then)
    return ledger, made


def _key(source: str, task: EvaluationTask, digest: str) -> str:
    """All that a source's reports depend on, as JSON; where they are made does not matter."""
    settings = {
        "source": fingerprint(source),
        "model": f"{task.model} ({digest})",
        "runs": [[way, changed_settings(stream)] for way, stream in task.runs],
        "decoding": changed_settings(task.decoding),
        "execution": changed_settings(task.execution),
        "things": list(task.thing_classes),
        **{name: getattr(task, name) for name in ("repeats", "topic", "split", "device", "precision")},
    }
    return json.dumps(settings)
