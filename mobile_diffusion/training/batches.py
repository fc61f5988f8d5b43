"""What a batch is drawn from: pictures in memory or a stream of shards (stream.py), with weights and captions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from mobile_diffusion.data import Sample
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.workers import WHOLE, BatchShare

Picked = tuple[TrainingInputs, Tensor]
"""Some inputs, and the rows int64 (B,) of the pictures that form one part of a batch."""


class SampleSource(Protocol):
    """Returns the pictures of any step, in any order of calls."""

    @property
    def null(self) -> Tensor:
        """The null condition, float16 (1, L, D)."""

    def pick(self, step: int, count: int, generator: torch.Generator, part: BatchShare) -> Picked:
        """One part of a step's batch of `count` pictures."""


@dataclass(frozen=True)
class Memory:
    """All inputs in memory, drawn with replacement."""

    inputs: TrainingInputs
    weights: Tensor
    """(N,): how often each picture is drawn, relative to the others."""

    @property
    def null(self) -> Tensor:
        """The null condition, float16 (1, L, D)."""
        return self.inputs.contexts[:1]

    def pick(self, step: int, count: int, generator: torch.Generator, part: BatchShare) -> Picked:
        """All inputs, and one part of the rows that `generator` draws; the whole batch is the same for any parts."""
        return self.inputs, part.of(torch.multinomial(self.weights, count, replacement=True, generator=generator))


def family_weights(samples: list[Sample], power: float) -> Tensor:
    """Sampling weight of every picture, float64 (N,): 1 / (size of its concept family) ** power.

    Families such as clock faces are many near-duplicates; without weights they crowd out single concepts.
    """
    sizes = Counter(sample.family for sample in samples)
    return torch.tensor([sizes[sample.family] ** -power for sample in samples], dtype=torch.float64)


def choose_captions(
    inputs: TrainingInputs,
    chosen: Tensor,
    label_share: float,
    dropout: float,
    generator: torch.Generator,
    part: BatchShare = WHOLE,
) -> Tensor:
    """Rows int64 (B,) of `inputs.contexts`: the label in one of its forms, any caption, or (a share `dropout`) none.

    `chosen` (B,) are the pictures of one part of a batch; the generator draws for the whole batch.
    """
    drawn = torch.rand(3, len(chosen) * part.count, generator=generator)
    label, other, dropped = (part.of(each) for each in drawn)
    choices = torch.where(label < label_share, inputs.label_forms, inputs.caption_count[chosen])
    rows = inputs.first_caption[chosen] + (other * choices).long()
    return torch.where(dropped < dropout, 0, rows)
