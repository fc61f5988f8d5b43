"""The state of a training run on disk: everything that is needed to resume at the next step.

It is one safetensors file (weights, their moving average, AdamW's moments and steps) whose metadata holds the step.
The file is written under a temporary name and renamed, so a kill at any moment leaves the last complete state.  The
state of a sharded network is in sharded_state.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import AdamW

from mobile_diffusion.errors import TrainingError
from mobile_diffusion.staging import staged_file

MOMENTS = ("exp_avg", "exp_avg_sq")


@dataclass
class TrainState:
    """A module in training, its moving average, its optimiser, and the number of steps done."""

    module: nn.Module
    average: dict[str, Tensor]
    """Exponential moving average of every parameter, float32."""
    optimizer: AdamW
    step: int = 0

    @classmethod
    def start(cls, module: nn.Module, optimizer: AdamW) -> TrainState:
        """State at step zero; the average begins at the initial weights."""
        average = {name: value.detach().clone() for name, value in module.named_parameters()}
        return cls(module, average, optimizer)

    @torch.no_grad()
    def update_average(self, decay: float) -> None:
        """One step of the moving average, with a decay that grows from 0.1 to `decay` over the first steps."""
        decay = min(decay, (1 + self.step) / (10 + self.step))
        torch._foreach_lerp_(list(self.average.values()), list(self.module.parameters()), 1 - decay)


def named_tensors(state: TrainState) -> dict[str, Tensor]:
    """Every tensor of a state under its name on disk.

    AdamW counts steps per parameter, because a block that is dropped from a batch makes no step.
    """
    tensors = {f"average.{name}": value for name, value in state.average.items()}
    for name, value in state.module.named_parameters():
        tensors[f"module.{name}"] = value.detach()
        for part in (*MOMENTS, "step"):
            if value in state.optimizer.state:
                tensors[f"{part}.{name}"] = state.optimizer.state[value][part]
    return tensors


def save_state(state: TrainState, path: Path) -> None:
    """Write the state atomically."""
    contiguous = {name: value.cpu().contiguous() for name, value in named_tensors(state).items()}
    with staged_file(path) as scratch:
        save_file(contiguous, scratch, metadata={"step": str(state.step)})


def load_state(state: TrainState, path: Path) -> None:
    """Fill `state` from `path`; raises `TrainingError` when it is not a state of this module."""
    try:
        with safe_open(path, framework="pt") as file:
            state.step = int((file.metadata() or {})["step"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        _fill(state, tensors)
    except (SafetensorError, KeyError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: expected a training state of this module, got {error}; delete the run to start again"
        ) from None


@torch.no_grad()
def _fill(state: TrainState, tensors: dict[str, Tensor]) -> None:
    every = torch.tensor(float(state.step))  # for states written before steps were stored per parameter
    for name, value in state.module.named_parameters():
        value.copy_(tensors[f"module.{name}"])
        state.average[name].copy_(tensors[f"average.{name}"])
        if f"exp_avg.{name}" in tensors:
            moments = {moment: torch.empty_like(value).copy_(tensors[f"{moment}.{name}"]) for moment in MOMENTS}
            state.optimizer.state[value] = {"step": tensors.get(f"step.{name}", every).clone(), **moments}


@torch.no_grad()
def load_average(module: nn.Module, path: Path) -> None:
    """Give `module` the averaged weights of another run's state; raises `TrainingError` when they do not fit."""
    try:
        with safe_open(path, framework="pt") as file:
            for name, value in module.named_parameters():
                value.copy_(file.get_tensor(f"average.{name}"))
    except (SafetensorError, OSError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TrainingError(f"{path}: expected a training state of this module, got {reason}; give its run") from None
