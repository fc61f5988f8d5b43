"""Train the U-Net on latents of pictures and embeddings of captions, both encoded once, before training.

    z_t = alpha_t x + sigma_t e,   L = ||v(z_t, t, c) - (alpha_t e - sigma_t x)||^2   (Salimans and Ho 2022)

or with e as the target (Ho et al. 2020).  For classifier-free guidance a share of the samples sees the null condition
(Ho and Salimans 2022).
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import BertConfig, ScheduleConfig, UNetConfig
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.presets import MINILM, preset
from mobile_diffusion.progress import Progress, part_of, silent
from mobile_diffusion.quoting import quoted
from mobile_diffusion.recipes.autoencoder import open_autoencoder
from mobile_diffusion.schedule import add_noise, alphas_sigmas, velocity
from mobile_diffusion.text_encoder import build_text_encoder
from mobile_diffusion.tokenization.tokenizer import WordPieceTokenizer
from mobile_diffusion.training.batches import SampleSource, choose_captions
from mobile_diffusion.training.checkpoints import ENCODED, save_trained, training_source
from mobile_diffusion.training.loop import train
from mobile_diffusion.training.network_hashes import weights_hash
from mobile_diffusion.training.run_folder import load_run_average
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sheets import draw_sheet
from mobile_diffusion.training.workers import WHOLE, BatchShare, choose_device
from mobile_diffusion.unet import UNet
from mobile_diffusion.weights import check_weights, load_weights


@dataclass(frozen=True)
class UNetSettings:
    """Settings of `train unet`; `train robust` and `train evolve` have them under `[training]`."""

    loop: LoopSettings
    styles: tuple[str, ...]
    """Styles of pictures to train on, such as "3d"."""
    unet: UNetConfig | None = None
    """Architecture of a new network; absent where the network of a checkpoint is trained."""
    schedule: ScheduleConfig | None = None
    """Schedule of a new network, by default that of `ScheduleConfig`; absent where a checkpoint's is used."""
    groups: tuple[str, ...] = ()
    """Groups of concepts to train on, such as "food"; empty for all."""
    timestep_power: float = 1.0
    """Time steps are train_steps * u ** power with uniform u: below 1, noisier steps are drawn more often. At noisy
    steps the prompt decides the picture, and a sampler of few steps uses mostly those."""
    min_snr: float = 0.0
    """gamma of min-SNR loss weighting (Hang et al. 2023), 5 in the paper: time steps with a higher signal-to-noise
    ratio count less; 0 weights the loss of the prediction equally."""
    condition_dropout: float = 0.1
    """Share of samples that see the null condition (Ho and Salimans 2022)."""
    label_share: float = 0.7
    """Share of captions that are the emoji's own label; the rest are keywords."""
    typed_captions: bool = False
    """Whether the label is said as people type it ("a red apple", "3d emoji of a red apple") beside its stored form."""
    family_power: float = 0.5
    """Pictures are drawn with weight 1 / (size of their concept family) ** family_power."""
    prompts: tuple[str, ...] = ()
    """Prompts that every sample sheet draws."""

    def __post_init__(self) -> None:
        if not (self.min_snr >= 0 and math.isfinite(self.min_snr)):
            raise ConfigError(f"min_snr: expected 0 or a positive number, got {quoted(self.min_snr)}")


@dataclass(frozen=True)
class UNetRecord(UNetSettings):
    """What `settings.json` of a run holds: the settings, and the weights that the run began with."""

    start_sha256: str = ""
    """Of the averaged weights of the run that it continues; "" for random weights."""


def stratified_timesteps(count: int, train_steps: int, power: float, generator: torch.Generator) -> Tensor:
    """Time steps int64 (count,): train_steps * u ** power with one u in each of `count` equal strata of 0..1.

    Strata reduce a batch's variance compared with independent draws; `power` 1 is the uniform distribution.
    """
    uniform = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (uniform**power * train_steps).long().clamp(max=train_steps - 1)


def loss_weights(alphas: Tensor, sigmas: Tensor, prediction: str, gamma: float) -> Tensor:
    """Weights of the loss of v or epsilon at levels of noise (T,), min(SNR, gamma) on the loss of the picture.

    An error of the picture is an error of v divided by sqrt(SNR + 1), and one of epsilon divided by sqrt(SNR), so the
    weight is min(SNR, gamma) / (SNR + 1) or / SNR (Hang et al. 2023, section 3.4).  All are 1 when gamma is 0.
    """
    if not gamma:
        return torch.ones_like(alphas)
    snr = (alphas / sigmas).double().square()
    return (snr.clamp(max=gamma) / (snr + 1 if prediction == "v" else snr)).to(alphas)


