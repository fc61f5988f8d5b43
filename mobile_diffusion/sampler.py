"""One step of a solver, and classifier-free guidance, for torch tensors and numpy arrays.

Every schedule is a table of linear updates (schedule/table.py), so one function makes the step of every solver.  The
loop over the steps is drawing.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from mobile_diffusion.schedule import StepTable

Latents = TypeVar("Latents", Tensor, np.ndarray)


def combine_guidance(null: Tensor, conditional: Tensor, scale: Tensor | float) -> Tensor:
    """Classifier-free guidance, u + w (c - u) (Ho and Salimans 2022); a scale w of 1 or less is no guidance.

    Written as c + max(w - 1, 0) (c - u), so that without guidance the result is exactly c, the conditional output, as
    in diffusers (`do_classifier_free_guidance` of StableDiffusionPipeline).
    """
    excess = torch.relu(scale - 1.0) if isinstance(scale, Tensor) else max(scale - 1.0, 0.0)
    return conditional + excess * (conditional - null)


def combine_edit(
    null: Tensor, picture: Tensor, conditional: Tensor, scale: Tensor | float, picture_scale: Tensor | float
) -> Tensor:
    """Guidance of an editing network, u + v (p - u) + w (c - p) (Brooks et al. 2023, eq. 3).

    u is the output without picture and text, p that with the picture alone, c that with both; v is `picture_scale`.
    """
    return combine_guidance(picture, conditional, scale) + (picture_scale - 1.0) * (picture - null)


def advance(
    table: StepTable, step: int, state: Sequence[Latents], output: Latents, noise: Latents | None = None
) -> list[Latents]:
    """The next state s' = M_i (s, m) + n_i z, of the state s (latents, then memory), the output m and fresh noise z."""
    tensors = list(state) + [output]  # noqa: RUF005 (keeps the type)
    result: list[Latents] = [_weighted(row, tensors) for row in table.update[step]]
    if noise is not None:
        result[0] = result[0] + table.noise[step] * noise
    return result


def _weighted(weights: Sequence[float], tensors: Sequence[Latents]) -> Latents:
    """The sum of w_i x_i; a tensor of weight zero is left out, so that NaN in it has no effect."""
    terms = [weight * tensor for weight, tensor in zip(weights, tensors, strict=True) if weight]
    total: Latents = sum(terms[1:], terms[0]) if terms else 0.0 * tensors[0]
    return total
