"""The training loop: steps, logs, validations, and checkpoints that a killed run goes on from."""

from __future__ import annotations

import math
import shutil
import signal
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, ProjectConfiguration
from rich.console import Console
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from mpvss_model.errors import ConfigError, DataError, MPVSSError
from mpvss_model.runtime.interruption import SIGNALS, StopSignals
from mpvss_model.runtime.memory import keep_freed_memory
from mpvss_model.training.averaging import WeightAverage
from mpvss_model.training.interruption import TrainingInterrupted
from mpvss_model.training.recipe.config import TrainingConfig
from mpvss_model.training.reporting import Reporter
from mpvss_model.training.run_folder import STATE_DIR, Progress, RunFolder
from mpvss_model.training.samples.datasets import ClipDataset, Sample
from mpvss_model.training.samples.mixture import MixedDataset
from mpvss_model.training.stages import parameter_groups

__all__ = ["Trainer", "Validate", "learning_rate_factor", "new_accelerator"]

# By which models are compared.
BEST_METRIC = "miou"

Losses = dict[str, torch.Tensor]
Metrics = dict[str, float]
# Of a stage; asked before each frame whether to stop. Returns metrics by name, none without validation data, or None if any
# process was to stop.
Validate = Callable[[nn.Module, Callable[[], bool]], Metrics | None]


