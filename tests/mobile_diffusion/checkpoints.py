"""A checkpoint of a few kilobytes, and what tests of checkpoints have in common."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from mobile_diffusion.config import (
    ModelConfig,
)
from mobile_diffusion.errors import CheckpointError
from tests.tiny_models import SMALLEST

WEIGHTS = ["autoencoder.safetensors", "text_encoder.safetensors", "unet.safetensors"]
FILES = sorted([*WEIGHTS, "model.json", "tokenizer.json"])


def tiny_config(**changes: Any) -> ModelConfig:
    return dataclasses.replace(SMALLEST, **changes)


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
