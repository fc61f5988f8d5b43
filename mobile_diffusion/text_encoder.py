"""The text encoders: BERT (the emoji model's MiniLM), CLIP (Stable Diffusion's), and two CLIPs (SDXL's).

Every encoder has `conditions`, which returns by name what the U-Net reads.  If the encoder `uses_mask`, the context is
multiplied by the mask, so the U-Net sees zeros for padding.  Attention is matmul, softmax, matmul, and its masks are
finite in half precision, so every backend supports the graph without splitting it.  tokenization/tokenizer.py converts
words to token ids.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from mobile_diffusion.bert_encoder import BertEncoder as BertEncoder
from mobile_diffusion.clip_encoder import ClipPairEncoder as ClipPairEncoder
from mobile_diffusion.clip_encoder import ClipTextEncoder as ClipTextEncoder
from mobile_diffusion.config import BertConfig, ClipPairConfig, ClipTextConfig, TextConfig
from mobile_diffusion.errors import ConfigError

TextEncoder = BertEncoder | ClipTextEncoder | ClipPairEncoder

LAYER = "text_model.encoder.layers."
"""Prefix of the names of CLIP's layer weights; the number of the layer follows."""

Value = TypeVar("Value")


def build_text_encoder(config: TextConfig) -> TextEncoder:
    """Build the untrained encoder of a configuration, in evaluation mode.

    Raises:
        ConfigError: `config` is of no known kind.
    """
    match config:
        case BertConfig():
            return BertEncoder(config).eval()
        case ClipTextConfig():
            return ClipTextEncoder(config).eval()
        case ClipPairConfig():
            return ClipPairEncoder(config).eval()
    raise ConfigError(f"expected a BertConfig, ClipTextConfig or ClipPairConfig, got {type(config).__name__}")


def without_position_ids(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A published state dict without the `position_ids` of older files, which our encoders do not have."""
    return {name: tensor for name, tensor in state.items() if not name.endswith("embeddings.position_ids")}


def skip_last_layers(config: ClipTextConfig | ClipPairConfig, count: int) -> ClipTextConfig | ClipPairConfig:
    """The configuration without the last `count` layers ("clip skip"); the final normalisation stays.

    SDXL's encoders keep their layers, because the pooled output needs them: only the context is taken earlier.

    Raises:
        ConfigError: `count` is negative, or leaves no layer.
    """
    if isinstance(config, ClipPairConfig):
        most = min(config.first.layers, config.second.layers) - 1 - config.skipped
        if not 0 <= count <= most:
            raise ConfigError(f"skip_layers: expected 0 to {most}, got {count}")
        return dataclasses.replace(config, skipped=config.skipped + count)
    if not 0 <= count < config.layers:
        raise ConfigError(f"skip_layers: expected 0 to {config.layers - 1} of {config.layers} layers, got {count}")
    return dataclasses.replace(config, layers=config.layers - count)


def without_skipped_layers(state: Mapping[str, Value], config: TextConfig) -> dict[str, Value]:
    """The entries of a longer encoder's state without the layers that the encoder of `config` does not have.

    A pair of encoders keeps all of them.
    """
    if not isinstance(config, ClipTextConfig):
        return dict(state)
    numbers = {name: name.removeprefix(LAYER).split(".")[0] for name in state if name.startswith(LAYER)}
    dropped = {name for name, number in numbers.items() if number.isdecimal() and int(number) >= config.layers}
    return {name: value for name, value in state.items() if name not in dropped}
