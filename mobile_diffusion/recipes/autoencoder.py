"""Train the autoencoder (Rombach et al. 2022, without the discriminator): pictures to latents and back.

    L = ||x - D(z)||_1 + w_kl KL(q(z|x) || N(0, 1)) + w_p LPIPS(x, D(z)),   z ~ q(z|x) = N(mean, variance)

The first phase sees random crops; the last phases see whole pictures and have LPIPS in the loss.
"""

from __future__ import annotations

import dataclasses
import json
import logging
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.autoencoder_config import AutoencoderConfig
from mobile_diffusion.config_json import from_dict, to_dict
from mobile_diffusion.errors import CheckpointError, ConfigError
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.quoting import quoted
from mobile_diffusion.staging import write_bytes
from mobile_diffusion.strict_json import parse_json
from mobile_diffusion.training import workers
from mobile_diffusion.training.images import choose_samples, psnr, stack_images, to_pictures, to_signed
from mobile_diffusion.training.latents import encode_images
from mobile_diffusion.training.loop import average_in, train
from mobile_diffusion.training.lpips import load_lpips
from mobile_diffusion.training.network_hashes import weights_hash
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sheets import contact_sheet, write_png
from mobile_diffusion.training.workers import WHOLE, BatchShare, choose_device
from mobile_diffusion.weights import check_weights, load_weights, save_weights

LOGGER = logging.getLogger(__name__)
_TRAINED = 0.95
"""Progress when the network is trained; the rest is measuring its latents."""
RESULT, WEIGHTS = "autoencoder.json", "autoencoder.safetensors"
SHEET_PICTURES = 16
SCALE_PICTURES = 2048
"""Pictures whose latents determine the scaling factor, at most: a million values, of the whole training split."""


@dataclass(frozen=True)
class AutoencoderSettings:
    """Settings of `train autoencoder`."""

    autoencoder: AutoencoderConfig
    """The architecture."""
    loop: LoopSettings
    styles: tuple[str, ...]
    """Styles of pictures to train on, such as "3d"."""
    crop: int = 64
    """Side of the random crops of the first phase, in pixels; the last phase sees whole pictures."""
    whole_steps: int = 0
    """Steps on whole pictures, counted from the end; their batch is smaller, so that it has as many pixels."""
    perceptual_steps: int = 0
    """Steps with LPIPS in the loss, counted from the end."""
    perceptual_weight: float = 0.5
    """w_p."""
    perceptual_share: float = 0.25
    """Share of a batch on which LPIPS is computed: it costs several times as much as the autoencoder itself."""
    kl_weight: float = 3e-4
    """w_kl."""


@dataclass(frozen=True)
class AutoencoderRecord(AutoencoderSettings):
    """What `settings.json` of a run holds: the settings, and the weights that the run began with."""

    start_sha256: str = ""
    """Of the autoencoder that the run continues; "" for random weights."""


def kl_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Mean over elements of KL(N(mean, variance) || N(0, 1)) (Kingma and Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance).mean()


@torch.no_grad()
def start_posterior_narrow(autoencoder: Autoencoder) -> None:
    """Begin with a log variance near -6, in place: at 0 the noise hides the mean and learning starts slowly."""
    _, weight = autoencoder.quant_conv.weight.chunk(2)
    _, bias = autoencoder.quant_conv.get_parameter("bias").chunk(2)
    weight.fill_(0.0)
    bias.fill_(-6.0)


def untrained(settings: AutoencoderSettings) -> Autoencoder:
    """An autoencoder with random weights, which the seed determines."""
    torch.manual_seed(settings.loop.seed)
    autoencoder = Autoencoder(settings.autoencoder)
    start_posterior_narrow(autoencoder)
    return autoencoder


