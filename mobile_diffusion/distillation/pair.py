"""What every distillation has: teacher and student on one device, the pictures, and the random draws of a batch."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.distillation.networks import student_of
from mobile_diffusion.distillation.settings import DistillationRecord, DistillationSettings
from mobile_diffusion.training.batches import Picked, SampleSource
from mobile_diffusion.training.unet import choose_captions, draw_sheet
from mobile_diffusion.training.workers import BatchShare


class DistillationPair:
    """A teacher that stays as it is, and a student in training."""

    def __init__(
        self,
        settings: DistillationSettings,
        teacher: Model,
        initial: Model | None,
        source: SampleSource,
    ) -> None:
        """`initial`: the student's first weights, else the teacher's.  Raises ConfigError when the two do not fit."""
        self.distillation, self.loop, self.source = settings, settings.loop, source
        self.settings = DistillationRecord(settings, teacher.source_hash, (initial or teacher).source_hash)
        self.model = student_of(teacher, initial, settings)
        self.module = self.model.unet.train()
        self.teacher = teacher.unet.eval().requires_grad_(False)
        self.own_scale = teacher.config.schedule.guidance
        self.device = next(self.module.parameters()).device
        self.null = source.null.float().to(self.device)
        self.prepare()

    def prepare(self) -> None:
        """Find the noise levels of the objective; ConfigError for settings that it does not have."""
        raise NotImplementedError

    def pictures(self, step: int, generator: torch.Generator, part: BatchShare) -> tuple[Picked, Tensor, Tensor]:
        """The pictures of a part of a batch, their latents (B, C, h, w), and noise for them."""
        inputs, chosen = self.source.pick(step, self.loop.batch, generator, part)
        clean = inputs.latents[chosen]
        noise = torch.randn(self.loop.batch, *clean.shape[1:], generator=generator)
        return (inputs, chosen), clean, part.of(noise)

    def contexts(self, picked: Picked, dropout: float, generator: torch.Generator, part: BatchShare) -> Tensor:
        """Captions of the pictures of a part, a share `dropout` of them null: (B, L, D)."""
        inputs, chosen = picked
        rows = choose_captions(inputs, chosen, self.distillation.label_share, dropout, generator, part)
        return inputs.contexts[rows].float()

    def scales(self, generator: torch.Generator, part: BatchShare) -> Tensor:
        """Scales of guidance (B,): the schedule's own where it is fixed, else uniform in the range."""
        settings = self.distillation
        uniform = torch.rand(self.loop.batch, generator=generator)
        drawn = settings.lowest_guidance + uniform * (settings.highest_guidance - settings.lowest_guidance)
        return part.of(torch.full_like(drawn, self.own_scale) if settings.guidance == "fixed" else drawn)

    def placed(self, *drawn: Tensor) -> tuple[Tensor, ...]:
        """What was drawn, where the networks are."""
        return tuple(each.to(self.device) for each in drawn)

    def embedded(self, scale: Tensor | None) -> Tensor | None:
        """The scale as the student is given it: none unless it embeds it."""
        return scale if self.module.config.guidance_width else None

    def sheet(self, path: Path) -> None:
        """The settings' prompts, drawn in the student's steps."""
        draw_sheet(self.model, self.distillation.prompts, path)