class Trainer:
    """Trains one stage.

    All randomness of a step follows from the seed and the number of the step, and a checkpoint holds everything else: weights,
    optimizer, schedule, loss scale. So a run that was killed and resumed takes the same steps as one that was not.

    Args:
        stage: Module that turns a batch into losses, by name.
        dataset: Endless samples, indexed by their number.
        validate: Called now and then, in every process.
        save_model: Writes a stage's model into a folder.
        config: The recipe.
        accelerator: As `new_accelerator` makes it.
        folder: For checkpoints and logs.
        console: Where progress is told.

    Raises:
        ConfigError: If a step's samples cannot be divided among the processes.
    """

    def __init__(
        self,
        *,
        stage: nn.Module,
        dataset: ClipDataset | MixedDataset,
        validate: Validate,
        save_model: Callable[[nn.Module, Path], None],
        config: TrainingConfig,
        accelerator: Accelerator,
        folder: RunFolder,
        console: Console,
    ) -> None:
        if config.batch_size % (config.accumulation_steps * accelerator.num_processes * dataset.samples_per_item):
            raise ConfigError(
                f"batch_size must be a multiple of accumulation_steps ({config.accumulation_steps}) times processes "
                f"({accelerator.num_processes}) times pairs_per_key_frame ({dataset.samples_per_item}), got "
                f"{config.batch_size}"
            )
        self._config = config
        self._folder = folder
        self._console = console
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
        self._average = WeightAverage(stage, config.averaging) if config.averaging else None
        if self._average is not None:
            self._average.to(accelerator.device)
            accelerator.register_for_checkpointing(self._average)
        self._stage, self._optimizer, self._scheduler = accelerator.prepare(stage, optimizer, scheduler)
        self._save_model = lambda folder: save_model(self.result, folder)

    @property
    def result(self) -> nn.Module:
        """The stage with the weights that are validated and written: those of the last step, or their moving average."""
        return self._accelerator.unwrap_model(self._stage) if self._average is None else self._average.module

    def run(self) -> Metrics | None:
        """Train from the newest checkpoint, or from the start, to the last step.

        Returns:
            The metrics of the model after the last step, or None if ``max_minutes`` were over before.

        Raises:
            DataError: If a sample cannot be read.
            TrainingInterrupted: If SIGINT or SIGTERM came; there is a checkpoint then.
            MPVSSError: If the loss is no finite number any more.
        """
        config = self._config
        done = self._restore()
        self._clock = _Clock(done.minutes)
        self._saved_step = done.step if self._folder.checkpoints() else None
        self._accelerator.init_trackers("logs", init_kwargs={"tensorboard": {"purge_step": done.step + 1}})
        reporter = Reporter(self._console, title=config.stage, total=config.steps, done=done.step)
        with reporter, StopSignals() as signals:
            metrics = self._train(done, reporter, signals)
        self._accelerator.end_training()
        return metrics

    def _train(self, done: Progress, reporter: Reporter, signals: StopSignals) -> Metrics | None:
        config = self._config
        metrics: Metrics = {}
        first_step = done.step
        if 0 < first_step < config.steps and self._is_over():
            self._say_over(first_step, reporter)
            return None
        if self._is_validation_due(first_step) and not done.is_validated:
            metrics = self._measure(first_step, reporter, signals)
        recent: list[Losses] = []
        self._clock.start_rate(first_step)
        for step, losses in self._steps(first_step):
            recent.append(losses)
            is_last, is_over = step == config.steps, False
            if step % config.log_interval == 0 or is_last:
                self._log(step, recent, reporter)
                recent = []
                is_over = not is_last and self._is_over()
            interrupted = self._agreed(signals.received or 0)
            if interrupted:
                self._stop(step, interrupted)
            if is_last or is_over or self._is_checkpoint_due(step):
                self._save(step)
            if is_over:
                self._say_over(step, reporter)
                return None
            if self._is_validation_due(step):
                metrics = self._measure(step, reporter, signals)
            reporter.advance(step)
        return metrics or self._validated(first_step, signals)

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
                if self._average is not None:
                    self._average.update_parameters(accelerator.unwrap_model(self._stage))
                yield (i + 1) // passes, {name: loss.detach() for name, loss in losses.items()}

    def _batches(self, first_step: int) -> Iterator[Sample]:
        config = self._config
        items = config.batch_size // self._dataset.samples_per_item  # of a step
        loader = DataLoader(
            self._dataset,
            batch_size=items // config.accumulation_steps,
            sampler=range(first_step * items, config.steps * items),
            num_workers=config.workers,
            worker_init_fn=_prepare_worker,
            pin_memory=self._accelerator.device.type == "cuda",
        )
        try:
            yield from self._accelerator.prepare(loader)
        except Exception as error:
            # The frames hold the loader, for whose processes Python would wait at its end: they wait for more to do.
            traceback.clear_frames(error.__traceback__)
            if isinstance(error, DataError):  # comes with a traceback in its text from another process
                told = str(error).strip().splitlines()[-1].removeprefix(f"{DataError.__module__}.DataError: ")
                raise DataError(told) from error
            raise

    def _agreed(self, number: int) -> int:
        """The largest of the processes' numbers, so that all of them stop at the same step."""
        if self._accelerator.num_processes == 1:
            return number
        numbers = self._accelerator.gather(torch.tensor([number], device=self._accelerator.device))
        return int(numbers.max())

    def _is_over(self) -> bool:
        """Whether ``max_minutes`` have passed."""
        limit = self._config.max_minutes
        return bool(self._agreed(int(bool(limit) and self._clock.minutes >= limit)))

    def _is_checkpoint_due(self, step: int) -> bool:
        config = self._config
        if step % config.checkpoint_interval == 0:
            return True
        if not config.checkpoint_minutes or step % config.log_interval:
            return False
        return bool(self._agreed(int(self._clock.minutes_since_mark >= config.checkpoint_minutes)))

    def _say_over(self, step: int, reporter: Reporter) -> None:
        reporter.say(
            f"max_minutes are over: stopped at step {step} of {self._config.steps}; started again with more minutes, the run "
            "goes on there"
        )

    def _is_validation_due(self, step: int) -> bool:
        return step % self._config.validation_interval == 0 or step == self._config.steps

    def _stop(self, step: int, signal_number: int) -> NoReturn:
        """Leave a checkpoint because of a signal."""
        self._save(step)
        self._accelerator.end_training()
        raise TrainingInterrupted(
            f"stopped by {signal.Signals(signal_number).name} at step {step} of {self._config.steps}, with a checkpoint in "
            f"{self._folder.path}: the same command goes on from there",
            signal_number,
        )

    def _log(self, step: int, recent: list[Losses], reporter: Reporter) -> None:
        """Tell the mean of recent losses, over all processes."""
        own = torch.stack([torch.stack(list(losses.values())) for losses in recent]).mean(dim=0)
        means = dict(zip(recent[0], self._accelerator.reduce(own, "mean").tolist(), strict=True))
        total = sum(means.values())
        if not math.isfinite(total):
            raise MPVSSError(f"training diverged: the loss is {total} at step {step}; lower learning_rate or gradient_clip")
        learning_rate = max(self._scheduler.get_last_lr())
        steps_per_s = self._clock.rate(step)
        entries = {f"loss/{name}": value for name, value in {"total": total, **means}.items()}
        self._accelerator.log({**entries, "learning_rate": learning_rate, "steps_per_s": steps_per_s}, step)
        reporter.losses(step, means, learning_rate=learning_rate, steps_per_s=steps_per_s)

    def _measure(self, step: int, reporter: Reporter, signals: StopSignals) -> Metrics:
        """Validate, tell the metrics that the validation clips can tell, and keep the model if it is the best so far."""
        with self._clock.paused_rate():
            metrics = self._validated(step, signals)
        known = {name: value for name, value in metrics.items() if math.isfinite(value)}
        self._accelerator.log({f"validation/{name}": value for name, value in known.items()}, step)
        reporter.validation(step, metrics)
        if self._accelerator.is_main_process and step and BEST_METRIC in known:
            self._keep_if_best(step, known)
        if self._accelerator.is_main_process:
            self._folder.note_validation(step)
        return metrics

    def _validated(self, step: int, signals: StopSignals) -> Metrics:
        """The metrics of the model after a step; a signal ends the validation at once, not after what may be minutes."""
        metrics = self._validate(self.result, lambda: signals.received is not None)
        if metrics is None:
            self._stop(step, self._agreed(signals.received or 0))
        return metrics

    def _keep_if_best(self, step: int, metrics: Mapping[str, float]) -> None:
        if metrics[BEST_METRIC] > self._folder.best_metrics().get(BEST_METRIC, -math.inf):
            self._folder.keep_best({"step": step, **metrics}, self._save_model)

    def _save(self, step: int) -> None:
        """Write a checkpoint under a temporary name, rename it, and only then remove older ones."""
        self._clock.mark()
        if step == self._saved_step:
            return
        partial = self._folder.unfinished()
        if self._accelerator.is_main_process:
            shutil.rmtree(partial, ignore_errors=True)
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(partial / STATE_DIR))
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            self._folder.add_checkpoint(Progress(step, self._clock.minutes), self._save_model)
        self._saved_step = step

    def _restore(self) -> Progress:
        """Load the newest checkpoint; returns how far it had come."""
        state = self._folder.newest_state()
        if state is not None:
            self._accelerator.load_state(str(state))
        return self._folder.progress()


