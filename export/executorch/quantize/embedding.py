"""Embedding tables in 8 bits, with one scale per row.  They are most of the weights of a small text encoder.

A row is looked up in int8, cast to float and multiplied by its scale.  ExecuTorch's portable kernels have these
operations, so the runtime needs no kernels beyond those for float32.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from export.executorch.quantize.rounding import WEIGHT_HIGH
from export.rewrites.replacement import replaced

LEAST_ROWS = 1024
"""Rows below which a table stays in float, because the additional operations cost more than they save."""


class RoundedEmbedding(nn.Module):
    """An embedding table in int8 with one scale per row."""

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
    """Return a copy of `module` with every large embedding table in 8 bits; all other weights are shared."""
    return replaced(module, _replacement)


def _replacement(module: nn.Module) -> nn.Module | None:
    if isinstance(module, nn.Embedding) and module.num_embeddings >= LEAST_ROWS:
        return RoundedEmbedding(module.weight.detach())
    return None
