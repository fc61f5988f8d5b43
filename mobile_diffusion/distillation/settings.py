"""What a distillation is told, read from a TOML file as every run's settings are."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.errors import ConfigError
from mobile_diffusion.training.settings import LoopSettings

GUIDANCE = ("cfg", "fixed", "embedded")
OBJECTIVES = ("steps", "consistency")


@dataclass(frozen=True)
class DistillationSettings:
    """From a teacher of `2 * student_steps` steps to a student of `student_steps`."""

    student_steps: int
    loop: LoopSettings
    styles: tuple[str, ...]
    groups: tuple[str, ...] = ()
    """Groups of concepts to train on; empty for all."""
    objective: str = "steps"
    """"steps": SnapFusion's; "consistency": latent consistency distillation (Luo et al. 2023)."""
    guidance: str = "cfg"
    """"cfg": the student is guided as its teacher is, by two evaluations; "fixed": the schedule's scale goes into the
    student's weights; "embedded": the scale is an input that it embeds.  The latter two evaluate once a step."""
    guided_share: float = 0.1
    """p: share of batches with the guidance-aware loss, with guidance "cfg"; the others have the vanilla loss."""
    lowest_guidance: float = 2.0
    highest_guidance: float = 14.0
    """The scale w is drawn uniformly between the two, where it is not fixed."""
    original_share: float = 0.2
    """gamma: weight of the original diffusion loss."""
    condition_dropout: float = 0.1
    """Share of samples that see the null condition, in the original loss."""
    label_share: float = 0.9
    family_power: float = 0.5
    guidance_width: int = 256
    """Width of the embedded scale's waves."""
    prompts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, choices in (("objective", OBJECTIVES), ("guidance", GUIDANCE)):
            if getattr(self, name) not in choices:
                raise ConfigError(f"{name}: expected one of {', '.join(choices)}, got {getattr(self, name)!r}")
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
    """What a run is, as its folder says it: a run is only resumed with the same networks that it began with."""

    settings: DistillationSettings
    teacher_sha256: str
    """Of the teacher's checkpoint."""
    student_sha256: str
    """Of the checkpoint with the student's first weights."""
