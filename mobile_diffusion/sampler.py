"""The sampling loop and classifier-free guidance.

Because every schedule is a table of linear updates (schedule.py), sampling is nothing but repeated
denoising: this loop is what the apps run, over torch tensors or numpy arrays alike.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
from torch import Tensor

Latents = TypeVar("Latents", Tensor, np.ndarray)


def combine_guidance(null: Latents, conditional: Latents, scale: Latents | float) -> Latents:
    """Classifier-free guidance (Ho and Salimans 2022): scale 0 is `null`, 1 is `conditional`."""
    guided: Latents = null + scale * (conditional - null)
    return guided


def sample(
    denoise: Callable[[Latents, int], Latents],
    latents: Latents,
    steps: int,
    on_step: Callable[[int, Latents], None] | None = None,
) -> Latents:
    """Apply `denoise(latents, i)` for i = 0..steps-1; `on_step(i, latents)` sees the result of each."""
    for step in range(steps):
        latents = denoise(latents, step)
        if on_step is not None:
            on_step(step, latents)
    return latents
