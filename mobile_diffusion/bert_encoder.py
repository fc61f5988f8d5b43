"""BERT's encoder (Devlin et al. 2019), the emoji model's MiniLM.

State-dict names are those of transformers' `BertModel` without its pooler.
"""

from __future__ import annotations

from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_diffusion.blocks import MASKED, attention, initialise
from mobile_diffusion.config import BertConfig


def padding_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Mask (B, L) of ones and zeros -> (B, 1, 1, L) to add to the scores: 0 for a one, MASKED for a zero."""
    return (1.0 - mask.to(dtype))[:, None, None, :] * MASKED


class BertEmbeddings(nn.Module):
    """The normalised sum of word, position and token-type embeddings; the token type is always 0."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocabulary, config.width)
        self.position_embeddings = nn.Embedding(config.positions, config.width)
        self.token_type_embeddings = nn.Embedding(config.token_types, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.epsilon)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) int -> (B, L, D)."""
        positions = self.position_embeddings.weight[: tokens.shape[1]]
        return self.LayerNorm(self.word_embeddings(tokens) + positions + self.token_type_embeddings.weight[0])


class BertSelfAttention(nn.Module):
    """Self-attention without its output projection, which is in `BertResidual`."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, 1, 1, L) to add to the scores -> (B, L, D)."""
        return attention(self.query(x), self.key(x), self.value(x), self.heads, mask)


class BertResidual(nn.Module):
    """LayerNorm(dense(x) + residual): the end of both halves of a layer."""

    def __init__(self, inputs: int, config: BertConfig) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.width)
        self.LayerNorm = nn.LayerNorm(config.width, eps=config.epsilon)

    def forward(self, x: Tensor, residual: Tensor) -> Tensor:
        """x (B, L, inputs), residual (B, L, D) -> (B, L, D)."""
        return self.LayerNorm(self.dense(x) + residual)


class BertLayer(nn.Module):
    """Attention, then a two-layer perceptron with exact GELU, each followed by residual and normalisation."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.attention = nn.ModuleDict(
            {"self": BertSelfAttention(config), "output": BertResidual(config.width, config)}
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.width, config.intermediate)})
        self.output = BertResidual(config.intermediate, config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, 1, 1, L) to add to the scores -> (B, L, D)."""
        x = self.attention["output"](self.attention["self"](x, mask), x)
        return self.output(F.gelu(self.intermediate["dense"](x)), x)


class BertStack(nn.Module):
    """The layers, under the name that checkpoints give them."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.layer = nn.ModuleList(BertLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (B, 1, 1, L) to add to the scores -> (B, L, D)."""
        for layer in self.layer:
            x = layer(x, mask)
        return x


class BertEncoder(nn.Module):
    """BERT (Devlin et al. 2019) without its pooler."""

    uses_mask: ClassVar[bool] = True

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = BertEmbeddings(config)
        self.encoder = BertStack(config)
        self.apply(initialise)

    def forward(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """Encode `tokens` (B, L) int as (B, L, D); `mask` (B, L) int is 1 for tokens and 0 for padding."""
        x = self.embeddings(tokens)
        return self.encoder(x, padding_mask(mask, x.dtype))

    def conditions(self, tokens: Tensor, mask: Tensor) -> dict[str, Tensor]:
        """What the U-Net reads of tokens and mask (B, L): "context" (B, L, D), zero at padding."""
        context: Tensor = self(tokens, mask)
        return {"context": context * mask[:, :, None].to(context.dtype)}
