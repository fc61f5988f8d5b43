"""Where the pictures of a batch come from: all of them in memory, or a stream of shards (stream.py)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.workers import BatchShare

Picked = tuple[TrainingInputs, Tensor]
"""Some inputs, and which of their pictures, int64 (B,), are a part of a batch."""


class SampleSource(Protocol):
    """Gives the pictures of any step, whenever it is asked."""

    @property
    def null(self) -> Tensor:
        """The null condition, float16 (1, L, D)."""

    def pick(self, step: int, count: int, generator: torch.Generator, part: BatchShare) -> Picked:
        """The part of a step's batch of `count` pictures."""


@dataclass(frozen=True)
class Memory:
    """All inputs at hand, chosen with replacement."""

    inputs: TrainingInputs
    weights: Tensor
    """(N,): how often each picture is chosen."""

    @property
    def null(self) -> Tensor:
        """The null condition, float16 (1, L, D)."""
        return self.inputs.contexts[:1]

    def pick(self, step: int, count: int, generator: torch.Generator, part: BatchShare) -> Picked:
        """All inputs and a part of the rows that `generator` chooses, the same whatever the parts are."""
        return self.inputs, part.of(torch.multinomial(self.weights, count, replacement=True, generator=generator))
