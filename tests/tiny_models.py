"""The architectures as narrow and shallow as they can be: each configuration is stated here once, and built seeded."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import tokenizers
import torch

from benchmarks.measuring.random_model import RandomModel
from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.checkpoint import Model, untrained_model
from mobile_diffusion.config import (
    BertConfig,
    ClipPairConfig,
    ClipTextConfig,
    ModelConfig,
    ScheduleConfig,
    UNetConfig,
    UNetLevel,
)
from mobile_diffusion.tokenization.tokenizer import Tokenizer, WordPieceTokenizer

__all__ = ["RandomModel"]

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
"""The emoji model's kind: BERT, v, guidance by two evaluations; 4x16x16 latents, 12 tokens of 48, 32 pixels."""
LEADING = ScheduleConfig(spacing="leading", offset=1, final="first", steps=4)
SD1 = ModelConfig(
    name="narrow-sd1",
    licence="MIT",
    height=32,
    width=64,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1), UNetLevel(64, 1, 0)),
        mid=UNetLevel(64, 2, 1),
        up=(UNetLevel(64, 2, 0), UNetLevel(32, 2, 2)),
        context_width=48,
        groups=16,
    ),
    autoencoder=AutoencoderConfig(channels=(16, 32), latent_channels=4, resnets=1, groups=16, scaling_factor=0.5),
    text=ClipTextConfig(vocabulary=99, width=48, layers=2, heads=4, intermediate=96, positions=12, max_tokens=12),
    schedule=dataclasses.replace(LEADING, solver="pndm"),
    tokenizer="clip-bpe",
)
"""Stable Diffusion 1: convolutions around the transformers, PNDM, one remembered state after another."""
SD2 = dataclasses.replace(
    SD1,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1, heads=2), UNetLevel(64, 1, 1, heads=4)),
        mid=UNetLevel(64, 2, 1, heads=4),
        up=(UNetLevel(64, 2, 2, heads=4), UNetLevel(32, 2, 2, heads=2)),
        context_width=48,
        groups=16,
        linear_projection=True,
    ),
    text=dataclasses.replace(SD1.text, activation="gelu"),
    schedule=ScheduleConfig(solver="dpm-solver++", prediction="v", steps=4, zero_terminal_snr=True),
)
"""Stable Diffusion 2: linear layers around the transformers, heads of one width, exact GELU, v."""
BK_TINY = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(SD1.unet, mid=None),
    schedule=dataclasses.replace(LEADING, solver="euler"),
    autoencoder=TinyAutoencoderConfig(channels=16, encoder_blocks=(1, 1), decoder_blocks=(1, 1)),
)
"""BK-SDM-tiny without a middle, drawn by a tiny autoencoder."""
LCM = dataclasses.replace(
    SD1,
    unet=dataclasses.replace(SD1.unet, guidance_width=8),
    schedule=ScheduleConfig(solver="lcm", guidance_kind="distilled", steps=4),
)
"""A latent consistency model: the scale of guidance is embedded, and noise is added at every step."""
_XL_TEXT = ClipTextConfig(vocabulary=99, width=24, layers=2, heads=4, intermediate=48, positions=12, max_tokens=12)
XL = dataclasses.replace(
    SD1,
    name="narrow-sdxl",
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 0), UNetLevel(64, 1, 1, heads=4, depths=(2,))),
        mid=UNetLevel(64, 2, 1, heads=4, depths=(2,)),
        up=(UNetLevel(64, 2, 2, heads=4, depths=(2, 1)), UNetLevel(32, 2, 0)),
        context_width=48,
        groups=16,
        linear_projection=True,
        pooled_width=20,
        size_width=8,
    ),
    text=ClipPairConfig(
        first=_XL_TEXT, second=dataclasses.replace(_XL_TEXT, layers=3, activation="gelu"), pooled_width=20, end=8
    ),
    schedule=ScheduleConfig(solver="euler", spacing="leading", offset=1, steps=4, guidance=5.0),
    tokenizer="clip-bpe-pair",
)
"""SDXL: two text encoders, a pooled text and the picture's size, transformers of several blocks."""
WHOLE_TEXT = dataclasses.replace(TINY, unet=dataclasses.replace(TINY.unet, pooled_context=True))
"""The emoji model's kind with an embedding of the whole text beside cross-attention."""
SMALL = dataclasses.replace(
    TINY,
    height=16,
    width=16,
    unet=UNetConfig(
        down=(UNetLevel(32, 1, 1),), mid=None, up=(UNetLevel(32, 2, 0),), context_width=48, heads=4, groups=16
    ),
    autoencoder=AutoencoderConfig(channels=(16,), resnets=1, groups=8, scaling_factor=0.5),
    text=dataclasses.replace(TINY.text, layers=1),
)
"""One transformer with two attentions of four heads; every other block once or twice."""
LINEAR = dataclasses.replace(
    SMALL, unet=dataclasses.replace(SMALL.unet, linear_projection=True), schedule=ScheduleConfig(solver="dpm-solver++")
)
"""As Stable Diffusion 2, with a solver that remembers."""

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "red", "apple"]
SMALLEST = ModelConfig(
    name="tiny",
    licence="MIT",
    height=16,
    width=16,
    unet=UNetConfig(down=(UNetLevel(8, 1, 1),), mid=None, up=(UNetLevel(8, 2, 0),), context_width=8, heads=2, groups=4),
    autoencoder=AutoencoderConfig(channels=(8, 8), resnets=1, groups=4),
    text=BertConfig(vocabulary=len(WORDS), width=8, layers=1, heads=2, intermediate=16, positions=6, max_tokens=6),
    schedule=ScheduleConfig(prediction="v"),
)
"""A checkpoint of a few kilobytes, for tests of files: seven words, one level."""


def word_pieces() -> WordPieceTokenizer:
    vocabulary = {word: index for index, word in enumerate(WORDS)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return WordPieceTokenizer(tokenizer.to_str(), max_tokens=6)


def untrained(config: ModelConfig, tokenizer: Tokenizer, seed: int = 7) -> Model:
    """Seeded random weights, biases and norms included: a bias or scale that is lost changes the outputs."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = untrained_model(config, tokenizer)
        for part in model.parts.values():
            part.requires_grad_(False)
            for tensor in part.parameters():
                if tensor.ndim == 1:
                    tensor.add_(torch.randn_like(tensor) * 0.1)
    return model


def emoji_words(max_tokens: int) -> WordPieceTokenizer:
    """The emoji model's tokenizer."""
    return WordPieceTokenizer.from_file(TOKENIZER, max_tokens)
