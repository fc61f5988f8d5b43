"""The tiny autoencoder against diffusers' `AutoencoderTiny` on shared random weights."""

from __future__ import annotations

import diffusers
import pytest
import torch

from mobile_diffusion.autoencoder import build_autoencoder
from mobile_diffusion.autoencoder_config import TinyAutoencoderConfig
from mobile_diffusion.tiny_autoencoder import TinyAutoencoder

TOLERANCE = 1e-9
"""In float64, so that what is compared is the arithmetic and not the order of roundings."""

CONFIGS = {
    "taesd": TinyAutoencoderConfig(channels=16),
    "uneven": TinyAutoencoderConfig(
        channels=8, latent_channels=6, encoder_blocks=(1, 2, 1), decoder_blocks=(2, 1, 3), scaling_factor=0.5
    ),
}


def diffusers_autoencoder(config: TinyAutoencoderConfig) -> diffusers.AutoencoderTiny:
    torch.manual_seed(0)
    return (
        diffusers.AutoencoderTiny(
            encoder_block_out_channels=(config.channels,) * len(config.encoder_blocks),
            decoder_block_out_channels=(config.channels,) * len(config.decoder_blocks),
            num_encoder_blocks=config.encoder_blocks,
            num_decoder_blocks=config.decoder_blocks,
            latent_channels=config.latent_channels,
            scaling_factor=config.scaling_factor,
        )
        .double()
        .eval()
    )


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_equal_to_diffusers(name: str) -> None:
    config = CONFIGS[name]
    reference = diffusers_autoencoder(config)
    ours = build_autoencoder(config).double().eval()
    assert isinstance(ours, TinyAutoencoder)
    ours.load_state_dict(reference.state_dict())
    images = torch.rand(2, 3, 32, 48).double() * 2 - 1
    latents = torch.randn(2, config.latent_channels, 4, 6).double() * 3  # far into the clamp
    encoded = reference.encode(images).latents * config.scaling_factor
    decoded = reference.decode(latents / config.scaling_factor).sample
    assert encoded.std() > 0.01
    assert decoded.std() > 0.01
    torch.testing.assert_close(ours.to_latents(images), encoded, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(ours.to_images(latents), decoded, rtol=0, atol=TOLERANCE)
    assert ours.to_latents(images).shape == (2, config.latent_channels, 32 // config.factor, 48 // config.factor)
