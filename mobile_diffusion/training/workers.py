"""Several processes that train one network: started by torchrun, each computes a share of every batch.

    torchrun --nproc-per-node 8 -m export.cli.main train unet settings.toml --run runs/unet

A batch is the same whatever the number of processes: every one draws all of it from the step's seed and takes every
n-th sample (`Part`), and gradients are averaged.  So a run gives the same curve on one process as on many, up to the
order of sums, and goes on with another number than it was begun with.  Only the first one writes files.
"""

from __future__ import annotations

import atexit
import os
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from mobile_diffusion.errors import ConfigError


@dataclass(frozen=True)
class Part:
    """Every `count`-th sample of a batch from sample `index` on."""

    index: int = 0
    count: int = 1

    def of(self, batch: Tensor) -> Tensor:
        """The samples of the part: (B, ...) -> (B / count, ...)."""
        return batch[self.index :: self.count]


WHOLE = Part()


def join() -> None:
    """Find the other processes, if torchrun has started any; leave them when the program ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
        atexit.register(distributed.destroy_process_group)


def count() -> int:
    """Processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Which of them this is, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


def wait() -> None:
    """Go on when every process has come here."""
    if distributed.is_initialized():
        distributed.barrier()


def own_parts(batch: int, accumulate: int) -> list[Part]:
    """The parts of a batch that this process computes, one after the other.

    Raises ConfigError unless the batch divides into parts of one size: their mean would not be the batch's.
    """
    total = count() * accumulate
    if batch % total:
        raise ConfigError(f"batch: expected a multiple of {count()} processes x {accumulate} parts, got {batch}")
    return [Part(rank() * accumulate + number, total) for number in range(accumulate)]


def mean(value: float) -> float:
    """The mean of a number over all processes, in float64."""
    if not distributed.is_initialized():
        return value
    # NCCL reduces on the GPU only.
    shared = torch.tensor(value, dtype=torch.float64, device="cuda" if torch.cuda.is_available() else "cpu")
    distributed.all_reduce(shared)
    return float(shared) / count()


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over all processes, in one exchange."""
    if not distributed.is_initialized():
        return
    gradients = [value.grad for value in module.parameters() if value.grad is not None]
    flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
    distributed.all_reduce(flat)
    start = 0
    for gradient in gradients:
        gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient) / count())
        start += gradient.numel()
