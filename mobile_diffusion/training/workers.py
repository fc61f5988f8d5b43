"""Several processes that train one network: torchrun starts them, and each computes a share of every batch.

    torchrun --nproc-per-node 8 --no-python mobile-diffusion train unet settings.toml --run runs/unet

A batch is the same for any number of processes: each process draws all of it from the step's seed and takes every n-th
sample (`BatchShare`), and gradients are averaged, here or by a sharded network (sharding.py).  So the curve does not
depend on the number of processes, up to the order of sums, and a run can resume with another number.  Only the first
process writes files, except for the state of a sharded network (sharded_state.py).
"""

from __future__ import annotations

import atexit
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import torch
from torch import Tensor, distributed, nn

from mobile_diffusion.errors import ConfigError

BUCKET = 1 << 24
"""Number of values exchanged at once: 64 MiB in float32."""
TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first one while it encodes a data set or draws; torchrun notices one that died."""


@dataclass(frozen=True)
class BatchShare:
    """Every `count`-th sample of a batch from sample `index` on."""

    index: int = 0
    count: int = 1

    def of(self, batch: Tensor) -> Tensor:
        """The samples of the part: (B, ...) -> (B / count, ...)."""
        return batch[self.index :: self.count]


WHOLE = BatchShare()


def join() -> None:
    """Join the other processes if torchrun has started any; leave them when the program ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group(_backend(), timeout=TIMEOUT)
        atexit.register(_leave)


def alone() -> None:
    """Form a group of one process, for code that needs a group, unless torchrun has started one."""
    if not distributed.is_initialized():
        store = distributed.HashStore()  # type: ignore[attr-defined]
        distributed.init_process_group(_backend(), store=store, rank=0, world_size=1)
        atexit.register(_leave)


def _backend() -> str:
    return "nccl" if torch.cuda.is_available() else "gloo"


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()


def choose_device() -> torch.device:
    """The GPU that torchrun assigns to this process, or the first one; the CPU where there is none."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


def count() -> int:
    """Number of processes that train together."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def rank() -> int:
    """Number of this process, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def is_first() -> bool:
    """Whether this process writes the files."""
    return rank() == 0


def wait() -> None:
    """Wait until every process has called this."""
    if distributed.is_initialized():
        distributed.barrier()


def own_parts(batch: int, accumulate: int) -> list[BatchShare]:
    """The parts of a batch that this process computes, one after the other.

    Raises ConfigError unless the batch divides into parts of equal size; otherwise their mean would not be the batch's.
    """
    total = count() * accumulate
    if batch % total:
        raise ConfigError(f"batch: expected a multiple of {count()} processes x {accumulate} parts, got {batch}")
    return [BatchShare(rank() * accumulate + number, total) for number in range(accumulate)]


def mean(value: float) -> float:
    """The mean of a number over all processes, in float64."""
    if not distributed.is_initialized():
        return value
    # NCCL reduces on the GPU only.
    shared = torch.tensor(value, dtype=torch.float64, device="cuda" if torch.cuda.is_available() else "cpu")
    distributed.all_reduce(shared)
    return float(shared) / count()


def average_gradients(module: nn.Module) -> None:
    """Replace every gradient by its mean over all processes, one bucket at a time.

    torch's DistributedDataParallel does not fit: it hooks into the call of the module, but a decoder in training is
    never called as one module, and DDP would have to search every graph for the blocks that a batch drops.
    """
    if not distributed.is_initialized():
        return
    for bucket in _buckets([value.grad for value in module.parameters() if value.grad is not None]):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        distributed.all_reduce(flat)
        means = (flat / count()).split([gradient.numel() for gradient in bucket])
        for gradient, mean_gradient in zip(bucket, means, strict=True):
            gradient.copy_(mean_gradient.view_as(gradient))


def _buckets(gradients: list[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in their order, in lists of at most BUCKET values, or of one gradient that has more."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(each.numel() for each in bucket) + gradient.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
