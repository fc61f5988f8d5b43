"""The projected time embeddings of all ResNet blocks as columns of one table, which is read once per step.

A step has the same embedding in every picture, so its projections can be computed at export.  The program then needs
neither the linear layers nor their weights.  The embedding of a text that is added to that of the time has its
projections in one product: they are linear, so those of the sum are the sums of both.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from export.denoise import ControlStep, Denoise
from export.rewrites.replacement import recast
from mobile_diffusion.adapted import AdaptedLinear
from mobile_diffusion.blocks import ResnetBlock
from mobile_diffusion.time_embedding import ContextEmbedding
from mobile_diffusion.unet import UNetEncoder


class Columns(nn.Module):
    """Replaces the time projection of one block: selects its results among those of all blocks."""

    def __init__(self, start: int, width: int) -> None:
        super().__init__()
        self.start, self.width = start, width

    def forward(self, time: Tensor) -> Tensor:
        """(1, columns of all blocks) -> (1, width)."""
        return time[:, self.start : self.start + self.width]


def time_by_table(module: nn.Module) -> nn.Module | None:
    """Return the replacement of the step of the sampler, or of a ControlNet's, or None; changes the ResNet blocks
    inside it in place.

    None for SDXL, too: its pooled text is added in front of a SiLU, so the projections depend on the prompt.  Nor for
    projections with room for adapters.
    """
    if not isinstance(module, Denoise | ControlStep):
        return None
    network = cast(UNetEncoder, module.unet if isinstance(module, Denoise) else module.net)
    if network.add_embedding is not None:
        return None
    blocks = [child for child in network.modules() if isinstance(child, ResnetBlock)]
    if any(isinstance(block.time_emb_proj, AdaptedLinear) for block in blocks):
        return None
    with torch.no_grad():
        columns = [block.time_emb_proj(module.times) for block in blocks]  # (N, width) each
        embedding = network.context_embedding
        if isinstance(embedding, ContextEmbedding):
            _project(embedding, blocks)
    start = 0
    for block, column in zip(blocks, columns, strict=True):
        block.time_emb_proj = Columns(start, column.shape[1])  # type: ignore[assignment]
        start += column.shape[1]
    result = recast(module, type(module))
    result._buffers = {**module._buffers, "times": torch.cat(columns, dim=1)}
    return result


def _project(embedding: ContextEmbedding, blocks: list[ResnetBlock]) -> None:
    """Let the last layer of the text's embedding compute the projections of all blocks: (B, columns of all blocks)."""
    projections = torch.cat([block.time_emb_proj.weight for block in blocks])  # (columns, time_width)
    last = embedding.linear_2
    whole = nn.Linear(last.in_features, len(projections))
    whole.weight.copy_(projections @ last.weight)
    whole.bias.copy_(projections @ last.bias)
    embedding.linear_2 = whole
