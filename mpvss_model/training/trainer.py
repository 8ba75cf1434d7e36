"""The training loop: steps, logs, validations, and checkpoints that a killed run goes on from."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, ProjectConfiguration
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader, Dataset

from mpvss_model.errors import ConfigError, DataError, MPVSSError
from mpvss_model.runtime.memory import keep_freed_memory
from mpvss_model.training.config import TrainingConfig
from mpvss_model.training.datasets import Sample
from mpvss_model.training.stages import parameter_groups

__all__ = ["Trainer", "checkpoints", "learning_rate_factor", "new_accelerator"]

CHECKPOINT_PREFIX = "checkpoint-"

Losses = dict[str, torch.Tensor]


class Trainer:
    """Trains one stage.

    All randomness of a step follows from the seed and the number of the step, and a checkpoint holds everything else: weights,
    optimizer, schedule, loss scale. So a run that was killed and resumed takes the same steps as one that was not.

    Args:
        stage: Module that turns a batch into losses, by name.
        dataset: Endless samples, indexed by their number.
        validate: Called now and then, in every process, with the stage; returns metrics by name.
        config: The recipe.
        accelerator: As `new_accelerator` makes it.
        run_dir: For checkpoints and logs.

    Raises:
        ConfigError: If a step's samples cannot be divided among the processes.
    """

    def __init__(
        self,
        *,
        stage: nn.Module,
        dataset: Dataset,
        validate: Callable[[nn.Module], dict[str, float]],
        config: TrainingConfig,
        accelerator: Accelerator,
        run_dir: Path,
    ) -> None:
        if config.batch_size % (config.accumulation_steps * accelerator.num_processes):
            raise ConfigError(
                f"batch_size must be a multiple of accumulation_steps ({config.accumulation_steps}) times processes "
                f"({accelerator.num_processes}), got {config.batch_size}"
            )
        self._config = config
        self._run_dir = run_dir
        self._dataset = dataset
        self._validate = validate
        self._accelerator = accelerator
        if accelerator.device.type == "cpu":  # together, they halve the time of a step
            keep_freed_memory()
            stage = stage.to(memory_format=torch.channels_last)
        elif accelerator.num_processes > 1 and accelerator.device.type == "cuda":
            stage = nn.SyncBatchNorm.convert_sync_batchnorm(stage)
        optimizer = AdamW(parameter_groups(stage, config))
        scheduler = LambdaLR(optimizer, lambda step: learning_rate_factor(step, config))
        self._stage, self._optimizer, self._scheduler = accelerator.prepare(stage, optimizer, scheduler)

    def run(self) -> dict[str, float] | None:
        """Train from the newest checkpoint, or from the start, to the last step.

        Returns:
            The metrics of the model after the last step, or None if ``max_minutes`` were over before.

        Raises:
            DataError: If a sample cannot be read.
            MPVSSError: If the loss is no finite number any more.
        """
        config, metrics = self._config, {}
        start_s = time.monotonic()
        first_step = self._restore()
        self._accelerator.init_trackers("logs", init_kwargs={"tensorboard": {"purge_step": first_step + 1}})
        with _progress_bar(self._accelerator.is_main_process) as bar:
            task = bar.add_task(config.stage, total=config.steps, completed=first_step, loss="")
            recent: list[Losses] = []
            for step, losses in self._steps(first_step):
                recent.append(losses)
                time_is_over = False
                if step % config.log_interval == 0 or step == config.steps:
                    bar.update(task, loss=f"loss {self._log(step, recent):.3f}")
                    recent = []
                    time_is_over = step < config.steps and self._is_over(start_s)
                if step % config.checkpoint_interval == 0 or step == config.steps or time_is_over:
                    self._save(step)
                if time_is_over:
                    self._stop(step, bar.console)
                    return None
                if step % config.validation_interval == 0 or step == config.steps:
                    metrics = self._validate(self._accelerator.unwrap_model(self._stage))
                    self._report(step, metrics, bar.console)
                bar.update(task, completed=step)
        metrics = metrics or self._validate(self._accelerator.unwrap_model(self._stage))
        self._accelerator.end_training()
        return metrics

    def _steps(self, first_step: int) -> Iterator[tuple[int, Losses]]:
        """Take the remaining steps; yields each step's number, counted from 1, and the losses of its last backward pass."""
        config, accelerator = self._config, self._accelerator
        passes = config.accumulation_steps
        self._stage.train()
        for i, batch in enumerate(self._batches(first_step), start=first_step * passes):
            torch.manual_seed(_seed(config.seed, i, accelerator.process_index))
            with accelerator.accumulate(self._stage):
                losses = self._stage(batch)
                accelerator.backward(sum(losses.values()))
                if accelerator.sync_gradients and config.gradient_clip:
                    accelerator.clip_grad_norm_(self._stage.parameters(), config.gradient_clip)
                self._optimizer.step()
                self._scheduler.step()
                self._optimizer.zero_grad()
            if accelerator.sync_gradients:
                yield (i + 1) // passes, {name: loss.detach() for name, loss in losses.items()}

    def _batches(self, first_step: int) -> Iterator[Sample]:
        config = self._config
        loader = DataLoader(
            self._dataset,
            batch_size=config.batch_size // config.accumulation_steps,
            sampler=range(first_step * config.batch_size, config.steps * config.batch_size),
            num_workers=config.workers,
            worker_init_fn=_use_one_thread,
            pin_memory=self._accelerator.device.type == "cuda",
        )
        try:
            yield from self._accelerator.prepare(loader)
        except DataError as error:  # comes with a traceback in its text from another process
            raise DataError(str(error).strip().splitlines()[-1].removeprefix(f"{DataError.__module__}.DataError: ")) from error

    def _is_over(self, start_s: float) -> bool:
        """Whether ``max_minutes`` have passed; the same answer in all processes, so that they stop at the same step."""
        if not self._config.max_minutes:
            return False
        over = time.monotonic() - start_s >= 60 * self._config.max_minutes
        return bool(self._accelerator.reduce(torch.tensor(int(over), device=self._accelerator.device), "sum"))

    def _stop(self, step: int, console: Console) -> None:
        self._accelerator.end_training()
        if self._accelerator.is_main_process:
            steps = self._config.steps
            console.print(f"max_minutes are over: stopped at step {step} of {steps}; started again, the run goes on there")

    def _log(self, step: int, recent: list[Losses]) -> float:
        """Write the mean of recent losses to the log; returns their total."""
        means = {name: float(torch.stack([losses[name] for losses in recent]).mean()) for name in recent[0]}
        total = sum(means.values())
        if not math.isfinite(total):
            raise MPVSSError(f"training diverged: the loss is {total} at step {step}; lower learning_rate or gradient_clip")
        learning_rate = max(self._scheduler.get_last_lr())
        entries = {f"loss/{name}": value for name, value in {"total": total, **means}.items()}
        self._accelerator.log({**entries, "learning_rate": learning_rate}, step)
        return total

    def _report(self, step: int, metrics: dict[str, float], console: Console) -> None:
        """Write metrics to the log and the screen, without those that the validation clips cannot tell."""
        known = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._accelerator.log({f"validation/{name}": value for name, value in known.items()}, step)
        if known and self._accelerator.is_main_process:
            console.print(f"step {step}: {', '.join(f'{name} {value:.4f}' for name, value in known.items())}")

    def _save(self, step: int) -> None:
        """Write a checkpoint under a temporary name, rename it, and only then remove older ones."""
        partial = self._run_dir / "unfinished"
        if self._accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(partial))
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            older = checkpoints(self._run_dir)
            partial.rename(self._run_dir / f"{CHECKPOINT_PREFIX}{step:08d}")
            for checkpoint in older:
                shutil.rmtree(checkpoint)

    def _restore(self) -> int:
        """Load the newest checkpoint; returns its step, or 0 if there is none."""
        found = checkpoints(self._run_dir)
        if not found:
            return 0
        self._accelerator.load_state(str(found[-1]))
        return int(found[-1].name.removeprefix(CHECKPOINT_PREFIX))


