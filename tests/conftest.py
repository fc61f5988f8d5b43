"""What many tests share: a whole model that is small enough to lower in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.config import BertConfig, ModelConfig, ScheduleConfig, UNetConfig, UNetLevel
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer

TOKENIZER = Path(__file__).parents[1] / "assets" / "emoji" / "tokenizer.json"

TINY = ModelConfig(
    name="tiny",
    licence="MIT",
    height=32,
    width=32,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1), UNetLevel(64, 1, 1)),
        mid=UNetLevel(64, 1, 1),
        up=(UNetLevel(64, 2, 1), UNetLevel(32, 2, 1)),
        context_width=48,
        heads=4,
        groups=16,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 32), latent_channels=4, resnets=1, groups=16, scaling_factor=0.5),
    text=BertConfig(vocabulary=30522, width=48, layers=2, heads=4, intermediate=96, positions=32, max_tokens=12),
    schedule=ScheduleConfig(beta_schedule="cosine", prediction="v", guidance=3.0),
)


@pytest.fixture(scope="session")
def tiny_config() -> ModelConfig:
    """Every kind of block once: 4x16x16 latents, 12 tokens of 48, 8 steps, a picture of 32 pixels."""
    return TINY


@pytest.fixture(scope="session")
def tiny_model(tiny_config: ModelConfig) -> Model:
    """A seeded model of `tiny_config` with the shipped tokenizer; norms and biases are random too.

    Do not change it: the whole session shares it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = untrained_model(tiny_config, WordPieceTokenizer.from_file(TOKENIZER, tiny_config.text.max_tokens))
        for part in model.parts.values():
            part.requires_grad_(False)
            for tensor in part.parameters():
                if tensor.ndim == 1:  # else a lost bias or scale would go unnoticed
                    tensor.add_(torch.randn_like(tensor) * 0.1)
    return model
