"""The autoencoder against diffusers' `AutoencoderKL` on shared random weights."""

from __future__ import annotations

import diffusers
import pytest
import torch

from mobile_diffusion.autoencoder import Autoencoder, build_autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig

TOLERANCE = 1e-9
"""In float64, so that what is compared is the arithmetic and not the order of roundings."""


@pytest.mark.parametrize("latent_channels", [4, 8])
@pytest.mark.parametrize("resnets", [1, 2])
@torch.no_grad()
def test_equal_to_diffusers(latent_channels: int, resnets: int) -> None:
    torch.manual_seed(0)
    widths = (16, 32, 48, 48)
    reference = (
        diffusers.AutoencoderKL(
            down_block_types=["DownEncoderBlock2D"] * 4,
            up_block_types=["UpDecoderBlock2D"] * 4,
            block_out_channels=widths,
            layers_per_block=resnets,
            latent_channels=latent_channels,
            norm_num_groups=8,
        )
        .double()
        .eval()
    )
    config = AutoencoderConfig(channels=widths, latent_channels=latent_channels, resnets=resnets, groups=8)
    ours = build_autoencoder(config).double().eval()
    assert isinstance(ours, Autoencoder)
    ours.load_state_dict(reference.state_dict())
    images, latents = torch.rand(2, 3, 64, 64).double() * 2 - 1, torch.randn(2, latent_channels, 8, 8).double()
    posterior = reference.encode(images).latent_dist
    mean, log_variance = ours.encode(images)
    assert posterior.mean.std() > 0.01
    torch.testing.assert_close(mean, posterior.mean, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(log_variance, posterior.logvar, rtol=0, atol=TOLERANCE)
    torch.testing.assert_close(ours.decode(latents), reference.decode(latents).sample, rtol=0, atol=TOLERANCE)
    scale = config.scaling_factor
    torch.testing.assert_close(ours.to_latents(images), posterior.mean * scale, rtol=0, atol=TOLERANCE)
    pictures = reference.decode(latents / scale).sample
    torch.testing.assert_close(ours.to_images(latents), pictures, rtol=0, atol=TOLERANCE * float(pictures.abs().max()))
