"""The training loop: one for the autoencoder and the U-Net, on CPU and CUDA.

Every random number of step n comes from a generator seeded by (seed, n), so a run that is killed and resumed
takes the very steps it would have taken, with as many processes as there are then (workers.py).  What is trained, on
what and for what loss is a `Task`.
"""

from __future__ import annotations

import json
import logging
import math
import os
import time
from pathlib import Path
from typing import Protocol

import torch
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import AdamW

from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import ConfigError, TrainingError
from mobile_diffusion.training import workers
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sharded_state import load_sharded, newest_state, save_sharded
from mobile_diffusion.training.sharding import checkpoint_blocks, gathered_root, is_sharded, shard
from mobile_diffusion.training.state import TrainState, load_state, save_state
from mobile_diffusion.training.workers import WHOLE, BatchShare

STATE, CURVE, SETTINGS = "state.safetensors", "curve.jsonl", "settings.json"
LOGGER = logging.getLogger(__name__)


class Task(Protocol):
    """What the loop trains."""

    @property
    def module(self) -> nn.Module:
        """The network in training."""

    @property
    def settings(self) -> object:
        """The whole settings, for the record."""

    @property
    def loop(self) -> LoopSettings:
        """The part of the settings that the loop itself needs."""

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """The mean loss over a part of one batch; `generator` (on the CPU) chooses the whole batch."""

    def sheet(self, path: Path) -> None:
        """Draw samples with the module as it is now (the moving average is swapped in) into a PNG."""


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
    """Swap weights and moving average; call it twice to swap back."""
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
        # A divided network that runs once without gradients would leave casts in the cache that lead to no weights.
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
    """Start a run in folder `run`, or go on with the one that is there.

    Raises `TrainingError` when the folder holds a run with other settings, ConfigError for a module that cannot be
    divided or has no blocks where the settings ask for it.
    """
    settings = task.loop
    if settings.checkpointing:
        checkpoint_blocks(task.module)
    if settings.shard:
        shard(task.module)
    decays = (settings.weight_decay, settings.beta2)
    optimizer = AdamW(task.module.parameters(), lr=0.0, betas=(0.9, decays[1]), weight_decay=decays[0], foreach=True)
    state = TrainState.start(task.module, optimizer)
    record = json.dumps(to_dict(task.settings), indent=1)
    run.mkdir(parents=True, exist_ok=True)
    folder = newest_state(run)
    if folder is not None or (run / STATE).exists():
        if not _is_record_of(task.settings, run / SETTINGS):
            raise TrainingError(f"{run}: expected this run's settings and networks, got others; choose another --run")
        if folder is not None:
            load_sharded(state, folder)
        else:
            load_state(state, run / STATE)
        LOGGER.info("resuming %s at step %d", run, state.step)
    workers.wait()
    if workers.is_first():
        _cut_curve(run / CURVE, state.step)
        (run / SETTINGS).write_text(record)
    return state


def _is_record_of(settings: object, path: Path) -> bool:
    """Whether a run's record says these settings; a field that it does not know yet had its default."""
    try:
        return bool(from_dict(type(settings), json.loads(path.read_text())) == settings)
    except (ConfigError, OSError, ValueError):
        return False


def _cut_curve(path: Path, step: int) -> None:
    """Drop the rows that a killed run wrote behind its last state."""
    lines = path.read_text().splitlines(keepends=True) if path.exists() else []
    path.write_text("".join(line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= step))


def train(task: Task, run: Path) -> TrainState:
    """Train to the end, saving, logging and drawing as the settings say; returns the final state."""
    settings = task.loop
    state = open_run(task, run)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    curve_path = run / CURVE if workers.is_first() else Path(os.devnull)
    with Progress(*columns, disable=not workers.is_first()) as progress, curve_path.open("a", buffering=1) as curve:
        bar = progress.add_task(run.name, total=settings.steps, completed=state.step, note="")
        losses: list[float] = []
        since = time.monotonic()
        while state.step < settings.steps:
            losses.append(optimise(task, state))
            progress.update(bar, completed=state.step)
            if state.step % settings.log_every == 0 or state.step == settings.steps:
                seconds = time.monotonic() - since
                loss, speed = sum(losses) / len(losses), len(losses) * settings.batch / seconds
                progress.update(bar, note=f"loss {loss:.4f}, {speed:.0f} samples/s")
                row = {"step": state.step, "loss": round(loss, 6), "samples_per_second": round(speed, 1)}
                curve.write(json.dumps(row) + "\n")
                losses, since = [], time.monotonic()
            _save_and_draw(task, state, run)
    return state


def _save_and_draw(task: Task, state: TrainState, run: Path) -> None:
    """Write the state and a sample sheet when their step has come; a divided network needs every process for both."""
    divided, last = is_sharded(task.module), state.step == task.loop.steps
    if not (divided or workers.is_first()):
        return
    if state.step % task.loop.save_every == 0 or last:
        if divided:
            save_sharded(state, run)
        else:
            save_state(state, run / STATE)
    if state.step % task.loop.sheet_every == 0 or last:
        average_in(state)
        task.module.eval()
        with torch.no_grad(), gathered_root(task.module):
            task.sheet(run / f"sheet-{state.step:06d}.png")
        task.module.train()
        average_in(state)