class _Clock:
    """How long a run has taken, and how fast its steps are without validation.

    Args:
        earlier_minutes: Of earlier parts of the run.
    """

    def __init__(self, earlier_minutes: float) -> None:
        self._start_s = time.monotonic() - 60 * earlier_minutes
        self._mark_s = time.monotonic()
        self._rate_start = (0, self._mark_s)

    @property
    def minutes(self) -> float:
        return (time.monotonic() - self._start_s) / 60

    @property
    def minutes_since_mark(self) -> float:
        return (time.monotonic() - self._mark_s) / 60

    def mark(self) -> None:
        self._mark_s = time.monotonic()

    def start_rate(self, step: int) -> None:
        """Count steps and their time from here on."""
        self._rate_start = step, time.monotonic()

    def rate(self, step: int) -> float:
        """Steps per second since this was asked last, or since the start; above 0 after a step."""
        start_step, start_s = self._rate_start
        self.start_rate(step)
        return (step - start_step) / max(time.monotonic() - start_s, 1e-9)

    @contextmanager
    def paused_rate(self) -> Iterator[None]:
        """Let what happens inside not count as time of steps."""
        start_s = time.monotonic()
        yield
        step, rate_start_s = self._rate_start
        self._rate_start = step, rate_start_s + time.monotonic() - start_s


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


def learning_rate_factor(step: int, config: TrainingConfig) -> float:
    """Linear warm-up times polynomial decay, for the step that comes after ``step`` others."""
    warmup = min(1.0, (step + 1) / (config.warmup_steps + 1))
    return warmup * (1 - min(step, config.steps) / config.steps) ** config.poly_power


def _prepare_worker(worker: int) -> None:
    """A loading process uses one thread, since there is one for each core already, and leaves signals to the training process.

    Ctrl-C, ``timeout`` and systemd send them to all processes; without its workers, training could not finish its step.
    """
    cv2.setNumThreads(0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _seed(*numbers: int) -> int:
    return int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0]) >> 1
