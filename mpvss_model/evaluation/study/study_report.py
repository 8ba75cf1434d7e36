"""What a study found."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["ClipFailure", "RunFigures", "SourceFigures", "SourceReport", "StudyReport"]


@dataclass(frozen=True, kw_only=True)
class ClipFailure:
    """A clip that could not be measured.

    Attributes:
        source: Its name in tables and plots.
        clip: Name of the clip.
        error: Why, in one line.
        details: Where in the program that was, if it is none of the errors that users cause.
    """

    source: str
    clip: str
    error: str
    details: str = ""

    def __str__(self) -> str:
        return f"{self.source}, {self.clip}: failed: {self.error}"


@dataclass(frozen=True, kw_only=True)
class RunFigures:
    """Figures of one way of labelling; None stands for what could not be measured.

    Attributes:
        way: See `Run.way`.
        method: See `Run`, as are the next three.
        interval: A key frame at least every so many frames.
        motion_threshold: See `StreamConfig`.
        history_weight: See `StreamConfig`.
        key_frames: How many there were.
        miou: 0..1, as are all that follow up to ``mvc16``.
        weighted_iou: Each class by its share of the ground truth.
        mvc8: Video consistency over 8 frames.
        mvc16: Video consistency over 16 frames.
        gflops_per_frame: Average of key frames and others, a multiply-add as 1.
        ms_per_frame: Average of key frames and others.
        iou_per_class: By the model's names.
    """

    way: str
    method: str
    interval: int
    motion_threshold: float
    history_weight: float
    key_frames: int
    miou: float | None
    weighted_iou: float | None
    mvc8: float | None
    mvc16: float | None
    gflops_per_frame: float
    ms_per_frame: float
    iou_per_class: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class SourceFigures:
    """Figures of all clips of a source together; None stands for what could not be measured.

    Attributes:
        clips: How many there are.
        frames: Of all clips.
        labelled_frames: Those of them that have ground truth.
        frame_sizes: Height and width, in pixels.
        inference_sizes: At which frames of these sizes were segmented.
        key_ms: Median time of a key frame, by `Run.way`.
        propagated_ms: Median time of a propagated frame, by `Run.way`.
        key_ms_deviation: Standard deviation of the times of key frames, by `Run.way`.
        propagated_ms_deviation: Standard deviation of the times of propagated frames, by `Run.way`.
        grid: One for each run; the first segments every frame.
        miou_by_distance: mIoU by the number of frames since the key frame, for each method.
        robustness: mIoU by corruption, the mean of all repeats.
        robustness_deviation: Standard deviation of that mIoU between repeats, 0 where nothing is random; None for one repeat.
    """

    clips: int
    frames: int
    labelled_frames: int
    frame_sizes: list[list[int]]
    inference_sizes: list[list[int]]
    key_ms: dict[str, float]
    propagated_ms: dict[str, float]
    key_ms_deviation: dict[str, float]
    propagated_ms_deviation: dict[str, float]
    grid: list[RunFigures]
    miou_by_distance: dict[str, list[float | None]]
    robustness: dict[str, float | None]
    robustness_deviation: dict[str, float | None]


@dataclass(frozen=True, kw_only=True)
class SourceReport:
    """What was found on one source.

    Attributes:
        name: In tables and plots.
        location: As the user gave it.
        notes: What of it was left out and why.
        figures: Of all its clips.
        pictures: Names of the files, by what failed.
    """

    name: str
    location: str
    notes: list[str]
    figures: SourceFigures
    pictures: dict[str, str]

    def as_dict(self) -> dict[str, Any]:
        """For JSON; the figures stand beside the rest."""
        head = {"name": self.name, "location": self.location, "notes": self.notes}
        return {**head, **asdict(self.figures), "pictures": self.pictures}


@dataclass(frozen=True, kw_only=True)
class StudyReport:
    """A model's ways of propagation compared, and on what they were measured.

    Attributes:
        command: That the study was started with.
        model: Its name.
        model_location: Where it was loaded from, as the user gave it.
        parameters: How many it has.
        class_names: By class index, all different.
        has_motion_module: Whether learned flow was measured.
        refines_tracked_flow: Whether learned flow begins with tracked flow.
        cpu: Name of the processor.
        device: ``CPU``, or the name of the GPU.
        threads: CPU threads of each process.
        intervals: Key-frame intervals.
        corruption_every_frames: Robustness was measured on every so many frames.
        corruption_repeats: Random corruptions were measured so many times.
        seed: Of the first of them.
        versions: Of Python and of the libraries that computed this, by name.
        sources: In the order in which they were given, without those of which no clip could be measured.
        failures: Clips that could not be measured, in the same order.
    """

    command: str
    model: str
    model_location: str
    parameters: int
    class_names: list[str]
    has_motion_module: bool
    refines_tracked_flow: bool
    cpu: str
    device: str
    threads: int
    intervals: list[int]
    corruption_every_frames: int
    corruption_repeats: int
    seed: int
    versions: dict[str, str]
    sources: list[SourceReport]
    failures: list[ClipFailure] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the contents of ``study.json``."""
        sources = [source.as_dict() for source in self.sources]
        return {**vars(self), "sources": sources, "failures": [asdict(failure) for failure in self.failures]}
