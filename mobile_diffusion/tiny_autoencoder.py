"""The tiny autoencoder (TAESD): convolutions and ReLUs that replace the KL autoencoder, with diffusers' names.

It encodes directly to the U-Net's latents, so its `scaling_factor` is 1.  Its decoder costs a fiftieth of the KL
decoder.  It has no normalisation and no attention, so every phone backend supports the whole graph.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.autoencoder_config import TinyAutoencoderConfig

MAGNITUDE = 3.0
"""The decoder limits latents smoothly to +-3."""


class TinyBlock(nn.Module):
    """Three convolutions with a residual connection, then a ReLU."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        convolutions = [nn.Conv2d(channels, channels, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convolutions[0], nn.ReLU(), convolutions[1], nn.ReLU(), convolutions[2])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return F.relu(self.conv(x) + x)


class TinyEncoder(nn.Module):
    """Maps pixels to latents."""

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        width = config.channels
        layers: list[nn.Module] = []
        for level, blocks in enumerate(config.encoder_blocks):
            strided = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
            layers.append(strided if level else nn.Conv2d(3, width, 3, padding=1))
            layers += [TinyBlock(width) for _ in range(blocks)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, config.latent_channels, 3, padding=1))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] -> (B, C, h, w)."""
        return self.layers((images + 1.0) / 2.0)


class TinyDecoder(nn.Module):
    """Maps latents to pixels."""

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        width = config.channels
        layers: list[nn.Module] = [nn.Conv2d(config.latent_channels, width, 3, padding=1), nn.ReLU()]
        *inner, final = config.decoder_blocks
        for blocks in inner:
            layers += [TinyBlock(width) for _ in range(blocks)]
            layers += [nn.Upsample(scale_factor=2.0), nn.Conv2d(width, width, 3, padding=1, bias=False)]
        layers += [TinyBlock(width) for _ in range(final)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(width, 3, 3, padding=1))

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W), about [-1, 1]."""
        return self.layers(torch.tanh(latents / MAGNITUDE) * MAGNITUDE) * 2.0 - 1.0


class TinyAutoencoder(nn.Module):
    """Encoder and decoder; encoding is deterministic, without a posterior."""

    def __init__(self, config: TinyAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = TinyEncoder(config)
        self.decoder = TinyDecoder(config)

    def to_latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> the U-Net's latents (B, C, h, w)."""
        return self.encoder(images) * self.config.scaling_factor

    def to_images(self, latents: Tensor) -> Tensor:
        """The U-Net's latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.decoder(latents / self.config.scaling_factor)
