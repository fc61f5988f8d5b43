"""The sampling loop, one step of a solver, and classifier-free guidance.

Because every schedule is a table of linear updates (schedule.py), sampling is nothing but repeated
denoising: this loop is what the apps run, over torch tensors or numpy arrays alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
from torch import Tensor

from mobile_diffusion.schedule import StepTable

Latents = TypeVar("Latents", Tensor, np.ndarray)


def combine_guidance(null: Latents, conditional: Latents, scale: Latents | float) -> Latents:
    """Classifier-free guidance (Ho and Salimans 2022): scale 0 is `null`, 1 is `conditional`."""
    guided: Latents = null + scale * (conditional - null)
    return guided


def advance(
    table: StepTable, step: int, state: Sequence[Latents], output: Latents, noise: Latents | None = None
) -> list[Latents]:
    """s' = M_i (s, m) + n_i z: the state (latents, then memory), the network's output, fresh noise -> the next one."""
    tensors = list(state) + [output]  # noqa: RUF005 (keeps the type)
    result: list[Latents] = [_weighted(row, tensors) for row in table.update[step]]
    if noise is not None:
        result[0] = result[0] + table.noise[step] * noise
    return result


def _weighted(weights: Sequence[float], tensors: Sequence[Latents]) -> Latents:
    """The sum of w_i x_i; a tensor of weight zero is not touched, whatever it holds."""
    terms = [weight * tensor for weight, tensor in zip(weights, tensors, strict=True) if weight]
    total: Latents = sum(terms[1:], terms[0]) if terms else 0.0 * tensors[0]
    return total


def sample(
    denoise: Callable[[Latents, int], Latents],
    latents: Latents,
    steps: int,
    on_step: Callable[[int, Latents], None] | None = None,
    first: int = 0,
) -> Latents:
    """Apply `denoise(latents, i)` for i = first..steps-1; `on_step(i, latents)` sees the result of each."""
    for step in range(first, steps):
        latents = denoise(latents, step)
        if on_step is not None:
            on_step(step, latents)
    return latents
