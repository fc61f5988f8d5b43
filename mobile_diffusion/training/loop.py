"""The training loop of every method, on CPU and CUDA.

Every random number of step n comes from a generator seeded with (seed, n), so a run that is killed and resumed takes
the same steps as one that was not, also with another number of processes (workers.py).  The network, its batches and
its loss are a `Task`, which a recipe defines (recipes/).
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.progress import Progress, silent
from mobile_diffusion.training import workers
from mobile_diffusion.training.curve import CURVE, CurveRow, append_row, cut_curve
from mobile_diffusion.training.run_folder import (
    STATE,
    check_record,
    has_state,
    kept_from_others,
    load_run_state,
    remove_leftovers,
    room_for,
    write_record,
)
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sharded_state import save_sharded
from mobile_diffusion.training.sharding import checkpoint_blocks, gathered_root, is_sharded, shard
from mobile_diffusion.training.state import TrainState, save_state
from mobile_diffusion.training.stopping import asked_to_stop
from mobile_diffusion.training.workers import WHOLE, BatchShare

LOGGER = logging.getLogger(__name__)


class Task(Protocol):
    """What the loop trains; a recipe defines it."""

    @property
    def module(self) -> nn.Module:
        """The network in training."""

    @property
    def settings(self) -> object:
        """All settings, written to `settings.json`; a run resumes only with the same."""

    @property
    def loop(self) -> LoopSettings:
        """The settings of the loop itself."""

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The mean loss over one part of a batch; `generator` (on the CPU) draws the whole batch."""

    def sheet(self, path: Path) -> None:
        """Draw samples with the module as it is now (it holds the moving average) into a PNG."""


def learning_rate(settings: LoopSettings, step: int) -> float:
    """Linear warm-up, then a cosine to zero at `settings.steps` (Loshchilov and Hutter 2017)."""
    if step < settings.warmup:
        return settings.learning_rate * (step + 1) / settings.warmup
    progress = (step - settings.warmup) / max(1, settings.steps - settings.warmup)
    return settings.learning_rate * 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))


def step_generator(seed: int, step: int) -> torch.Generator:
    """The generator of one step."""
    return torch.Generator().manual_seed((seed << 32) + step)


def average_in(state: TrainState) -> None:
    """Swap weights and moving average; a second call swaps them back."""
    with torch.no_grad():
        for name, value in state.module.named_parameters():
            kept = value.detach().clone()
            value.copy_(state.average[name])
            state.average[name].copy_(kept)


def optimise(task: Task, state: TrainState) -> float:
    """One optimiser step; returns the loss.

    Raises `TrainingError` in every process when the loss or the gradient of any is not finite.
    """
    settings = task.loop
    for group in state.optimizer.param_groups:
        group["lr"] = learning_rate(settings, state.step)
    device = next(task.module.parameters()).device
    parts, total = workers.own_parts(settings.batch, settings.accumulate), 0.0
    for part in parts:
        # A sharded network that runs once without gradients would leave casts in the cache that lead to no weights.
        cached = not is_sharded(task.module)
        with torch.autocast(device.type, torch.bfloat16, enabled=settings.bfloat16, cache_enabled=cached):
            loss = task.loss(state.step, step_generator(settings.seed, state.step), part)
        (loss / len(parts)).backward()
        total += float(loss.detach())
    value = workers.mean(total / len(parts))
    _check_finite(state.step, "loss", value)
    if not is_sharded(task.module):
        workers.average_gradients(task.module)
    norm = torch.nn.utils.clip_grad_norm_(task.module.parameters(), settings.clip)
    _check_finite(state.step, "gradient", float(norm.full_tensor() if isinstance(norm, DTensor) else norm))
    state.optimizer.step()
    state.optimizer.zero_grad()
    state.step += 1
    state.update_average(settings.ema_decay)
    return value


def _check_finite(step: int, name: str, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingError(f"step {step}: expected a finite {name}, got {value}; lower the learning rate")


def open_run(task: Task, run: Path) -> TrainState:
    """Start a run in the folder `run`, or resume the one that is there.

    Raises `TrainingError` when the folder holds a run with other settings or no readable ones, ConfigError for a
    module that cannot be sharded or has no blocks where the settings ask for it.
    """
    settings = task.loop
    if settings.checkpointing:
        checkpoint_blocks(task.module)
    if settings.shard:
        shard(task.module)
    decays = (settings.weight_decay, settings.beta2)
    optimizer = AdamW(task.module.parameters(), lr=0.0, betas=(0.9, decays[1]), weight_decay=decays[0], foreach=True)
    state = TrainState.start(task.module, optimizer)
    run.mkdir(parents=True, exist_ok=True)
    if has_state(run):
        check_record(task.settings, run)
        load_run_state(state, run)
        LOGGER.info("resuming %s at step %d", run, state.step)
    workers.wait()
    if workers.is_first():
        remove_leftovers(run)
        with room_for(run / CURVE):
            cut_curve(run, state.step)
        write_record(task.settings, run)
    return state


def train(task: Task, run: Path, progress: Progress = silent) -> TrainState:
    """Train to the end, saving, logging and drawing as the settings say; returns the final state.

    Progress names the step, and since the last row of the curve the loss and the samples per second.  Raises
    `TrainingError` as `open_run` and `optimise` do, when another process trains in `run`, when the disk is full, and
    after SIGTERM, when the state is saved.
    """
    run.mkdir(parents=True, exist_ok=True)
    with kept_from_others(run) if workers.is_first() else nullcontext():
        state = open_run(task, run)
        with asked_to_stop() as asked:
            _take_steps(task, state, run, progress, asked)
    return state


def _take_steps(task: Task, state: TrainState, run: Path, progress: Progress, asked: Callable[[], bool]) -> None:
    """Train to the end, or until `asked` says so: then the state is saved and `TrainingError` raised."""
    settings, losses = task.loop, list[float]()
    note, since = "", time.monotonic()
    while state.step < settings.steps:
        losses.append(optimise(task, state))
        if state.step % settings.log_every == 0 or state.step == settings.steps:
            loss, speed = sum(losses) / len(losses), len(losses) * settings.batch / (time.monotonic() - since)
            note = f", loss {loss:.4f}, {speed:.0f} samples/s"
            if workers.is_first():
                with room_for(run / CURVE):
                    append_row(CurveRow(state.step, round(loss, 6), round(speed, 1)), run)
            losses, since = [], time.monotonic()
        progress(f"{run.name}: step {state.step} of {settings.steps}{note}", state.step / settings.steps)
        stopped = asked() and state.step < settings.steps
        with room_for(run / STATE):
            if stopped:
                save_state(state, run / STATE)
            else:
                _draw_and_save(task, state, run)
        if stopped:
            raise TrainingError(f"{run}: stopped at step {state.step} by SIGTERM; start again, the run resumes")


def _draw_and_save(task: Task, state: TrainState, run: Path) -> None:
    """Write a sample sheet and the state when they are due; a sharded network needs every process for both.

    The sheet is first: a run that is killed between the two draws it again, and does not go on without it.
    """
    sharded, last = is_sharded(task.module), state.step == task.loop.steps
    if not (sharded or workers.is_first()):
        return
    if state.step % task.loop.sheet_every == 0 or last:
        average_in(state)
        task.module.eval()
        with torch.no_grad(), gathered_root(task.module):
            task.sheet(run / f"sheet-{state.step:06d}.png")
        task.module.train()
        average_in(state)
    if state.step % task.loop.save_every == 0 or last:
        if sharded:
            save_sharded(state, run)
        else:
            save_state(state, run / STATE)