class UNetTask:
    """The loop's task: predict v (or epsilon) from noised latents, noise level and caption."""

    def __init__(self, settings: UNetSettings, model: Model, source: SampleSource, start_sha256: str = "") -> None:
        self.settings: object = UNetRecord(**vars(settings), start_sha256=start_sha256)
        self.training, self.loop, self.model, self.source = settings, settings.loop, model, source
        self.module = model.unet.train()
        alphas, sigmas = alphas_sigmas(model.config.schedule)
        device = next(self.module.parameters()).device
        self.alphas, self.sigmas = (torch.from_numpy(table).float().to(device) for table in (alphas, sigmas))
        self.weights = loss_weights(self.alphas, self.sigmas, model.config.schedule.prediction, settings.min_snr)

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Mean squared error of the prediction."""
        count, schedule = self.loop.batch, self.model.config.schedule
        inputs, chosen = self.source.pick(step, count, generator, part)
        timesteps = stratified_timesteps(count, schedule.train_steps, self.training.timestep_power, generator)
        noise = torch.randn(count, *inputs.latents.shape[1:], generator=generator)
        shares = (self.training.label_share, self.training.condition_dropout)
        rows = choose_captions(inputs, chosen, *shares, generator, part)
        device = self.alphas.device
        timesteps, noise = part.of(timesteps).to(device), part.of(noise).to(device)
        clean, context = inputs.latents[chosen].to(device), inputs.contexts[rows].to(device).float()
        alpha, sigma, weight = (x[timesteps][:, None, None, None] for x in (self.alphas, self.sigmas, self.weights))
        noisy = add_noise(clean, noise, alpha, sigma)
        target = velocity(clean, noise, alpha, sigma) if schedule.prediction == "v" else noise
        predicted = self.module(noisy.contiguous(memory_format=torch.channels_last), timesteps, context)
        return (weight * F.mse_loss(predicted.float(), target, reduction="none")).mean()

    def sheet(self, path: Path) -> None:
        """The prompts of the settings, drawn in the schedule's steps."""
        draw_sheet(self.model, self.training.prompts, path)


def open_untrained(settings: UNetSettings, trained: Autoencoder, text: Path, text_config: BertConfig = MINILM) -> Model:
    """A model of a new U-Net, the trained autoencoder, and the text encoder and tokenizer in the folder `text`.

    Raises ConfigError when the settings have no U-Net, CheckpointError for a folder without a text encoder.
    """
    if settings.unet is None:
        raise ConfigError("unet: expected the architecture of a new U-Net, got none; add [unet] to the settings")
    torch.manual_seed(settings.loop.seed)
    parts = {"unet": settings.unet, "autoencoder": trained.config, "text": text_config}
    schedule = settings.schedule or ScheduleConfig()
    config = dataclasses.replace(preset("emoji"), **parts, schedule=schedule, styles=settings.styles)  # type: ignore[arg-type]
    text_encoder = _open_text_encoder(text / "text_encoder.safetensors", text_config)
    tokenizer = WordPieceTokenizer.from_file(text / "tokenizer.json", text_config.max_tokens)
    unet = UNet(settings.unet).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Model(config, tokenizer, text_encoder, unet, trained)  # type: ignore[arg-type]


def _open_text_encoder(file: Path, config: BertConfig) -> nn.Module:
    check_weights(lambda: build_text_encoder(config), file)
    return load_weights(lambda: build_text_encoder(config), file)


def train_unet(
    settings: UNetSettings,
    data: Path,
    autoencoder: Path,
    text: Path,
    run: Path,
    out: Path | None = None,
    start: Path | None = None,
    progress: Progress = silent,
) -> None:
    """Train a new U-Net, then write the whole model as a checkpoint to `out`, if given, replacing one that is there.

    The first weights are random, or with `start` the averaged weights of that run.  Raises ConfigError and
    CheckpointError as `open_untrained` does, CheckpointError for an unfinished autoencoder run, DataError for a data
    set without the styles or groups, TrainingError as the loop does.
    """
    model, first = open_untrained(settings, open_autoencoder(autoencoder), text), ""
    if start is not None:
        load_run_average(model.unet, start)
        first = weights_hash(model.unet)
    for part in (model.text_encoder, model.autoencoder, model.unet):
        part.to(choose_device())
    source = training_source(model, settings, settings.family_power, data, run, part_of(progress, 0.0, ENCODED))
    state = train(UNetTask(settings, model, source, first), run, part_of(progress, ENCODED, 1 - ENCODED))
    if out is not None:
        save_trained(state, model, out)
