"""What both distillations share: their settings, the teacher and the student, and the random draws of a batch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.distillation.networks import student_of
from mobile_diffusion.errors import ConfigError
from mobile_diffusion.quoting import quoted
from mobile_diffusion.training.batches import Picked, SampleSource, choose_captions
from mobile_diffusion.training.settings import LoopSettings
from mobile_diffusion.training.sheets import draw_sheet
from mobile_diffusion.training.workers import BatchShare

GUIDANCE = ("cfg", "fixed", "embedded")
OBJECTIVES = ("steps", "consistency")


@dataclass(frozen=True)
class DistillationSettings:
    """Settings of `train distil`."""

    student_steps: int
    """Steps of the student; with objective "steps" the teacher takes twice as many."""
    loop: LoopSettings
    styles: tuple[str, ...]
    """Styles of pictures to train on, such as "3d"."""
    groups: tuple[str, ...] = ()
    """Groups of concepts to train on, such as "food"; empty for all."""
    objective: str = "steps"
    """"steps": step distillation (distil.py); "consistency": latent consistency distillation (consistency.py)."""
    guidance: str = "cfg"
    """"cfg": the student is guided as its teacher is, by two evaluations per step. The other two are guidance
    distillation, with one evaluation per step: "fixed" trains for the schedule's own scale, "embedded" makes the scale
    an input that the student embeds."""
    guided_share: float = 0.1
    """p: share of batches with the guidance-aware loss, with guidance "cfg"; the others have the vanilla loss."""
    lowest_guidance: float = 2.0
    """The guidance scale w is drawn uniformly from here to `highest_guidance`, unless it is fixed."""
    highest_guidance: float = 14.0
    """The other end of the range of w."""
    original_share: float = 0.2
    """gamma: weight of the original diffusion loss."""
    condition_dropout: float = 0.1
    """Share of samples that see the null condition, in the original loss."""
    label_share: float = 0.9
    """Share of captions that are the emoji's own label; the rest are keywords."""
    typed_captions: bool = False
    """Whether the label is said as people type it ("a red apple", "3d emoji of a red apple") beside its stored form."""
    family_power: float = 0.5
    """Pictures are drawn with weight 1 / (size of their concept family) ** family_power."""
    guidance_width: int = 256
    """Width of the sinusoidal embedding of the scale, with guidance "embedded"."""
    prompts: tuple[str, ...] = ()
    """Prompts that every sample sheet draws."""

    def __post_init__(self) -> None:
        for name, choices in (("objective", OBJECTIVES), ("guidance", GUIDANCE)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {quoted(getattr(self, name))}")
        if not self.student_steps >= 1:
            raise ConfigError(f"student_steps: expected 1 or more, got {self.student_steps}")
        for name in ("guided_share", "condition_dropout", "label_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}: expected 0 to 1, got {getattr(self, name)}")
        if not 1 <= self.lowest_guidance <= self.highest_guidance <= 30:
            raise ConfigError(
                f"highest_guidance: expected 1 <= lowest <= highest <= 30, got {self.lowest_guidance} and "
                f"{self.highest_guidance}"
            )
        if not self.original_share >= 0:
            raise ConfigError(f"original_share: expected 0 or more, got {self.original_share}")


@dataclass(frozen=True)
class DistillationRecord:
    """What `settings.json` of a distillation holds: a run resumes only with the networks that it began with."""

    settings: DistillationSettings
    teacher_sha256: str
    """Of the teacher's checkpoint."""
    student_sha256: str
    """Of the checkpoint with the student's first weights."""


class DistillationPair:
    """A frozen teacher and a student in training: the part of a task that both objectives share."""

    def __init__(
        self, settings: DistillationSettings, teacher: Model, initial: Model | None, source: SampleSource
    ) -> None:
        """The student begins with the weights of `initial`, by default the teacher's.

        Raises ConfigError when the two do not fit, or the objective does not have these settings.
        """
        self.distillation, self.loop, self.source = settings, settings.loop, source
        self.settings = DistillationRecord(settings, teacher.source_hash, (initial or teacher).source_hash)
        self.model = student_of(
            teacher,
            initial,
            steps=settings.student_steps,
            guidance=settings.guidance,
            guidance_width=settings.guidance_width,
            solver="lcm" if settings.objective == "consistency" else "ddim",
        )
        self.module = self.model.unet.train()
        self.teacher = teacher.unet.eval().requires_grad_(False)
        self.own_scale = teacher.config.schedule.guidance
        self.device = next(self.module.parameters()).device
        self.null = source.null.float().to(self.device)
        self.prepare()

    def prepare(self) -> None:
        """Compute the noise levels of the objective; raises ConfigError for settings that it does not have."""
        raise NotImplementedError

    def pictures(self, step: int, generator: torch.Generator, part: BatchShare) -> tuple[Picked, Tensor, Tensor]:
        """The pictures of one part of a batch, their latents (B, C, h, w), and noise for them."""
        inputs, chosen = self.source.pick(step, self.loop.batch, generator, part)
        clean = inputs.latents[chosen]
        noise = torch.randn(self.loop.batch, *clean.shape[1:], generator=generator)
        return (inputs, chosen), clean, part.of(noise)

    def contexts(self, picked: Picked, dropout: float, generator: torch.Generator, part: BatchShare) -> Tensor:
        """Embedded captions of the pictures of one part, a share `dropout` of them null: (B, L, D)."""
        inputs, chosen = picked
        rows = choose_captions(inputs, chosen, self.distillation.label_share, dropout, generator, part)
        return inputs.contexts[rows].float()

    def scales(self, generator: torch.Generator, part: BatchShare) -> Tensor:
        """Guidance scales (B,): the schedule's own where it is fixed, else uniform in the range."""
        settings = self.distillation
        uniform = torch.rand(self.loop.batch, generator=generator)
        drawn = settings.lowest_guidance + uniform * (settings.highest_guidance - settings.lowest_guidance)
        return part.of(torch.full_like(drawn, self.own_scale) if settings.guidance == "fixed" else drawn)

    def placed(self, *drawn: Tensor) -> tuple[Tensor, ...]:
        """The tensors on the networks' device."""
        return tuple(each.to(self.device) for each in drawn)

    def embedded(self, scale: Tensor | None) -> Tensor | None:
        """The scale as an input of the student; None for a student that does not embed it."""
        return scale if self.module.config.guidance_width else None

    def sheet(self, path: Path) -> None:
        """The prompts of the settings, drawn in the student's steps."""
        draw_sheet(self.model, self.distillation.prompts, path)
