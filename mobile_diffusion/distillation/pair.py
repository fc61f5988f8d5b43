"""What every distillation has: teacher and student on one device, the pictures, and the random draws of a batch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.distillation.networks import student_of
from mobile_diffusion.distillation.settings import DistillationSettings
from mobile_diffusion.training.latents import TrainingInputs
from mobile_diffusion.training.unet import choose_captions, draw_sheet
from mobile_diffusion.training.workers import Part


class DistillationPair:
    """A teacher that stays as it is, and a student in training."""

    def __init__(
        self,
        settings: DistillationSettings,
        teacher: Model,
        initial: Model | None,
        inputs: TrainingInputs,
        weights: Tensor,
    ) -> None:
        """`weights` (N,): how often each picture is chosen; `initial`: the student's first weights, else the teacher's.

        Raises ConfigError when the two do not fit.
        """
        self.settings, self.loop, self.inputs, self.weights = settings, settings.loop, inputs, weights
        self.model = student_of(teacher, initial, settings)
        self.module = self.model.unet.train()
        self.teacher = teacher.unet.eval().requires_grad_(False)
        self.own_scale = teacher.config.schedule.guidance
        self.device = next(self.module.parameters()).device
        self.null = inputs.contexts[:1].float().to(self.device)
        self.prepare()

    def prepare(self) -> None:
        """Find the noise levels of the objective; ConfigError for settings that it does not have."""
        raise NotImplementedError

    def pictures(self, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Chosen pictures int64 (B,), their latents (B, C, h, w), and noise for them."""
        chosen = torch.multinomial(self.weights, self.loop.batch, replacement=True, generator=generator)
        clean = self.inputs.latents[chosen]
        noise = torch.randn(clean.shape, generator=generator)
        return chosen, clean, noise

    def contexts(self, chosen: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
        """Captions of pictures, a share `dropout` of them null: (B, L, D)."""
        rows = choose_captions(self.inputs, chosen, self.settings.label_share, dropout, generator)
        return self.inputs.contexts[rows].float()

    def scales(self, generator: torch.Generator) -> Tensor:
        """Scales of guidance (B,): the schedule's own where it is fixed, else uniform in the range."""
        settings = self.settings
        uniform = torch.rand(self.loop.batch, generator=generator)
        drawn = settings.lowest_guidance + uniform * (settings.highest_guidance - settings.lowest_guidance)
        return torch.full_like(drawn, self.own_scale) if settings.guidance == "fixed" else drawn

    def placed(self, part: Part, *drawn: Tensor) -> tuple[Tensor, ...]:
        """A part of what was drawn for a batch, where the networks are."""
        return tuple(part.of(each).to(self.device) for each in drawn)

    def embedded(self, scale: Tensor | None) -> Tensor | None:
        """The scale as the student is given it: none unless it embeds it."""
        return scale if self.module.config.guidance_width else None

    def sheet(self, path: Path) -> None:
        """The settings' prompts, drawn in the student's steps."""
        draw_sheet(self.model, self.settings.prompts, path)