def new_accelerator(config: TrainingConfig, run_dir: Path) -> Accelerator:
    """The processes and devices that this process was started with, by ``accelerate launch`` or alone.

    Raises:
        ConfigError: If they cannot compute in the precision that is asked for.
    """
    on_gpu = torch.cuda.is_available()
    precision = config.mixed_precision
    if precision == "auto":
        precision = "no" if not on_gpu else "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if precision == "fp16" and not on_gpu:
        raise ConfigError("mixed_precision 'fp16' needs a GPU, and this machine has none: set it to auto, bf16 or no")
    if on_gpu and precision != "no":
        torch.set_float32_matmul_precision("high")  # TF32
    return Accelerator(
        mixed_precision=precision,
        gradient_accumulation_steps=config.accumulation_steps,
        # Batch sizes are those of all processes together.
        dataloader_config=DataLoaderConfiguration(split_batches=True, non_blocking=True),
        log_with="tensorboard",
        project_config=ProjectConfiguration(project_dir=str(run_dir), logging_dir=str(run_dir)),
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def checkpoints(run_dir: Path) -> list[Path]:
    """Those that are whole, the newest last."""
    return sorted(run_dir.glob(f"{CHECKPOINT_PREFIX}*"))


def learning_rate_factor(step: int, config: TrainingConfig) -> float:
    """Linear warm-up times polynomial decay, for the step that comes after ``step`` others."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return warmup * (1 - min(step, config.steps) / config.steps) ** config.poly_power


def _use_one_thread(worker: int) -> None:
    """In a loading process: there is one for each core already."""
    cv2.setNumThreads(0)


def _progress_bar(visible: bool) -> Progress:
    loss = TextColumn("{task.fields[loss]}")
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), loss)
    return Progress(*columns, disable=not visible)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0] >> 1)
