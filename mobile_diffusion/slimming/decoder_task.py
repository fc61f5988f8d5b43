"""The training task of a slim decoder: it learns to draw the full decoder's picture of synthetic latents."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.slimming.decoder import prune_decoder
from mobile_diffusion.slimming.full_pictures import FullPictures
from mobile_diffusion.slimming.settings import DecoderSettings
from mobile_diffusion.training.autoencoder import psnr, to_pictures
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sheets import contact_sheet, write_png
from mobile_diffusion.training.workers import WHOLE, BatchShare

SHEET_PICTURES = 8


class DecodingHalf(nn.Module):
    """What is trained of an autoencoder: the decoder and the convolution before it; the encoder stays."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv = autoencoder.decoder, autoencoder.post_quant_conv


class DecoderTask:
    """The loop's task: mean squared error to the full decoder's picture (SnapFusion, efficient image decoder)."""

    def __init__(self, settings: DecoderSettings, full: Autoencoder, latents: Tensor, held_out: Tensor) -> None:
        """Latents as the U-Net sees them, (N, C, h, w).  Raises ConfigError for a share of channels that cannot be."""
        self.settings, self.latents, self.held_out = settings, latents, held_out
        self.loop: LoopSettings = settings.loop
        self.full = full.eval().requires_grad_(False)
        self.pictures = FullPictures(self.full, latents)
        self.slim = prune_decoder(full, settings.share).to(next(full.parameters()).device)
        self.slim.requires_grad_(False)
        self.module = DecodingHalf(self.slim).train().requires_grad_(True)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Mean squared error between the two pictures of a batch, both in [-1, 1]."""
        chosen = torch.randint(len(self.latents), (self.loop.batch,), generator=generator)
        chosen = part.of(chosen)
        drawn = self.slim.to_images(self._placed(self.latents[chosen]))
        return F.mse_loss(drawn.float(), self.pictures.of(chosen))

    @torch.no_grad()
    def compare(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (N, 3, H, W) of the full and of the slim decoder, in batches."""
        parts = [self._placed(part) for part in latents.split(self.loop.batch)]
        full, slim = ([net.to_images(part).float().cpu() for part in parts] for net in (self.full, self.slim))
        return torch.cat(full), torch.cat(slim)

    def held_out_psnr(self) -> float:
        """Mean PSNR in dB of the slim decoder's pictures of held-out latents to the full one's."""
        full, slim = self.compare(self.held_out)
        return float(psnr(slim, full.clamp(-1, 1)).mean())

    def sheet(self, path: Path) -> None:
        """Pictures of the full decoder above those of the slim one."""
        full, slim = self.compare(self.held_out[:SHEET_PICTURES])
        marks = [f"{value:.1f} dB" for value in psnr(slim, full.clamp(-1, 1)).tolist()]
        pictures = [*to_pictures(full), *to_pictures(slim)]
        write_png(contact_sheet(pictures, ["full"] * len(full) + marks, len(full)), path)

    def _placed(self, latents: Tensor) -> Tensor:
        return latents.to(next(self.module.parameters()).device, memory_format=torch.channels_last)
