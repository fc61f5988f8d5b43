"""Training of the autoencoder: L1 + LPIPS + KL, on random crops and then on whole pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.data import Sample, load_dataset, load_image
from mobile_diffusion.decibels import psnr_each
from mobile_diffusion.errors import DataError
from mobile_diffusion.training.lpips import load_lpips
from mobile_diffusion.training.settings import AutoencoderSettings
from mobile_diffusion.training.sheets import contact_sheet, write_png
from mobile_diffusion.training.workers import WHOLE, BatchShare

LOGGER = logging.getLogger(__name__)
SHEET_PICTURES = 16


def choose_samples(folder: Path, styles: tuple[str, ...], split: str) -> list[Sample]:
    """Samples of the styles and the split; raises `DataError` when a style has none."""
    samples = [sample for sample in load_dataset(folder) if sample.split == split]
    for style in styles:
        if not any(sample.style == style for sample in samples):
            raise DataError(f"{folder}: expected {split} pictures of style {style!r}, got none; run `data fetch`")
    return [sample for sample in samples if sample.style in styles]


def choose_groups(samples: list[Sample], groups: tuple[str, ...]) -> list[Sample]:
    """Samples of the named groups, all for none; raises `DataError` when a group has no sample."""
    for group in groups:
        if not any(sample.group == group for sample in samples):
            known = ", ".join(sorted({sample.group for sample in samples}))
            raise DataError(f"groups: expected some of {known}, got {group!r}; mend the settings")
    return [sample for sample in samples if not groups or sample.group in groups]


def stack_images(samples: list[Sample]) -> Tensor:
    """All pictures as uint8 (N, 3, H, W)."""
    return torch.from_numpy(np.stack([load_image(sample) for sample in samples])).permute(0, 3, 1, 2).contiguous()


def to_signed(images: Tensor) -> Tensor:
    """uint8 (..., 3, H, W) -> float32 in [-1, 1]."""
    return images.float() / 127.5 - 1.0


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over elements of KL(N(mean, variance) || N(0, 1)) (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


def psnr(images: Tensor, others: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of pictures (B, 3, H, W) in [-1, 1], one value a picture."""
    return psnr_each(images.clamp(-1, 1), others, span=2.0)


@torch.no_grad()
def start_posterior_narrow(autoencoder: Autoencoder) -> None:
    """Begin with a log variance near -6, in place: at 0 the noise hides the mean and learning starts slowly."""
    _, weight = autoencoder.quant_conv.weight.chunk(2)
    _, bias = autoencoder.quant_conv.get_parameter("bias").chunk(2)
    weight.fill_(0.0)
    bias.fill_(-6.0)


class AutoencoderTask:
    """The loop's task: reconstruct pictures of the training split."""

    def __init__(self, settings: AutoencoderSettings, data: Path, weights: Path, device: torch.device) -> None:
        self.settings, self.loop, self.device = settings, settings.loop, device
        torch.manual_seed(settings.loop.seed)
        layout = torch.channels_last
        self.module = Autoencoder(settings.autoencoder).to(device).to(memory_format=layout)  # type: ignore[call-overload]
        start_posterior_narrow(self.module)
        self.images = stack_images(choose_samples(data, settings.styles, "train"))
        self.held_out = stack_images(choose_samples(data, settings.styles, "held-out"))
        self.lpips = load_lpips(weights).to(device).to(memory_format=layout)  # type: ignore[call-overload]

    def batch(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Random crops (B, 3, crop, crop), or fewer whole pictures in the last phase; in [-1, 1]."""
        side, crop, count = self.images.shape[-1], self.settings.crop, self.loop.batch
        if step >= self.loop.steps - self.settings.whole_steps:
            count, crop = max(1, count * crop * crop // (side * side)), side
        chosen = torch.randint(len(self.images), (count,), generator=generator)
        corners = torch.randint(side - crop + 1, (count, 2), generator=generator)
        crops = [
            self.images[index, :, top : top + crop, left : left + crop]
            for index, (top, left) in zip(part.of(chosen).tolist(), part.of(corners).tolist(), strict=True)
        ]
        return to_signed(torch.stack(crops)).to(self.device, memory_format=torch.channels_last)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """L1 + KL, in the last phase + LPIPS on a share of the batch, or of the part."""
        settings, images = self.settings, self.batch(step, generator, part)
        mean, log_variance = self.module.encode(images)
        whole = (len(images) * part.count, *mean.shape[1:])
        noise = part.of(torch.randn(whole, generator=generator)).to(self.device)
        drawn = self.module.decode(mean + (0.5 * log_variance).exp() * noise)
        kl = kl_divergence(mean.float(), log_variance.float())
        loss = F.l1_loss(drawn.float(), images) + settings.kl_weight * kl
        if step < self.loop.steps - settings.perceptual_steps:
            return loss
        share = max(1, round(settings.perceptual_share * len(images)))
        return loss + settings.perceptual_weight * self.lpips(drawn[:share], images[:share]).float().mean()

    def reconstruct(self, images: Tensor) -> Tensor:
        """uint8 (N, 3, H, W) -> reconstructions float32 (N, 3, H, W) in about [-1, 1], in batches."""
        signed = (to_signed(part).to(self.device) for part in images.split(16))
        return torch.cat([self.module.decode(self.module.encode(part)[0]).float().cpu() for part in signed])

    def sheet(self, path: Path) -> None:
        """Held-out pictures above their reconstructions; logs their PSNR."""
        images = self.held_out[:: max(1, len(self.held_out) // SHEET_PICTURES)][:SHEET_PICTURES]
        drawn = self.reconstruct(images)
        values = psnr(drawn, to_signed(images))
        LOGGER.info("held-out PSNR of %d pictures: %.2f dB", len(images), float(values.mean()))
        pictures = [*to_pictures(to_signed(images)), *to_pictures(drawn)]
        captions = ["original"] * len(images) + [f"{value:.1f} dB" for value in values.tolist()]
        write_png(contact_sheet(pictures, captions, len(images)), path)

    def held_out_psnr(self) -> float:
        """Mean PSNR in dB over every held-out picture."""
        return float(psnr(self.reconstruct(self.held_out), to_signed(self.held_out)).mean())


def to_pictures(images: Tensor) -> list[np.ndarray]:
    """(N, 3, H, W) in [-1, 1] -> N arrays uint8 (H, W, 3)."""
    scaled = ((images.clamp(-1, 1) * 0.5 + 0.5) * 255).round().to(torch.uint8)
    return list(scaled.permute(0, 2, 3, 1).numpy())
