"""What the loop of an app (drawing.py) has to know of a model, or of a bundle."""

from __future__ import annotations

from dataclasses import dataclass

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.schedule import row_shares, rows_after, step_table


@dataclass(frozen=True)
class DrawSettings:
    """What the loop has to know of a model, or of a bundle, to draw with it."""

    latent_shape: tuple[int, ...]
    """Shape (1, C, h, w) of the latents."""
    image_shape: tuple[int, ...]
    """Shape (1, 3, H, W) of a picture."""
    guidance: float
    """Default guidance scale; for a distilled model, the scale that is in its weights."""
    guidance_kind: str
    """"cfg", "distilled", or "none": `ScheduleConfig.applied_guidance`."""
    uses_mask: bool
    """Whether the text encoder takes a mask."""
    memory: int
    """Tensors that the solver remembers between steps."""
    stochastic: bool
    """Whether the solver adds noise at its steps."""
    alphas: tuple[float, ...]
    """Latents before step i are alphas[i] * clean + sigmas[i] * noise."""
    sigmas: tuple[float, ...]
    starts: tuple[tuple[int, ...], ...] = ()
    """`StepTable.starts`: the steps of `denoise` that a drawing makes when it skips 0, 1, ... of its own."""
    guidance_shares: tuple[float, ...] = ()
    """Share of the guidance at each row; () where all steps are guided alike, by one call of `denoise` each."""
    zero_null: bool = False
    """Whether a missing negative prompt is zeros instead of the encoded empty prompt (SDXL)."""
    pooled: bool = False
    """Whether the text encoder also returns a pooled text (SDXL)."""
    task: str = "draw"
    """One of `TASKS` (config.py): what `denoise` reads of a picture."""
    windows: int = 1
    """Windows of a prompt, each encoded by itself."""
    text_widths: tuple[int, ...] = ()
    """Width of the context per text encoder, in order."""
    controls: int = 0
    """Number of ControlNets, each of which reads a hint."""
    adapters: tuple[int, ...] = ()
    """Shape (n, r, P) of the factors of n adapters; () for a model without them."""
    tile: tuple[int, int] | None = None
    """Height and width in latents of the tiles that `decode_image` and `encode_image` take; None for whole pictures."""

    @property
    def steps(self) -> int:
        """Steps of a picture: evaluations in a whole drawing."""
        return len(self.rows())

    def rows(self, skipped: int = 0) -> tuple[int, ...]:
        """The input `step` of each call of `denoise`, in order, for a drawing that skips its first steps."""
        return rows_after(self.starts, len(self.alphas), skipped)

    @property
    def calls(self) -> int:
        """Calls of `denoise` per picture: two for a step whose guidance is a choice of its own."""
        return self.steps + sum(self.guidance_shares[row] > 0 for row in self.rows() if self.guidance_shares)

    @classmethod
    def of(cls, config: ModelConfig, steps: int | None = None) -> DrawSettings:
        """The settings of a model; raises ConfigError if its schedule cannot have this number of steps."""
        schedule, table = config.schedule, step_table(config.schedule, steps)
        return cls(
            config.latent_shape,
            config.image_shape,
            schedule.guidance,
            schedule.applied_guidance,
            config.text.uses_mask,
            table.memory,
            table.stochastic,
            table.alphas,
            table.sigmas,
            table.starts,
            row_shares(schedule, table),
            config.text.zero_null,
            config.text.pooled_width > 0,
            config.task,
            config.windows,
            config.text.widths,
            len(config.controls),
            config.adapters.shape if config.adapters else (),
            None if config.tile_shape == config.latent_shape else config.tile_shape[2:],
        )

    @property
    def factor(self) -> int:
        """Pixels per latent, along one side."""
        return self.image_shape[2] // self.latent_shape[2]
