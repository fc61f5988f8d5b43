"""The two text encoders: BERT (the emoji model's MiniLM) and CLIP (Stable Diffusion's).

State-dict names are those of published files: transformers' `BertModel` without its pooler, and `CLIPTextModel` with
the prefix `text_model.`.  Both encoders return the last hidden state of every position.  If the encoder `uses_mask`,
the caller multiplies this state by the mask, so the U-Net sees zeros for padding.  Attention is matmul, softmax,
matmul, and its masks are finite in half precision, so every backend supports the graph without splitting it.
tokenization/tokenizer.py converts words to token ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import ClassVar, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mobile_diffusion.blocks import attention
from mobile_diffusion.config import BertConfig, ClipTextConfig
from mobile_diffusion.errors import ConfigError

MASKED = -1e4
"""Added to the score of a masked position: finite in float16, and exp(-1e4) is 0 in every precision."""

INITIAL_DEVIATION = 0.02
"""Standard deviation of every linear and embedding weight of an untrained encoder, as in both papers."""


LAYER = "text_model.encoder.layers."
"""Prefix of the names of CLIP's layer weights; the number of the layer follows."""

Value = TypeVar("Value")


def quick_gelu(x: Tensor) -> Tensor:
    """OpenAI CLIP's approximation of GELU: x * sigmoid(1.702 x)."""
    return x * torch.sigmoid(1.702 * x)


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "quick_gelu": quick_gelu}


def padding_mask(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """Mask (B, L) of ones and zeros -> (B, 1, 1, L) to add to the scores: 0 for a one, MASKED for a zero."""
    return (1.0 - mask.to(dtype))[:, None, None, :] * MASKED


def causal_mask(length: int) -> Tensor:
    """A mask (1, 1, L, L) to add to the scores: each position attends to itself and to earlier positions."""
    return torch.full((length, length), MASKED).triu(diagonal=1)[None, None]


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

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """x (B, L, D), mask (1, 1, L, L) to add to the scores -> (B, L, D)."""
        for layer in self.layers:
            x = layer(x, mask)
        return x


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
        """tokens (B, L) int -> (B, L, D)."""
        length = tokens.shape[1]
        x = self.encoder(self.embeddings(tokens), self.causal_mask[:, :, :length, :length])
        return self.final_layer_norm(x)


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


def initialise(module: nn.Module) -> None:
    """Initialise a linear or embedding layer: normal weights, zero biases."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=INITIAL_DEVIATION)
    if isinstance(module, nn.Linear):
        nn.init.zeros_(module.bias)


def build_text_encoder(config: BertConfig | ClipTextConfig) -> BertEncoder | ClipTextEncoder:
    """Build the untrained encoder of a configuration, in evaluation mode.

    Raises:
        ConfigError: `config` is of neither kind.
    """
    match config:
        case BertConfig():
            return BertEncoder(config).eval()
        case ClipTextConfig():
            return ClipTextEncoder(config).eval()
    raise ConfigError(f"expected a BertConfig or a ClipTextConfig, got {type(config).__name__}")


def without_position_ids(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict without the `position_ids` of older files, which our encoders do not have."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("embeddings.position_ids")}


def skip_last_layers(config: ClipTextConfig, count: int) -> ClipTextConfig:
    """The configuration without the last `count` layers ("clip skip"); the final normalisation stays.

    Raises:
        ConfigError: `count` is negative, or leaves no layer.
    """
    if not 0 <= count < config.layers:
        raise ConfigError(f"skip_layers: expected 0 to {config.layers - 1} of {config.layers} layers, got {count}")
    return dataclasses.replace(config, layers=config.layers - count)


def without_skipped_layers(state: Mapping[str, Value], config: ClipTextConfig) -> dict[str, Value]:
    """The entries of a longer encoder's state without the layers that the encoder of `config` does not have."""
    numbers = {name: name.removeprefix(LAYER).split(".")[0] for name in state if name.startswith(LAYER)}
    dropped = {name for name, number in numbers.items() if number.isdecimal() and int(number) >= config.layers}
    return {name: value for name, value in state.items() if name not in dropped}
