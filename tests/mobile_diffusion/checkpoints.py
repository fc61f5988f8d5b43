"""A checkpoint of a few kilobytes, and what tests of checkpoints have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tokenizers
import torch
from safetensors.torch import load_file, save_file

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config import (
    BertConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.errors import CheckpointError
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "apple"]
WEIGHTS = ["autoencoder.safetensors", "text_encoder.safetensors", "unet.safetensors"]
FILES = sorted([*WEIGHTS, "model.json", "tokenizer.json"])


def word_pieces() -> WordPieceTokenizer:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return WordPieceTokenizer(tokenizer.to_str(), max_tokens=6)


def tiny_config(**changes: Any) -> ModelConfig:
    config = ModelConfig(
        name="tiny",
        licence="MIT",
        height=16,
        width=16,
        unet=UNetConfig(
            down=(UNetLevel(8, 1, 1),), mid=None, up=(UNetLevel(8, 2, 0),), context_width=8, heads=2, groups=4
        ),
        autoencoder=AutoencoderConfig(channels=(8, 8), resnets=1, groups=4),
        text=BertConfig(vocabulary=7, width=8, layers=1, heads=2, intermediate=16, positions=6, max_tokens=6),
        schedule=ScheduleConfig(prediction="v"),
    )
    return dataclasses.replace(config, **changes)


def snapshot(root: Path) -> dict[str, bytes]:
    """Every file below `root`, hidden ones too."""
    return {str(file.relative_to(root)): file.read_bytes() for file in root.rglob("*") if file.is_file()}


def one_line(action: Callable[[], object]) -> str:
    """The message of the CheckpointError that `action` must raise."""
    with pytest.raises(CheckpointError) as caught:
        action()
    message = str(caught.value)
    assert "\n" not in message and "expected" in message
    return message


def rewrite(file: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    """Change the tensors of a safetensors file."""
    state = load_file(file)
    change(state)
    save_file(state, file)
