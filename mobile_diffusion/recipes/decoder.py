"""Slim the decoder (SnapFusion, efficient image decoder): prune channels, then train on the full decoder's pictures.

    L = ||D_slim(z) - D_full(z)||^2   over latents z that the model's own sampler drew

The pruning is slimming/decoder_pruning.py.  Encoder, U-Net and text encoder stay as they are.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import save_checkpoint
from mobile_diffusion.data import captions
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.slimming.decoder_pruning import prune_decoder
from mobile_diffusion.slimming.synthetic import FullPictures, prepare_latents
from mobile_diffusion.training import workers
from mobile_diffusion.training.checkpoints import chosen_samples, open_placed
from mobile_diffusion.training.images import psnr, to_pictures
from mobile_diffusion.training.loop import average_in, train
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sheets import contact_sheet, write_png
from mobile_diffusion.training.workers import WHOLE, BatchShare

SHEET_PICTURES = 8
_SAMPLED = 0.1
"""Progress when the latents are drawn; the rest is training."""


@dataclass(frozen=True)
class DecoderSettings:
    """Settings of `train decoder`."""

    loop: LoopSettings
    styles: tuple[str, ...]
    """Styles whose captions the sampler draws latents of."""
    groups: tuple[str, ...] = ()
    """Groups of concepts whose captions are drawn; empty for all."""
    share: float = 0.5
    """Share of the channels of every convolution that stays."""
    latents: int = 2048
    """Synthetic latents to train on."""
    held_out: int = 64
    """Further latents, drawn from other noise, on which the result is measured."""
    sampling_batch: int = 16
    """Latents that are drawn at once."""

    def __post_init__(self) -> None:
        for name in ("latents", "held_out", "sampling_batch"):
            if not getattr(self, name) >= 1:
                raise ConfigError(f"{name}: expected 1 or more, got {getattr(self, name)}")


@dataclass(frozen=True)
class DecoderRecord(DecoderSettings):
    """What `settings.json` of a run holds: the settings, and the checkpoint whose decoder is slimmed."""

    model_sha256: str = ""


class DecodingHalf(nn.Module):
    """The part of an autoencoder that is trained: the decoder and the convolution before it."""

    def __init__(self, autoencoder: Autoencoder) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv = autoencoder.decoder, autoencoder.post_quant_conv


class DecoderTask:
    """The loop's task: the slim decoder learns to draw the full decoder's picture."""

    def __init__(self, settings: DecoderRecord, full: Autoencoder, latents: Tensor, held_out: Tensor) -> None:
        """Latents are (N, C, h, w), scaled as for the U-Net.  Raises ConfigError for a share that cannot be kept."""
        self.settings, self.latents, self.held_out = settings, latents, held_out
        self.loop: LoopSettings = settings.loop
        self.full = full.eval().requires_grad_(False)
        self.pictures = FullPictures(self.full, latents)
        self.slim = prune_decoder(full, settings.share).to(next(full.parameters()).device)
        self.slim.requires_grad_(False)
        self.module = DecodingHalf(self.slim).train().requires_grad_(True)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Mean squared error between the two pictures, both in [-1, 1]."""
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
        """Mean PSNR in dB of the slim decoder's pictures of held-out latents, compared with the full decoder's."""
        full, slim = self.compare(self.held_out)
        return float(psnr(slim, full.clamp(-1, 1)).mean())

    def sheet(self, path: Path) -> None:
        """Pictures of the full decoder, with those of the slim decoder below them."""
        full, slim = self.compare(self.held_out[:SHEET_PICTURES])
        marks = [f"{value:.1f} dB" for value in psnr(slim, full.clamp(-1, 1)).tolist()]
        pictures = [*to_pictures(full), *to_pictures(slim)]
        write_png(contact_sheet(pictures, ["full"] * len(full) + marks, len(full)), path)

    def _placed(self, latents: Tensor) -> Tensor:
        return latents.to(next(self.module.parameters()).device, memory_format=torch.channels_last)


def slim_decoder(
    settings: DecoderSettings, data: Path, model: Path, run: Path, out: Path, progress: Progress = silent
) -> float:
    """Write the checkpoint `model` with a slim decoder to `out`, replacing one there; returns the held-out PSNR in dB.

    Raises ConfigError for an autoencoder or a share that cannot be slimmed, DataError for a data set without the
    styles or groups, TrainingError as the loop does.
    """
    opened = open_placed(model)
    full = opened.autoencoder
    assert isinstance(full, Autoencoder)  # open_placed
    samples = chosen_samples(settings, data)
    texts = [captions(sample)[0] for sample in samples]
    count, batch = settings.latents + settings.held_out, settings.sampling_batch
    sampling = part_of(progress, 0.0, _SAMPLED)
    latents = prepare_latents(opened, texts, count, batch, settings.loop.seed, run, sampling)
    record = DecoderRecord(**vars(settings), model_sha256=opened.source_hash)
    task = DecoderTask(record, full, latents[: settings.latents], latents[settings.latents :])
    average_in(train(task, run, part_of(progress, _SAMPLED, 1 - _SAMPLED)))
    quality = task.held_out_psnr()
    config = dataclasses.replace(opened.config, autoencoder=task.slim.config)
    result = dataclasses.replace(opened, config=config, autoencoder=task.slim)
    if workers.is_first():
        save_checkpoint(result, out, overwrite=out.exists())
    return quality
