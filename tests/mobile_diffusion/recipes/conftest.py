"""A distillation's folder: a checkpoint to learn from, and a run whose pictures are encoded already."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from mobile_diffusion.checkpoint import Model, save_checkpoint
from mobile_diffusion.training.latents import CACHE


class Picture:
    """What a run has to know of a picture whose latents are in the cache."""

    group, family = "food", "apple"


@pytest.fixture
def encoded(tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint "teacher" and a run "run" of three pictures."""
    save_checkpoint(tiny_model, tmp_path / "teacher")
    monkeypatch.setattr("mobile_diffusion.training.checkpoints.choose_samples", lambda *given: [Picture()] * 3)
    (tmp_path / "run").mkdir()
    generator = torch.Generator().manual_seed(1)
    tensors = {
        "latents": torch.randn(3, *tiny_model.config.latent_shape[1:], generator=generator),
        "contexts": torch.randn(4, *tiny_model.config.context_shape[1:], generator=generator).half(),
        "first_caption": torch.tensor([1, 2, 3]),
        "caption_count": torch.tensor([1, 1, 1]),
    }
    save_file(tensors, tmp_path / "run" / CACHE)
    return tmp_path