class AutoencoderTask:
    """The loop's task: reconstruct pictures of the training split."""

    def __init__(
        self,
        settings: AutoencoderSettings,
        data: Path,
        weights: Path,
        device: torch.device,
        first: Autoencoder | None = None,
    ) -> None:
        """The first weights are those of `first`, which then is trained in place, or random."""
        self.loop, self.device = settings.loop, device
        self.settings = AutoencoderRecord(**vars(settings), start_sha256="" if first is None else weights_hash(first))
        layout = torch.channels_last
        self.module = (first or untrained(settings)).to(device, memory_format=layout)  # type: ignore[call-overload]
        self.images = stack_images(choose_samples(data, settings.styles, "train")).to(device)
        self.held_out = stack_images(choose_samples(data, settings.styles, "held-out"))
        self.lpips = load_lpips(weights).to(device).to(memory_format=layout)  # type: ignore[call-overload]

    def batch(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Random crops (B, 3, crop, crop), or in the last phase fewer whole pictures; in [-1, 1]."""
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
        """L1 + KL; in the last phase also LPIPS, on a share of the pictures."""
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
        """Held-out pictures, with their reconstructions below them; logs the PSNR."""
        images = self.held_out[:: max(1, len(self.held_out) // SHEET_PICTURES)][:SHEET_PICTURES]
        drawn = self.reconstruct(images)
        values = psnr(drawn, to_signed(images))
        LOGGER.info("held-out PSNR of %d pictures: %.2f dB", len(images), float(values.mean()))
        pictures = [*to_pictures(to_signed(images)), *to_pictures(drawn)]
        captions = ["original"] * len(images) + [f"{value:.1f} dB" for value in values.tolist()]
        write_png(contact_sheet(pictures, captions, len(images)), path)

    def held_out_psnr(self) -> float:
        """Mean PSNR in dB over all held-out pictures."""
        return float(psnr(self.reconstruct(self.held_out), to_signed(self.held_out)).mean())


def train_autoencoder(
    settings: AutoencoderSettings,
    data: Path,
    weights: Path,
    run: Path,
    start: Path | None = None,
    progress: Progress = silent,
) -> float:
    """Train, then write `autoencoder.safetensors` and `autoencoder.json` into the folder `run`.

    `weights` is the folder of LPIPS's archive, which is fetched when it is missing.  The first weights are random, or
    with `start` those of that finished run.  Returns the PSNR in dB over the held-out pictures.  Raises DataError for
    a data set without the styles, CheckpointError and ConfigError for a `start` that is no finished run or has another
    architecture, TrainingError as the loop does.
    """
    first = None if start is None else _open_first(start, settings.autoencoder)
    task = AutoencoderTask(settings, data, weights, choose_device(), first)
    average_in(train(task, run, part_of(progress, 0.0, _TRAINED)))
    task.module.eval()
    with torch.no_grad():
        some = task.images[:: -(-len(task.images) // SCALE_PICTURES)]
        latents = encode_images(task.module, some, part_of(progress, _TRAINED, 1 - _TRAINED))
        scaling_factor = 1.0 / float(latents.std())
        quality = task.held_out_psnr()
    if workers.is_first():
        save_weights(task.module, run / WEIGHTS)
        config = {**to_dict(settings.autoencoder), "scaling_factor": round(scaling_factor, 5)}
        result = {"config": config, "held_out_psnr_db": round(quality, 3)}
        write_bytes((json.dumps(result, indent=2) + "\n").encode(), run / RESULT)
    LOGGER.info("held-out PSNR %.2f dB over %d pictures", quality, len(task.held_out))
    return quality


def _open_first(start: Path, wanted: AutoencoderConfig) -> Autoencoder:
    """The autoencoder of a finished run; raises ConfigError unless it has the architecture of the settings."""
    first = open_autoencoder(start)
    for field in dataclasses.fields(wanted):
        found, expected = (getattr(config, field.name) for config in (first.config, wanted))
        if found != expected and field.name != "scaling_factor":
            raise ConfigError(
                f"{start}: expected an autoencoder with {field.name} {quoted(expected)}, got {quoted(found)}; "
                "fix [autoencoder] in the settings"
            )
    return first


def open_autoencoder(run: Path) -> Autoencoder:
    """The autoencoder that a finished run wrote; raises `CheckpointError` when there is none."""
    try:
        config = from_dict(AutoencoderConfig, parse_json((run / RESULT).read_text())["config"])
    except (OSError, ValueError, LookupError) as error:
        raise CheckpointError(f"{run}: expected a finished autoencoder run, got {error}; train one first") from None
    check_weights(lambda: Autoencoder(config), run / WEIGHTS)
    return load_weights(lambda: Autoencoder(config), run / WEIGHTS)  # type: ignore[return-value]
