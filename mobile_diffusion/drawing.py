"""From a prompt to a picture: the loop that every app runs.

It knows the stages by name, a tokenizer and a few numbers, so the PyTorch reference (pipeline.py) and every exported
artifact draw through the same lines.  A drawing begins with noise; or with a picture that is noised part of the way
(SDEdit, Meng et al. 2022), of which a mask may keep what it does not cover.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import MobileDiffusionError, PromptError
from mobile_diffusion.noise import check_seed, gaussian
from mobile_diffusion.sampler import sample
from mobile_diffusion.schedule import step_table
from mobile_diffusion.tokenization.tokenizer import Tokenizer

NULL_PROMPT = ""
MAX_GUIDANCE = 30.0

Arrays = Mapping[str, np.ndarray]
OnStep = Callable[[int, np.ndarray], None]


class RunStage(Protocol):
    """Runs one stage; the names, dtypes and shapes of its arrays are those of DrawSettings' model."""

    def __call__(self, stage: str, /, **arrays: np.ndarray) -> Arrays: ...


@dataclass(frozen=True)
class DrawSettings:
    """What has to be known of a model, or of a bundle, to draw with it."""

    latent_shape: tuple[int, ...]
    """Shape (1, C, h, w) of the latents."""
    image_shape: tuple[int, ...]
    """Shape (1, 3, H, W) of a picture."""
    guidance: float
    """Scale of guidance when none is asked for; of a distilled model, the scale that it has."""
    guidance_kind: str
    """ "cfg" or "distilled"."""
    uses_mask: bool
    """Whether the text encoder takes a mask."""
    memory: int
    """Tensors that the solver remembers between steps."""
    stochastic: bool
    """Whether the solver adds noise at its steps."""
    alphas: tuple[float, ...]
    """Latents before step i are alphas[i] * clean + sigmas[i] * noise."""
    sigmas: tuple[float, ...]

    @property
    def steps(self) -> int:
        """Calls of `denoise` for a picture."""
        return len(self.alphas)

    @classmethod
    def of(cls, config: ModelConfig, steps: int | None = None) -> DrawSettings:
        """The settings of a model; ConfigError for a number of steps that its schedule does not have."""
        schedule, table = config.schedule, step_table(config.schedule, steps)
        return cls(
            config.latent_shape,
            config.image_shape,
            schedule.guidance,
            schedule.guidance_kind,
            config.text.uses_mask,
            table.memory,
            table.stochastic,
            table.alphas,
            table.sigmas,
        )


@dataclass(frozen=True, eq=False)
class Start:
    """A picture to begin with."""

    image: NDArray[np.float32]
    """(1, 3, H, W) in [0, 1]."""
    strength: float = 0.8
    """How much of the way from noise is walked, above 0 to 1; at 1 only a mask still shows the picture."""
    mask: NDArray[np.float32] | None = None
    """(1, 1, h, w): 1 where it is drawn anew, 0 where it is kept."""

    def first_step(self, settings: DrawSettings) -> int:
        """The step to begin with; PromptError for a strength without steps, or a solver that cannot begin late."""
        if not 0.0 < self.strength <= 1.0:
            raise PromptError(f"strength: expected a number above 0 and up to 1, got {self.strength!r}")
        first = settings.steps - min(int(settings.steps * self.strength), settings.steps)
        if first == settings.steps:
            least = 1 / settings.steps
            raise PromptError(f"strength: expected {least:.3g} or more for {settings.steps} steps, got {self.strength}")
        if first and settings.memory:
            raise PromptError(
                f"strength: expected 1, as the solver remembers earlier steps, got {self.strength}; "
                "open the model with --solver ddim, euler or lcm"
            )
        return first


def draw(
    run_stage: RunStage,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    prompt: str,
    seed: int = 0,
    guidance: float | None = None,
    on_step: OnStep | None = None,
    negative: str = NULL_PROMPT,
    start: Start | None = None,
) -> NDArray[np.uint8]:
    """Draw a prompt as (H, W, 3) uint8; the same seed starts from the same noise with every runner.

    `negative` says what guidance leads away from; `on_step(i, latents)` is called after each step.  Raises PromptError
    for a prompt, seed, guidance scale or start that cannot be used, MobileDiffusionError when the stages give NaN or
    infinity.
    """
    noise = gaussian(check_seed(seed), settings.latent_shape)
    first = start.first_step(settings) if start is not None else 0
    contexts = _conditions(run_stage, tokenizer, settings, prompt, negative, guidance)
    clean = _encode_start(run_stage, settings, start) if start is not None else None
    memory = np.zeros((1, settings.memory * noise.shape[1], *noise.shape[2:]), np.float32)

    def denoise(latents: np.ndarray, step: int) -> np.ndarray:
        nonlocal memory
        arrays = dict(contexts, latents=latents, step=np.array([step], dtype=np.int32))
        if settings.memory:
            arrays["memory"] = memory
        if settings.stochastic:
            arrays["noise"] = gaussian(seed, settings.latent_shape, tensor=step + 1)
        outputs = run_stage("denoise", **arrays)
        memory = outputs.get("memory", memory)
        return _keep(outputs["latents"], start, clean, noise, settings, step + 1)

    begin = noise if clean is None or not first else _noised(clean, noise, settings, first)
    latents = sample(denoise, begin, settings.steps, on_step, first)
    _check_finite("latents", latents)
    return image_to_uint8(run_stage("decode_image", latents=latents)["image"])


