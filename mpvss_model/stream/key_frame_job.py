"""One key frame being made, at once or in the background, and what comes of it."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import numpy as np
import torch

from mpvss_model.config import StreamConfig
from mpvss_model.errors import first_line
from mpvss_model.runtime.threads import step_back
from mpvss_model.runtime.transfers import all_to_device, to_host
from mpvss_model.segmentor.key_frame import KeyFrame, KeyFrameSegmentor, segmented
from mpvss_model.semantics import ClassesOfMasks, largest_logits, queries_that_matter
from mpvss_model.stamps import seconds
from mpvss_model.stream.change import thumbnail
from mpvss_model.stream.history import History
from mpvss_model.stream.schedule import KeyFrameReason

__all__ = ["Failure", "KeyFrameJob", "Reference", "check_sum", "key_frame_worker", "padded_queries", "sum_to_check"]

# A recorded CUDA graph is of one size; rounding up keeps the number of sizes small.
GPU_QUERY_MULTIPLE = 16


def key_frame_worker() -> Executor:
    """One background thread, started when it is first needed, that does what it is given in that order."""
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="key frames", initializer=step_back)


@dataclass(frozen=True)
class Reference:
    """A finished key frame with all that answering later frames from it takes.

    Attributes:
        key_frame: Its masks.
        queries: Indices ``[Q']`` of the queries, or masks of its history, that matter, in their order.
        places: The same as numbers, so that no frame has to ask a GPU for them.
        classes: Of these.
        thumbnail: Of its image, see `mpvss_model.stream.change`.
        stamp_ns: Of its image.
        reason: Why it was made.
        segmentor_s: How long that took, in seconds of real time.
    """

    key_frame: KeyFrame
    queries: torch.Tensor
    places: tuple[int, ...]
    classes: ClassesOfMasks
    thumbnail: np.ndarray
    stamp_ns: int
    reason: KeyFrameReason
    segmentor_s: float


@dataclass(frozen=True)
class Failure:
    """A key frame that could not be made, and when the next one is to be tried.

    Attributes:
        text: What went wrong, in one line.
        reason: Why the key frame was due.
        stamp_ns: Of the frame with which that was noticed.
        delay_s: Pause after it, before the next one.
    """

    text: str
    reason: KeyFrameReason
    stamp_ns: int
    delay_s: float

    @classmethod
    def of(
        cls, error: Exception, *, reason: KeyFrameReason, previous: Failure | None, stamp_ns: int, config: StreamConfig
    ) -> Failure:
        """The failure with this error, noticed with the frame of this stamp; pauses double from one to the next."""
        delay_s = config.retry_initial_s if previous is None else min(2 * previous.delay_s, config.retry_max_s)
        text = f"key frame failed: {type(error).__name__}: {first_line(error)}; tried again in {delay_s:g} s"
        return cls(text, reason, stamp_ns, delay_s)

    def is_over(self, stamp_ns: int) -> bool:
        """Whether the pause is over with the frame of this stamp."""
        return seconds(stamp_ns - self.stamp_ns) >= self.delay_s


class KeyFrameJob:
    """A frame on its way to become a `Reference`.

    Args:
        segmentor: Makes the key frame.
        query_tolerance: See `StreamConfig`.
        reason: Why it is made.
        frame: uint8 RGB ``[H, W, 3]``.
        stamp_ns: Of the frame.
        history: What earlier key frames say about the frame, if anything.
        memory: `KeyFrame.memory` of the key frame that it comes after, if there is any.
    """

    def __init__(
        self,
        *,
        segmentor: KeyFrameSegmentor,
        query_tolerance: float,
        reason: KeyFrameReason,
        frame: np.ndarray,
        stamp_ns: int,
        history: History | None,
        memory: torch.Tensor | None,
    ) -> None:
        self.reason = reason
        self._segmentor = segmentor
        self._query_tolerance = query_tolerance
        self._seen = frame, stamp_ns, history
        self._memory = memory
        self._has_begun = False
        self._lock = threading.Lock()
        self._future: Future[Reference]  # there is one from `start` on

    def start(self, worker: Executor) -> None:
        """Have the work done in the background, after all that the worker was given before."""
        self._future = worker.submit(self.run)

    def replace_frame(self, frame: np.ndarray, stamp_ns: int, history: History | None) -> bool:
        """Segment a newer frame instead; False if the work on the older one has begun."""
        with self._lock:
            if not self._has_begun:
                self._seen = frame, stamp_ns, history
            return not self._has_begun

    @property
    def has_begun(self) -> bool:
        """Whether `replace_frame` comes too late."""
        return self._has_begun

    @property
    def is_done(self) -> bool:
        """Whether `result` answers at once."""
        return self._future.done()

    def result(self) -> Reference:
        """Wait for the work in the background to end.

        Raises:
            Exception: That of the segmentor, or that it was cancelled.
        """
        return self._future.result()

    def cancel(self, timeout_s: float = 0.0) -> bool:
        """Do not begin the work, or wait for its end; False if it goes on after that time."""
        return self._future.cancel() or not wait([self._future], timeout_s).not_done

    # Threads do not inherit inference mode.
    @torch.inference_mode()
    def run(self) -> Reference:
        """Do the work in this thread.

        Raises:
            Exception: Anything that the segmentor raises.
            ValueError: If its output is not finite.
        """
        with self._lock:
            self._has_begun = True
            frame, stamp_ns, history = self._seen
        started_s = time.monotonic()
        key_frame = segmented(self._segmentor, frame, seconds(stamp_ns), self._memory)
        sums = _sums_to_check(key_frame)
        if history is not None:
            # What is not finite must not be mixed with what is.
            _check_sums(sums, to_host(*sums.values()))
            key_frame, sums = history.joined_by(key_frame), {}
        queries, places, classes = _that_matter(key_frame, self._query_tolerance, sums)
        return Reference(
            key_frame=key_frame,
            queries=queries,
            places=places,
            classes=classes,
            thumbnail=thumbnail(key_frame.image),
            stamp_ns=stamp_ns,
            reason=self.reason,
            segmentor_s=time.monotonic() - started_s,
        )


def padded_queries(queries: torch.Tensor) -> torch.Tensor:
    """Indices of queries, on a GPU the last one again and again up to a number that occurs more often."""
    multiple = GPU_QUERY_MULTIPLE if queries.is_cuda else 1
    missing = -len(queries) % multiple
    return torch.cat([queries, queries[-1:].expand(missing)]) if missing else queries


def sum_to_check(tensor: torch.Tensor) -> torch.Tensor:
    """What `check_sum` is to be asked about, ``[]``, so that a GPU's answer may wait until other results are fetched.

    The sum of logits is finite exactly if they all are, and takes a small part of the time of ``isfinite``.
    """
    return tensor.sum(dtype=torch.float32)


def check_sum(name: str, value: np.ndarray) -> None:
    """Raise `ValueError` unless the values of which this is `sum_to_check`, fetched, are finite."""
    if not np.isfinite(value):
        raise ValueError(f"the {name} hold values that are not finite")


def _sums_to_check(key_frame: KeyFrame) -> dict[str, torch.Tensor]:
    """Of all that a segmentor found, by name."""
    names = ("mask_logits", "class_logits", "queries", *(["memory"] if key_frame.memory is not None else []))
    return {f"segmentor's {name}": sum_to_check(getattr(key_frame, name)) for name in names}


def _check_sums(sums: Mapping[str, torch.Tensor], values: Sequence[np.ndarray]) -> None:
    for name, value in zip(sums, values, strict=True):
        check_sum(name, value)


def _that_matter(
    key_frame: KeyFrame, tolerance: float, sums: Mapping[str, torch.Tensor]
) -> tuple[torch.Tensor, tuple[int, ...], ClassesOfMasks]:
    """`Reference.queries`, their places and their classes, once all sums are checked.

    How many there are decides shapes, so the processor has to know. It chooses them itself: to let a GPU do so takes a dozen
    small operations, and several answers to wait for in place of one.
    """
    masks, class_logits = key_frame.mask_logits, key_frame.class_logits
    if not masks.is_cuda:
        _check_sums(sums, to_host(*sums.values()))
        queries = queries_that_matter(largest_logits(masks), class_logits, tolerance)
        return queries, tuple(queries.tolist()), ClassesOfMasks.of(class_logits[queries])
    found = to_host(largest_logits(masks).float(), class_logits.float(), *sums.values())
    _check_sums(sums, found[2:])
    largest, logits = (torch.from_numpy(array) for array in found[:2])
    chosen = queries_that_matter(largest, logits, tolerance, GPU_QUERY_MULTIPLE)
    of_chosen = ClassesOfMasks.of(logits[chosen])
    on_host = [x.numpy() for x in (chosen, of_chosen.in_order, of_chosen.numbers) if x is not None]
    queries, *in_order_and_numbers = all_to_device(on_host, masks.device)
    return queries, tuple(chosen.tolist()), ClassesOfMasks(class_logits[queries], *in_order_and_numbers)
