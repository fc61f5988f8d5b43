"""CLIP's text encoder (Radford et al. 2021), alone as in Stable Diffusion 1 and 2, or two of them as in SDXL.

State-dict names are those of published files: transformers' `CLIPTextModel` with the prefix `text_model.`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_diffusion.blocks import MASKED, attention, initialise
from mobile_diffusion.config import ClipPairConfig, ClipTextConfig


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI CLIP's approximation of GELU: x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick_gelu": quick_gelu}


def causal_mask(length: int) -> Tensor:
    """A mask (1, 1, L, L) to add to the scores: each position attends to itself and to earlier positions."""
    return torch.full((length, length), MASKED).triu(diagonal=1)[None, None]


class ClipEmbeddings(nn.Module):
    """The sum of token and position embeddings."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(config.vocabulary, config.width)
        self.position_embedding = nn.Embedding(config.positions, config.width)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) int -> (B, L, D)."""
        return self.token_embedding(tokens) + self.position_embedding.weight[: tokens.shape[1]]


class ClipAttention(nn.Module):
    """Causal multi-head attention with its four projections."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.q_proj = nn.Linear(config.width, config.width)
        self.k_proj = nn.Linear(config.width, config.width)
        self.v_proj = nn.Linear(config.width, config.width)
        self.out_proj = nn.Linear(config.width, config.width)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (1, 1, L, L) to add to the scores -> (B, L, D)."""
        return self.out_proj(attention(self.q_proj(x), self.k_proj(x), self.v_proj(x), self.heads, mask))


class ClipMlp(nn.Module):
    """Two linear layers around GELU or its quick approximation."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[config.activation]
        self.fc1 = nn.Linear(config.width, config.intermediate)
        self.fc2 = nn.Linear(config.intermediate, config.width)

    def forward(self, x: Tensor) -> Tensor:
        """(B, L, D) -> (B, L, D)."""
        return self.fc2(self.activation(self.fc1(x)))


class ClipLayer(nn.Module):
    """Attention, then a perceptron, each with normalisation first and a residual connection."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(config.width, eps=config.epsilon)
        self.self_attn = ClipAttention(config)
        self.layer_norm2 = nn.LayerNorm(config.width, eps=config.epsilon)
        self.mlp = ClipMlp(config)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (1, 1, L, L) to add to the scores -> (B, L, D)."""
        x = x + self.self_attn(self.layer_norm1(x), mask)
        return x + self.mlp(self.layer_norm2(x))


class ClipStack(nn.Module):
    """The layers, under the name that checkpoints give them."""

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(ClipLayer(config) for _ in range(config.layers))

    def forward(self, x: Tensor, mask: Tensor) -> list[Tensor]:
        """x (B, L, D), mask (1, 1, L, L) to add to the scores -> x and the state (B, L, D) after each layer."""
        states = [x]
        for layer in self.layers:
            states.append(layer(states[-1], mask))
        return states


class ClipTransformer(nn.Module):
    """The whole encoder; a separate module, because names in checkpoints begin with `text_model.`."""

    causal_mask: Tensor

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.embeddings = ClipEmbeddings(config)
        self.encoder = ClipStack(config)
        self.final_layer_norm = nn.LayerNorm(config.width, eps=config.epsilon)
        self.register_buffer("causal_mask", causal_mask(config.positions), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens (B, L) int -> (B, L, D): the last state after the final normalisation."""
        return self.two_states(tokens, skipped=0)[1]

    def two_states(self, tokens: Tensor, skipped: int) -> tuple[Tensor, Tensor]:
        """The state (B, L, D) in front of the last `skipped` layers, and the last one after the final normalisation."""
        length = tokens.shape[1]
        states = self.encoder(self.embeddings(tokens), self.causal_mask[:, :, :length, :length])
        return states[-1 - skipped], self.final_layer_norm(states[-1])


class ClipTextEncoder(nn.Module):
    """CLIP's text encoder (Radford et al. 2021) without its projection, as Stable Diffusion uses it."""

    uses_mask: ClassVar[bool] = False

    def __init__(self, config: ClipTextConfig) -> None:
        super().__init__()
        self.config = config
        self.text_model = ClipTransformer(config)
        self.apply(initialise)

    def forward(self, tokens: Tensor) -> Tensor:
        """Encode `tokens` (B, L) int as (B, L, D): the last hidden state after the final normalisation."""
        return self.text_model(tokens)

    def conditions(self, tokens: Tensor) -> dict[str, Tensor]:
        """What the U-Net reads of tokens (B, L): "context" (B, L, D)."""
        return {"context": self(tokens)}


class ProjectedClip(ClipTextEncoder):
    """CLIP's text encoder with the projection of its pooled output."""

    def __init__(self, config: ClipTextConfig, pooled_width: int) -> None:
        super().__init__(config)
        self.text_projection = nn.Linear(config.width, pooled_width, bias=False)
        self.apply(initialise)


class ClipPairEncoder(nn.Module):
    """SDXL's two text encoders, under the names of their folders; both contexts are joined (Podell et al. 2023)."""

    uses_mask: ClassVar[bool] = False

    def __init__(self, config: ClipPairConfig) -> None:
        super().__init__()
        self.config = config
        self.text_encoder = ClipTextEncoder(config.first)
        self.text_encoder_2 = ProjectedClip(config.second, config.pooled_width)

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """tokens (B, 2, L) int, a row per encoder -> context (B, L, D1 + D2), pooled (B, P).

        The contexts are states in front of the last `skipped` layers.  The pooled output is that of the second
        encoder at its first end token.
        """
        skipped, second = self.config.skipped, tokens[:, 1]
        context, _ = self.text_encoder.text_model.two_states(tokens[:, 0], skipped)
        context_2, last = self.text_encoder_2.text_model.two_states(second, skipped)
        return torch.cat([context, context_2], dim=-1), self.pool(
            last, first_of(second, self.config.end).to(last.dtype)
        )

    def pool(self, states: Tensor, at_end: Tensor) -> Tensor:
        """The second encoder's states (B, L, D2), and 1 at the end token of (B, L) zeros -> pooled (B, P)."""
        return self.text_encoder_2.text_projection(torch.matmul(at_end[:, None], states)[:, 0])

    def conditions(self, tokens: Tensor) -> dict[str, Tensor]:
        """What the U-Net reads of tokens (B, 2, L): "context" (B, L, D) and "pooled" (B, P)."""
        context, pooled = self(tokens)
        return {"context": context, "pooled": pooled}


def first_of(tokens: Tensor, wanted: int) -> Tensor:
    """Whether each of tokens (B, L) is the first `wanted` one of its row; a product with it is a look-up."""
    found = (tokens == wanted).to(torch.int32)
    return found * (found.cumsum(dim=1) == 1).to(torch.int32)
