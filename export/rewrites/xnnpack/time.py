"""The time embedding of every ResNet block as columns of one table, which is read once a step.

The embedding of a step is the same in every picture, so its projections are known when the model is exported: the
linear layers and their weights leave the program.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from export.rewrites.replacement import recast
from export.stages import Denoise
from mobile_diffusion.blocks import ResnetBlock


class Columns(nn.Module):
    """Takes the place of a projection of the time embedding: its results, among those of all blocks."""

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.width = start, width

    def forward(self, time: Tensor) -> Tensor:
        """(1, columns of all blocks) -> (1, width)."""
        return time[:, self.start : self.start + self.width]


def time_by_table(module: nn.Module) -> nn.Module | None:
    """For the step of the sampler; changes the ResNet blocks inside of it."""
    if not isinstance(module, Denoise):
        return None
    blocks = [child for child in module.unet.modules() if isinstance(child, ResnetBlock)]
    with torch.no_grad():
        columns = [block.time_emb_proj(module.times) for block in blocks]  # (N, width) each
    start = 0
    for block, column in zip(blocks, columns, strict=True):
        block.time_emb_proj = Columns(start, column.shape[1])  # type: ignore[assignment]
        start += column.shape[1]
    result = recast(module, type(module))
    result._buffers = {**module._buffers, "times": torch.cat(columns, dim=1)}
    return result
