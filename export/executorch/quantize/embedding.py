"""Embedding tables in 8 bits a number: most of a small text encoder's weights, of which a prompt reads some rows.

A row is looked up as it is stored, turned to float and multiplied by its scale: operations that ExecuTorch's portable
kernels have, so that no runtime needs more than it has for float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.executorch.quantize.rounding import WEIGHT_HIGH
from export.rewrites.replacement import replaced

LEAST_ROWS = 1024
"""A smaller table is not worth the operations."""


class RoundedEmbedding(nn.Module):
    """A table in 8 bits with a scale a row."""

    values: Tensor
    scales: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        scales = (table.abs().amax(dim=1, keepdim=True) / WEIGHT_HIGH).clamp(min=torch.finfo(torch.float32).eps)
        self.register_buffer("values", (table / scales).round().to(torch.int8))  # (rows, width)
        self.register_buffer("scales", scales)  # (rows, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Indices (..., ) -> float32 (..., width)."""
        return F.embedding(rows, self.values).to(torch.float32) * F.embedding(rows, self.scales)


def round_embeddings(module: nn.Module) -> nn.Module:
    """A copy of `module` that shares its weights, with every large table in 8 bits."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Embedding) and module.num_embeddings >= LEAST_ROWS:
        return RoundedEmbedding(module.weight.detach())
    return None
