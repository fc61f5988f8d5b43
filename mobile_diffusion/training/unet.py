"""Training of the U-Net: v- or epsilon-prediction with classifier-free dropout on precomputed latents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.data import Sample
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.schedule import add_noise, alphas_sigmas, velocity
from mobile_diffusion.training.batches import SampleSource
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.settings import UNetSettings
from mobile_diffusion.training.sheets import contact_sheet, write_png
from mobile_diffusion.training.workers import WHOLE, BatchShare

SHEET_COLUMNS = 8
SHEET_SEED = 7


def family_weights(samples: list[Sample], power: float) -> Tensor:
    """Sampling weight of every picture, float64 (N,): 1 / (size of its concept family) ** power.

    Families such as clock faces are many near-duplicates; without weights they crowd out single concepts.
    """
    sizes = Counter(sample.family for sample in samples)
    return torch.tensor([sizes[sample.family] ** -power for sample in samples], dtype=torch.float64)


def stratified_timesteps(count: int, train_steps: int, power: float, generator: torch.Generator) -> Tensor:
    """Time steps int64 (count,): train_steps * u ** power with one u in each of `count` equal strata of 0..1.

    Strata give a batch less variance than independent draws; `power` 1 is the uniform distribution.
    """
    uniform = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    return (uniform**power * train_steps).long().clamp(max=train_steps - 1)


def choose_captions(
    inputs: TrainingInputs,
    chosen: Tensor,
    label_share: float,
    dropout: float,
    generator: torch.Generator,
    part: BatchShare = WHOLE,
) -> Tensor:
    """Rows int64 (B,) of `inputs.contexts`: the label, another caption, or (a share `dropout`) the null condition.

    `chosen` (B,) are the pictures of a part of a batch; the generator draws for the whole batch.
    """
    drawn = torch.rand(3, len(chosen) * part.count, generator=generator)
    label, other, dropped = (part.of(each) for each in drawn)
    offset = (other * inputs.caption_count[chosen]).long()
    rows = inputs.first_caption[chosen] + torch.where(label < label_share, 0, offset)
    return torch.where(dropped < dropout, 0, rows)


class UNetTask:
    """The loop's task: predict v (or epsilon) of noised latents from noise level and caption."""

    def __init__(self, settings: UNetSettings, model: Model, source: SampleSource) -> None:
        self.settings: object = settings
        self.training, self.loop, self.model, self.source = settings, settings.loop, model, source
        self.module = model.unet.train()
        alphas, sigmas = alphas_sigmas(model.config.schedule)
        self.alphas, self.sigmas = torch.from_numpy(alphas).float(), torch.from_numpy(sigmas).float()

    def loss(self, step: int, generator: torch.Generator, part: BatchShare = WHOLE) -> Tensor:
        """Mean squared error of the prediction (Salimans and Ho 2022 for v; Ho et al. 2020 for epsilon)."""
        count, schedule = self.loop.batch, self.model.config.schedule
        inputs, chosen = self.source.pick(step, count, generator, part)
        timesteps = stratified_timesteps(count, schedule.train_steps, self.training.timestep_power, generator)
        noise = torch.randn(count, *inputs.latents.shape[1:], generator=generator)
        shares = (self.training.label_share, self.training.condition_dropout)
        rows = choose_captions(inputs, chosen, *shares, generator, part)
        timesteps, noise = part.of(timesteps), part.of(noise)
        alpha, sigma = (table[timesteps][:, None, None, None] for table in (self.alphas, self.sigmas))
        clean = inputs.latents[chosen]
        noisy = add_noise(clean, noise, alpha, sigma)
        target = velocity(clean, noise, alpha, sigma) if schedule.prediction == "v" else noise
        context = inputs.contexts[rows].float()
        device = next(self.module.parameters()).device
        noisy, timesteps, context, target = (x.to(device) for x in (noisy, timesteps, context, target))
        predicted = self.module(noisy.contiguous(memory_format=torch.channels_last), timesteps, context)
        return F.mse_loss(predicted.float(), target)

    def sheet(self, path: Path) -> None:
        """The settings' prompts, drawn in the schedule's steps."""
        draw_sheet(self.model, self.training.prompts, path)


def draw_sheet(model: Model, prompts: Sequence[str], path: Path) -> None:
    """Draw prompts with a model as it is, and write them as a labelled PNG; nothing for no prompts."""
    if prompts:
        pipeline = Pipeline.from_model(model)
        pictures = [pipeline.generate(prompt, seed=SHEET_SEED) for prompt in prompts]
        write_png(contact_sheet(pictures, prompts, SHEET_COLUMNS), path)
