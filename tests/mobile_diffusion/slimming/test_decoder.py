"""Channel pruning of the decoder: which channels stay, and that the rest of the model is untouched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.checkpoint import Model, open_checkpoint, save_checkpoint
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import preset
from mobile_diffusion.slimming.decoder_pruning import prune_decoder, pruned_config

CONFIG = AutoencoderConfig(channels=(16, 16, 32), latent_channels=4, resnets=1, groups=8)


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_half_of_the_channels_are_a_quarter_of_the_weights() -> None:
    """SnapFusion's 50 M -> 13 M on Stable Diffusion's decoder, without making its weights."""
    sd15 = preset("sd15").autoencoder
    assert isinstance(sd15, AutoencoderConfig)
    with torch.device("meta"):
        full, slim = Autoencoder(sd15).decoder, Autoencoder(pruned_config(sd15)).decoder
    assert count(full) == pytest.approx(50e6, rel=0.02)
    assert count(slim) == pytest.approx(13e6, rel=0.06)


def test_encoder_and_middle_convolutions_stay() -> None:
    torch.manual_seed(0)
    full = Autoencoder(CONFIG)
    slim = prune_decoder(full)
    assert slim.config.decoder_channels == (8, 8, 16) and slim.config.decoder_groups == 4
    images = torch.rand(1, 3, 16, 16)
    assert torch.equal(slim.encode(images)[0], full.encode(images)[0])
    assert slim.decode(torch.zeros(1, 4, 4, 4)).shape == (1, 3, 16, 16)
    with pytest.raises(ConfigError, match="share: expected one that leaves whole channels"):
        prune_decoder(full, 0.3)


@pytest.mark.parametrize(
    ("channels", "groups", "kept"), [((16, 32), 8, 4), ((32, 64), 8, 8), ((16, 32), 16, 8), ((24, 48), 8, 6)]
)
def test_no_group_comes_down_to_one_channel(channels: tuple[int, ...], groups: int, kept: int) -> None:
    """But where it had one before; the norm of a single channel forgets its level."""
    config = dataclasses.replace(CONFIG, channels=channels, groups=groups)
    assert pruned_config(config).decoder_groups == kept


def test_groups_divide_the_channels_of_both_decoders() -> None:
    """Three eighths of 32 are 12, which six groups would divide, but not 32."""
    slim = prune_decoder(Autoencoder(dataclasses.replace(CONFIG, channels=(32, 64), groups=8)), 0.375)
    assert slim.config.decoder_channels == (12, 24) and slim.config.decoder_groups == 4
    assert slim.decode(torch.zeros(1, 4, 4, 4)).shape == (1, 3, 8, 8)


def test_with_all_channels_it_is_the_full_decoder() -> None:
    torch.manual_seed(1)
    full = Autoencoder(CONFIG).requires_grad_(False)
    for value in full.decoder.parameters():
        value.add_(torch.randn_like(value) * 0.1)  # norms and biases, too
    latents = torch.randn(2, 4, 5, 3)
    assert torch.equal(prune_decoder(full, 1.0).decode(latents), full.decode(latents))


def test_the_largest_filters_of_each_group_are_kept() -> None:
    torch.manual_seed(2)
    full = Autoencoder(CONFIG).requires_grad_(False)
    conv = full.decoder.up_blocks[0].resnets[0].conv1  # 32 channels, of which 4 groups of 8 are to become 4 of 4
    conv.weight[[1, 2, 4, 7, 30, 31]] *= 100.0
    slim = prune_decoder(full)
    rows = slim.decoder.up_blocks[0].resnets[0].conv1.weight.detach().flatten(1).abs().sum(1)
    large = [index for index, value in enumerate(rows.tolist()) if value > 10 * float(rows.median())]
    assert large == [0, 1, 2, 3, 14, 15]


def test_a_model_with_a_slim_decoder_is_written_and_opened(tiny_model: Model, tmp_path: Path) -> None:
    assert isinstance(tiny_model.autoencoder, Autoencoder)
    slim = prune_decoder(tiny_model.autoencoder)
    config = dataclasses.replace(tiny_model.config, autoencoder=slim.config)
    save_checkpoint(dataclasses.replace(tiny_model, config=config, autoencoder=slim), tmp_path / "slim")
    opened = open_checkpoint(tmp_path / "slim")
    latents = torch.randn(1, *tiny_model.config.latent_shape[1:])
    assert torch.allclose(opened.autoencoder.to_images(latents), slim.to_images(latents), atol=2e-2)


@pytest.mark.parametrize(
    ("changes", "field"),
    [({"decoder_channels": (8, 8)}, "decoder_channels"), ({"decoder_channels": (8, 8, 12)}, "decoder_groups")],
)
def test_decoders_that_cannot_be(changes: dict[str, object], field: str) -> None:
    with pytest.raises(ConfigError, match=field):
        dataclasses.replace(CONFIG, **changes)  # type: ignore[arg-type]