def _conditions(
    run_stage: RunStage,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    prompt: str,
    negative: str,
    guidance: float | None,
) -> dict[str, np.ndarray]:
    """The arrays of `denoise` that stay the same at every step."""
    scale = check_guidance(settings.guidance if guidance is None else guidance)
    if settings.guidance_kind == "cfg":
        return {
            "context": encode(run_stage, tokenizer, settings, prompt),
            "null_context": encode(run_stage, tokenizer, settings, negative),
            "guidance": np.array([scale], dtype=np.float32),
        }
    if negative != NULL_PROMPT:
        raise PromptError(f"negative prompt: expected none, as guidance is in this model's weights, got {negative!r}")
    if scale != settings.guidance:
        raise PromptError(f"guidance: expected {settings.guidance:g}, which it was distilled with, got {scale:g}")
    return {"context": encode(run_stage, tokenizer, settings, prompt)}


def encode(run_stage: RunStage, tokenizer: Tokenizer, settings: DrawSettings, prompt: str) -> np.ndarray:
    """Prompt to context (1, L, D)."""
    tokens = tokenizer.encode(prompt)
    mask = {"mask": tokens.mask[None]} if settings.uses_mask else {}
    return run_stage("encode_text", tokens=tokens.ids[None], **mask)["context"]


def _encode_start(run_stage: RunStage, settings: DrawSettings, start: Start) -> np.ndarray:
    """The picture as clean latents (1, C, h, w); PromptError when picture or mask do not fit."""
    for name, array, shape in (
        ("picture", start.image, settings.image_shape),
        ("mask", start.mask, (1, 1, *settings.latent_shape[2:])),
    ):
        if array is not None and array.shape != tuple(shape):
            raise PromptError(f"{name}: expected shape {tuple(shape)}, got {array.shape}; resize it")
    return run_stage("encode_image", image=start.image.astype(np.float32))["latents"]


def _noised(clean: np.ndarray, noise: np.ndarray, settings: DrawSettings, step: int) -> np.ndarray:
    """Clean latents at the noise level before `step`; behind the last step they stay clean."""
    if step == settings.steps:
        return clean
    return np.float32(settings.alphas[step]) * clean + np.float32(settings.sigmas[step]) * noise


def _keep(
    latents: np.ndarray,
    start: Start | None,
    clean: np.ndarray | None,
    noise: np.ndarray,
    settings: DrawSettings,
    step: int,
) -> np.ndarray:
    """Put the start's picture back, noised as before `step`, where the mask keeps it."""
    if start is None or start.mask is None or clean is None:
        return latents
    kept = _noised(clean, noise, settings, step)
    return start.mask * latents + (1 - start.mask) * kept


def check_guidance(guidance: float) -> float:
    """Return the guidance scale, or raise PromptError unless it is a number in 0..30."""
    number = isinstance(guidance, int | float | np.number) and not isinstance(guidance, bool)
    if not number or not 0 <= float(guidance) <= MAX_GUIDANCE:
        raise PromptError(f"guidance: expected a number from 0 to {MAX_GUIDANCE:g}, got {guidance!r}")
    return float(guidance)


def image_to_uint8(image: np.ndarray) -> NDArray[np.uint8]:
    """Image (1, 3, H, W) in [0, 1] to pixels (H, W, 3), rounded; raises MobileDiffusionError on NaN."""
    _check_finite("image", image)
    pixels = np.rint(np.clip(image[0], 0.0, 1.0) * 255.0).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(1, 2, 0))


def _check_finite(name: str, values: np.ndarray) -> None:
    wrong = int(np.size(values) - np.isfinite(values).sum())
    if wrong:
        raise MobileDiffusionError(
            f"{name}: expected finite values, got {wrong} NaN or infinite of {np.size(values)}; "
            "the weights, or the precision of the artifact, are at fault"
        )
