"""Several processes that train one network: started by torchrun, each computes a share of every batch.

    torchrun --nproc-per-node 8 -m export.cli.main train unet settings.toml --run runs/unet

A batch is the same whatever the number of processes: every one draws all of it from the step's seed and takes every
n-th sample (`BatchShare`), and gradients are averaged, here or by a divided network (sharding.py).  So a run gives
the same curve on one process as on many, up to the order of sums, and goes on with another number than it was begun
with.  Only the first one writes files, but for the state of a divided network (sharded_state.py).
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
"""Values that are exchanged at once: 64 MiB in float32."""
TIMEOUT = timedelta(hours=12)
"""How long processes wait for the first one, which encodes a data set or draws alone; torchrun sees one that died."""


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
    """Find the other processes, if torchrun has started any; leave them when the program ends."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and not distributed.is_initialized():
        distributed.init_process_group(_backend(), timeout=TIMEOUT)
        atexit.register(_leave)


def alone() -> None:
    """Be a group of one, for what needs a group, where torchrun has started no other."""
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
    """CUDA when there is one, the GPU that torchrun gives this process, else the CPU."""
    if not torch.cuda.is_available():
        return torch.device("cpu")
    device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device)
    return device


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


def own_parts(batch: int, accumulate: int) -> list[BatchShare]:
    """The parts of a batch that this process computes, one after the other.

    Raises ConfigError unless the batch divides into parts of one size: their mean would not be the batch's.
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
    """Replace every gradient by its mean over all processes, exchanging a bucket of them at a time.

    Not torch's DistributedDataParallel: it takes part in a call of the module, and a decoder in training is never
    called as one, while the blocks that a batch leaves out would have to be searched for in every graph.
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
    """Gradients in their order, in lists of no more than BUCKET values unless one alone has more."""
    bucket: list[Tensor] = []
    for gradient in gradients:
        if bucket and sum(each.numel() for each in bucket) + gradient.numel() > BUCKET:
            yield bucket
            bucket = []
        bucket.append(gradient)
    if bucket:
        yield bucket
