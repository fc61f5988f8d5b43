"""The KL autoencoder between pixels and latents (Rombach et al. 2022), with diffusers' names and layout.

`encode` returns the posterior's mean and log variance, and `decode` returns the picture; both use unscaled latents.
The U-Net works on the mean times `config.scaling_factor`: `to_latents` and `to_images` use these scaled latents.
Every kind of autoencoder has these two methods (`build_autoencoder`).
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.autoencoder_config import AutoencoderConfig, TinyAutoencoderConfig
from mobile_diffusion.blocks import Downsample, ResnetBlock, Upsample, attention
from mobile_diffusion.tiny_autoencoder import TinyAutoencoder

EPSILON = 1e-6


class PixelAttention(nn.Module):
    """Single-head self-attention over all positions, with a residual connection."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.group_norm = nn.GroupNorm(groups, channels, EPSILON)
        self.to_q = nn.Linear(channels, channels)
        self.to_k = nn.Linear(channels, channels)
        self.to_v = nn.Linear(channels, channels)
        self.to_out = nn.ModuleList([nn.Linear(channels, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        tokens = self.group_norm(x).flatten(2).transpose(1, 2)  # (B, h*w, C)
        mixed = self.to_out[0](attention(self.to_q(tokens), self.to_k(tokens), self.to_v(tokens), heads=1))
        return x + mixed.transpose(1, 2).reshape(x.shape)  # (B, C, h, w)


class Middle(nn.Module):
    """ResNet block, attention, ResNet block at the lowest resolution."""

    def __init__(self, channels: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(ResnetBlock(channels, channels, None, groups, EPSILON) for _ in range(2))
        self.attentions = nn.ModuleList([PixelAttention(channels, groups)])

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, C, h, w)."""
        return self.resnets[1](self.attentions[0](self.resnets[0](x)))


class Level(nn.Module):
    """The ResNet blocks of one resolution, then a resampling if the level has one."""

    def __init__(self, inputs: int, outputs: int, resnets: int, groups: int) -> None:
        super().__init__()
        self.resnets = nn.ModuleList(
            ResnetBlock(outputs if index else inputs, outputs, None, groups, EPSILON) for index in range(resnets)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C_in, h, w) -> (B, C_out, h', w')."""
        for block in (*self.resnets, *getattr(self, "downsamplers", ()), *getattr(self, "upsamplers", ())):
            x = block(x)
        return x


class Encoder(nn.Module):
    """Maps pixels to the moments of the posterior."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.conv_in = nn.Conv2d(3, config.channels[0], 3, padding=1)
        self.down_blocks = nn.ModuleList()
        width = config.channels[0]
        for index, channels in enumerate(config.channels):
            level = Level(width, channels, config.resnets, config.groups)
            if index < len(config.channels) - 1:
                level.downsamplers = nn.ModuleList([Downsample(channels, asymmetric=True)])
            self.down_blocks.append(level)
            width = channels
        self.mid_block = Middle(width, config.groups)
        self.conv_norm_out = nn.GroupNorm(config.groups, width, EPSILON)
        self.conv_out = nn.Conv2d(width, 2 * config.latent_channels, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) -> (B, 2 C, h, w)."""
        x = self.conv_in(images)
        for level in self.down_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(self.mid_block(x))))


class Decoder(nn.Module):
    """Maps latents to pixels."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        levels, groups = config.of_decoder
        width = levels[-1]
        self.conv_in = nn.Conv2d(config.latent_channels, width, 3, padding=1)
        self.mid_block = Middle(width, groups)
        self.up_blocks = nn.ModuleList()
        for index, channels in enumerate(reversed(levels)):
            level = Level(width, channels, config.resnets + 1, groups)
            if index < len(levels) - 1:
                level.upsamplers = nn.ModuleList([Upsample(channels)])
            self.up_blocks.append(level)
            width = channels
        self.conv_norm_out = nn.GroupNorm(groups, width, EPSILON)
        self.conv_out = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, latents: Tensor) -> Tensor:
        """(B, C, h, w) -> (B, 3, H, W)."""
        x = self.mid_block(self.conv_in(latents))
        for level in self.up_blocks:
            x = level(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    """Encoder, decoder and the two 1x1 convolutions between them."""

    def __init__(self, config: AutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.post_quant_conv = nn.Conv2d(config.latent_channels, config.latent_channels, 1)

    def encode(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (B, 3, H, W) in [-1, 1] -> mean and log variance, each (B, C, H/factor, W/factor)."""
        moments, channels = self.quant_conv(self.encoder(images)), self.config.latent_channels
        return moments[:, :channels], moments[:, channels:].clamp(-30.0, 20.0)

    def decode(self, latents: Tensor) -> Tensor:
        """Unscaled latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents))

    def to_latents(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1] -> the U-Net's latents (B, C, h, w), from the mean rather than a sample."""
        return self.encode(images)[0] * self.config.scaling_factor

    def to_images(self, latents: Tensor) -> Tensor:
        """The U-Net's latents (B, C, h, w) -> images (B, 3, H, W), about [-1, 1]."""
        return self.decode(latents / self.config.scaling_factor)


def build_autoencoder(config: AutoencoderConfig | TinyAutoencoderConfig) -> Autoencoder | TinyAutoencoder:
    """Build the autoencoder of a configuration, with fresh weights."""
    return TinyAutoencoder(config) if isinstance(config, TinyAutoencoderConfig) else Autoencoder(config)
