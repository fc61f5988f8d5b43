"""What a U-Net embeds besides its latents: the timestep, the guidance scale, a picture's size, and a whole text."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POOLED_EPSILON = 1e-6
SIZE_NUMBERS = 6
"""Numbers of `size_numbers`."""


def sinusoid(timesteps: Tensor, width: int) -> Tensor:
    """Sinusoidal embedding, cosines first: timesteps (B,) -> float32 (B, width) (Ho et al. 2020)."""
    half = width // 2
    rates = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float32, device=timesteps.device) / half)
    angles = timesteps.float()[:, None] * rates
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def guidance_waves(guidance: Tensor, width: int) -> Tensor:
    """Embedding of the guidance scale, sines first: guidance (B,) -> float32 (B, width).

    As in latent consistency models (Luo et al. 2023): a sinusoidal embedding of 1000 (w - 1), with half - 1 as the
    divisor of the exponent.
    """
    half = width // 2
    steps = torch.arange(half, dtype=torch.float32, device=guidance.device)
    rates = torch.exp(steps * (-math.log(10000.0) / (half - 1)))
    angles = (guidance.float() - 1.0)[:, None] * 1000.0 * rates
    return torch.cat([angles.sin(), angles.cos()], dim=-1)


def size_numbers(height: int, width: int) -> tuple[int, ...]:
    """SDXL's six numbers of a picture that was neither resized nor cropped: its size, the crop's corner, its size."""
    return (height, width, 0, 0, height, width)


class TimeEmbedding(nn.Module):
    """Two linear layers on the sinusoid; a projection of the guidance embedding may be added to their input."""

    def __init__(self, channels: int, width: int, guidance_width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(channels, width)
        self.linear_2 = nn.Linear(width, width)
        if guidance_width:
            self.cond_proj = nn.Linear(guidance_width, channels, bias=False)

    def forward(self, x: Tensor, guidance: Tensor | None) -> Tensor:
        """x (B, channels), guidance (B, guidance_width) -> (B, width)."""
        x = x if guidance is None else x + self.cond_proj(guidance)
        return self.linear_2(F.silu(self.linear_1(x)))


class AddedEmbedding(nn.Module):
    """SDXL's embedding of the pooled text and of the picture's size, which is added to that of the time.

    The first layer is linear in both, so the share of the size is a constant (`of_size`).
    """

    def __init__(self, pooled_width: int, size_width: int, width: int) -> None:
        super().__init__()
        self.pooled_width, self.size_width = pooled_width, size_width
        self.linear_1 = nn.Linear(pooled_width + SIZE_NUMBERS * size_width, width)
        self.linear_2 = nn.Linear(width, width)

    def of_size(self, size: tuple[int, int]) -> Tensor:
        """The share of a picture's height and width in the first layer, its bias included: (1, width)."""
        weight = self.linear_1.weight
        numbers = torch.tensor(size_numbers(*size), dtype=torch.float32, device=weight.device)  # (6,)
        waves = sinusoid(numbers, self.size_width).flatten().to(weight.dtype)  # (6 * size_width,)
        return F.linear(waves, weight[:, self.pooled_width :], self.linear_1.bias)[None]

    def forward(self, time: Tensor, pooled: Tensor) -> Tensor:
        """time (1 or B, 2 * width), the second half `of_size`; pooled (B, P) -> (B, width), after the blocks' SiLU."""
        embedded, of_size = time.chunk(2, dim=-1)
        hidden = of_size + F.linear(pooled, self.linear_1.weight[:, : self.pooled_width])
        return F.silu(embedded + self.linear_2(F.silu(hidden)))


class SizedEmbedding(nn.Module):
    """`AddedEmbedding` for pictures of one size, whose share is the bias of the first layer."""

    def __init__(self, embedding: AddedEmbedding, size: tuple[int, int]) -> None:
        super().__init__()
        pooled_width, width = embedding.pooled_width, embedding.linear_2.in_features
        self.linear_1 = nn.Linear(pooled_width, width)
        self.linear_1.weight = nn.Parameter(embedding.linear_1.weight[:, :pooled_width].detach().contiguous())
        self.linear_1.bias = nn.Parameter(embedding.of_size(size)[0].detach())
        self.linear_2 = embedding.linear_2

    def forward(self, time: Tensor, pooled: Tensor) -> Tensor:
        """time (1 or B, width), pooled (B, P) -> (B, width), after the blocks' first SiLU."""
        return F.silu(time + self.linear_2(F.silu(self.linear_1(pooled))))


class ContextEmbedding(nn.Module):
    """An embedding of the whole text, pooled from the context, which is added to that of the time.

    Unlike SDXL's it needs no second output of the text encoder, and it is added after the SiLU of the time embedding,
    so that the projections of both in a ResNet block can be added up separately.
    """

    def __init__(self, context_width: int, width: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(context_width, width)
        self.linear_2 = nn.Linear(width, width)

    def pool(self, context: Tensor) -> Tensor:
        """The mean of the states, divided by its root mean square: (B, L, D) -> (B, D), whatever the text's length."""
        mean = context.mean(1)
        return mean * (mean.square().mean(-1, keepdim=True) + POOLED_EPSILON).rsqrt()

    def forward(self, context: Tensor) -> Tensor:
        """context (B, L, D), zero at padded positions -> (B, width)."""
        return self.linear_2(F.silu(self.linear_1(self.pool(context))))
