"""Samples per second in both stages of training, beside what they are with the network of ``transformers`` as it is.

    OMP_NUM_THREADS=1 python -m benchmarks.training_speed --threads 1

Both ways take turns on the same random batches, and processor time is measured, so that what else runs matters less; the
fastest of each way's steps counts.
Before that, both take the same steps with an optimizer, to show that their losses are the same but for rounding.
"""

from __future__ import annotations

import argparse
import copy
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch

from mpvss_model.checkpoints.starting_model import load_start, with_motion
from mpvss_model.config import DEFAULT_MODEL
from mpvss_model.runtime.device import processor_name
from mpvss_model.runtime.memory import keep_freed_memory
from mpvss_model.segmentor.mask2former.training_network import TrainedMask2Former
from mpvss_model.segmentor.shipped_models import model_location
from mpvss_model.training.recipe.config import DataConfig, LossConfig, TrainingConfig
from mpvss_model.training.stages import MotionStage, SegmentorStage, Stage, parameter_groups

Batch = dict[str, torch.Tensor]
HEIGHT, WIDTH = 224, 288
BLOCK = 32
SHIFT_PX = 6


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=DEFAULT_MODEL)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--pairs", type=int, default=4, help="later frames that share a key frame, in a third row")
    parser.add_argument("--steps", type=int, default=20, help="for the comparison of losses")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    keep_freed_memory()
    print(f"{_processor()}, {arguments.threads} thread(s), torch {torch.__version__}, {arguments.batch} samples a step")
    stages = {"segmentor": (segmentor_stage, 1), "motion": (motion_stage, 1)}
    if arguments.pairs > 1:
        stages[f"motion, {arguments.pairs} pairs per key frame"] = (motion_stage, arguments.pairs)
    for name, (new_stage, pairs) in stages.items():
        stage = new_stage(arguments.model)
        difference = largest_difference(stage, arguments.batch, pairs, arguments.steps)
        before_s, after_s = fastest(stage, arguments.batch, pairs, arguments.repeats)
        print(
            f"{name}: {arguments.batch / before_s:.2f} -> {arguments.batch / after_s:.2f} samples per s of processor time, "
            f"{before_s / after_s:.2f} times; losses of {arguments.steps} steps differ by at most {difference:.1e}, relative",
            flush=True,
        )


def segmentor_stage(model: str) -> Stage:
    """Of a light segmentor with frozen norms, as the shipped recipes train it."""
    start = load_start(model_location(model))
    settings = {"image_mean": start.image_mean, "image_std": start.image_std, "loss": LossConfig(train_num_points=1024)}
    return _ready(SegmentorStage(start.network, freeze_backbone_norms=True, **settings))


def motion_stage(model: str) -> Stage:
    """With a motion module that does not refine tracked flow."""
    start = load_start(model_location(model))
    settings = {"image_mean": start.image_mean, "image_std": start.image_std, "loss": LossConfig(train_num_points=1024)}
    return _ready(MotionStage(with_motion(start, {"refines_tracked_flow": False}), **settings))


def _ready(stage: Stage) -> Stage:
    return stage.to(memory_format=torch.channels_last).train()


