"""A small model and its checkpoint folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mobile_diffusion.checkpoint import (
    Model,
    save_checkpoint,
    untrained_model,
)
from tests.mobile_diffusion.checkpoints import tiny_config
from tests.tiny_models import word_pieces


@pytest.fixture
def model() -> Model:
    torch.manual_seed(0)
    return untrained_model(tiny_config(), word_pieces())


@pytest.fixture
def folder(model: Model, tmp_path: Path) -> Path:
    save_checkpoint(model, tmp_path / "tiny")
    return tmp_path / "tiny"