def batches(stage: Stage, size: int, pairs: int, count: int) -> Iterator[Batch]:
    """Blocks of color with noise, each color a class; in the stage ``motion`` they move."""
    rng = np.random.default_rng(0)
    for _ in range(count):
        blocks = rng.integers(0, 8, (size, HEIGHT // BLOCK, WIDTH // BLOCK))
        labels = np.kron(blocks, np.ones((1, BLOCK, BLOCK))).astype(np.uint8)
        images = 25 * labels[:, None] + rng.integers(0, 50, (size, 3, HEIGHT, WIDTH), np.uint8)
        image, label = torch.from_numpy(images), torch.from_numpy(labels)
        if isinstance(stage, SegmentorStage):
            yield {"image": image, "label": label}
            continue
        flow = torch.full((size, 2, HEIGHT // 8, WIDTH // 8), torch.nan)
        later = {"image": image.roll(SHIFT_PX, 3), "label": label.roll(SHIFT_PX, 2), "flow": flow}
        if pairs > 1:
            later = {name: values.unflatten(0, (-1, pairs)) for name, values in later.items()}
        yield {"key_image": image[::pairs], **later}


def largest_difference(stage: Stage, size: int, pairs: int, steps: int) -> float:
    """Of the total losses of both ways in training steps, relative."""
    courses = [course(copy.deepcopy(stage), way, size, pairs, steps) for way in (as_transformers, as_it_is)]
    return max(abs(fast - plain) / plain for plain, fast in zip(*courses, strict=True))


def course(stage: Stage, way: Callable, size: int, pairs: int, steps: int) -> list[float]:
    """The total losses of training steps."""
    config = TrainingConfig(data=DataConfig(root="-"), learning_rate=1e-4)
    optimizer = torch.optim.AdamW(parameter_groups(stage, config))
    losses = []
    with way():
        for i, batch in enumerate(batches(stage, size, pairs, steps)):
            losses.append(step(stage, batch, seed=i))
            optimizer.step()
            optimizer.zero_grad()
    return losses


def fastest(stage: Stage, size: int, pairs: int, repeats: int) -> tuple[float, float]:
    """Seconds of processor time of a step, of each way."""
    (batch,) = batches(stage, size, pairs, 1)
    # Before, each later frame came with a key frame of its own.
    alone = batch
    if pairs > 1:
        key_images = batch["key_image"].repeat_interleave(pairs, 0)
        alone = {name: values.flatten(0, 1) for name, values in batch.items() if name != "key_image"}
        alone["key_image"] = key_images
    ways = {as_transformers: (copy.deepcopy(stage), alone), as_it_is: (copy.deepcopy(stage), batch)}
    seconds: dict[Callable, list[float]] = {way: [] for way in ways}
    for _ in range(repeats + 1):  # the first one is not counted
        for way, (own, own_batch) in ways.items():
            with way():
                started_s = time.process_time()
                step(own, own_batch, seed=0)
                seconds[way].append(time.process_time() - started_s)
            own.zero_grad()
    return tuple(min(values[1:]) for values in seconds.values())


def step(stage: Stage, batch: Batch, seed: int) -> float:
    """Forward and backward; the random points of the losses are the same for both ways."""
    total = sum(with_seeded_losses(stage, batch, seed).values())
    total.backward()
    return float(total.detach())


def with_seeded_losses(stage: Stage, batch: Batch, seed: int) -> Batch:
    """The stage's losses; the network of ``transformers`` draws numbers of its own before."""
    import mpvss_model.training.stages as stages

    losses = stages.segmentation_losses

    def seeded(*arguments: object) -> Batch:
        torch.manual_seed(seed)
        return losses(*arguments)

    stages.segmentation_losses = seeded
    try:
        return stage(batch)
    finally:
        stages.segmentation_losses = losses


@contextmanager
def as_transformers() -> Iterator[None]:
    """With the network as it is."""
    can_replace = TrainedMask2Former.can_replace
    TrainedMask2Former.can_replace = staticmethod(lambda model: False)
    try:
        yield
    finally:
        TrainedMask2Former.can_replace = staticmethod(can_replace)


@contextmanager
def as_it_is() -> Iterator[None]:
    """As training computes."""
    yield


def _processor() -> str:
    """Its name and what of it matters here."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "unknown processor"
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    values = {name.strip(): value.strip() for name, value in fields.items()}
    flags = [flag for flag in values.get("flags", "").split() if flag in ("avx2", "avx512f", "avx512_bf16", "amx_bf16")]
    return f"{processor_name()} ({', '.join(flags)})"


if __name__ == "__main__":
    main()
