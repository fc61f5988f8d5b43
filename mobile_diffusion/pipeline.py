"""From a prompt to a picture: the loop that every app runs, and the PyTorch reference it is held against.

`draw` is the app: it knows three stages by name, a tokenizer and a few numbers, so the reference and every
exported artifact draw through the same lines.  `Pipeline` is the reference: the three stages computed by the
networks themselves in float32, with any number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mobile_diffusion.checkpoint import Model
from mobile_diffusion.config import ModelConfig
from mobile_diffusion.errors import ConfigError, MobileDiffusionError, PromptError
from mobile_diffusion.noise import check_seed, gaussian
from mobile_diffusion.sampler import combine_guidance, sample
from mobile_diffusion.schedule import check_steps, step_table
from mobile_diffusion.tokenizer import Tokenizer

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
    steps: int
    """Denoising steps of the schedule inside `denoise`."""
    guidance: float
    """Scale of classifier-free guidance when none is asked for."""

    @classmethod
    def of(cls, config: ModelConfig, steps: int | None = None) -> DrawSettings:
        """The settings of a model; ConfigError for a number of steps that its schedule does not have."""
        schedule = config.schedule
        return cls(config.latent_shape, check_steps(schedule, steps), schedule.guidance)


def draw(
    run_stage: RunStage,
    tokenizer: Tokenizer,
    settings: DrawSettings,
    prompt: str,
    seed: int = 0,
    guidance: float | None = None,
    on_step: OnStep | None = None,
) -> NDArray[np.uint8]:
    """Draw a prompt as (H, W, 3) uint8; the same seed starts from the same noise with every runner.

    `on_step(i, latents)` is called after each step.  Raises PromptError for a prompt, seed or guidance scale
    that cannot be used, MobileDiffusionError when the stages give NaN or infinity.
    """
    seed = check_seed(seed)
    scale = np.array([check_guidance(settings.guidance if guidance is None else guidance)], dtype=np.float32)
    context, null_context = (_encode(run_stage, tokenizer, text) for text in (prompt, NULL_PROMPT))

    def denoise(latents: np.ndarray, step: int) -> np.ndarray:
        index = np.array([step], dtype=np.int32)
        outputs = run_stage(
            "denoise", latents=latents, step=index, context=context, null_context=null_context, guidance=scale
        )
        return outputs["latents"]

    latents = sample(denoise, gaussian(seed, settings.latent_shape), settings.steps, on_step)
    _check_finite("latents", latents)
    return image_to_uint8(run_stage("decode_image", latents=latents)["image"])


def _encode(run_stage: RunStage, tokenizer: Tokenizer, prompt: str) -> np.ndarray:
    """Prompt to context (1, L, D)."""
    tokens = tokenizer.encode(prompt)
    return run_stage("encode_text", tokens=tokens.ids[None], mask=tokens.mask[None])["context"]


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


class Pipeline:
    """The PyTorch reference: the three stages as methods over tensors, and `run` over numpy arrays."""

    def __init__(self, model: Model, steps: int | None = None) -> None:
        """`steps` defaults to the model's own; ConfigError when its schedule does not have so many."""
        self.model = model
        self.settings = DrawSettings.of(model.config, steps)
        self.table = step_table(model.config.schedule, steps)
        self.device = next(model.unet.parameters()).device
        with torch.inference_mode():
            timesteps = torch.tensor(self.table.timesteps, device=self.device)
            self.times = model.unet.embed_time(timesteps)  # (N, E)
        self._stages: dict[str, Callable[..., tuple[str, Tensor]]] = {
            "encode_text": lambda tokens, mask: ("context", self.encode_text(tokens, mask)),
            "denoise": lambda step, **rest: ("latents", self.denoise(step=int(step), **rest)),
            "decode_image": lambda latents: ("image", self.decode_image(latents)),
        }

    @classmethod
    def from_model(cls, model: Model, steps: int | None = None) -> Pipeline:
        """The reference of a model."""
        return cls(model, steps)

    @torch.inference_mode()
    def encode_text(self, tokens: Tensor, mask: Tensor) -> Tensor:
        """tokens, mask (1, L) int -> context (1, L, D) float32, zero at padding if the encoder has a mask."""
        encoder = self.model.text_encoder
        context: Tensor = encoder(tokens, mask) if encoder.uses_mask else encoder(tokens)
        return context * mask[:, :, None].float() if encoder.uses_mask else context

    @torch.inference_mode()
    def denoise(
        self, latents: Tensor, step: int, context: Tensor, null_context: Tensor, guidance: Tensor | float
    ) -> Tensor:
        """One step further: latents (1, C, h, w), step 0..N-1, contexts (1, L, D) -> latents (1, C, h, w)."""
        if not 0 <= step < len(self.table):
            raise ConfigError(f"step: expected an integer from 0 to {len(self.table) - 1}, got {step}")
        both = torch.cat([null_context, context])  # (2, L, D)
        predicted = self.model.unet.predict(torch.cat([latents, latents]), self.times[step : step + 1], both)
        output = combine_guidance(predicted[:1], predicted[1:], guidance)
        return self.table.a[step] * latents + self.table.b[step] * output

    @torch.inference_mode()
    def decode_image(self, latents: Tensor) -> Tensor:
        """latents (1, C, h, w) -> image (1, 3, H, W) in [0, 1]."""
        autoencoder = self.model.autoencoder
        image = autoencoder.decode(latents / autoencoder.config.scaling_factor)
        return (image / 2 + 0.5).clamp(0, 1)

    def run(self, stage: str, /, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Run one stage over numpy arrays, as an artifact's runner does; ConfigError for an unknown stage."""
        if stage not in self._stages:
            raise ConfigError(f"stage: expected one of {', '.join(self._stages)}, got {stage!r}")
        tensors = {name: torch.tensor(array, device=self.device) for name, array in arrays.items()}
        name, output = self._stages[stage](**tensors)
        return {name: output.cpu().numpy()}

    def encode(self, prompt: str) -> Tensor:
        """The context (1, L, D) of a prompt; the empty prompt is the null condition."""
        tokens = self.model.tokenizer.encode(prompt)
        ids, mask = (torch.tensor(array[None], device=self.device) for array in (tokens.ids, tokens.mask))
        return self.encode_text(ids, mask)

    def generate(
        self,
        prompt: str,
        seed: int = 0,
        guidance: float | None = None,
        steps: int | None = None,
        on_step: OnStep | None = None,
    ) -> NDArray[np.uint8]:
        """Draw a prompt as (H, W, 3) uint8, as `draw` does, in any number of `steps`."""
        if steps is not None and steps != self.settings.steps:
            return Pipeline(self.model, steps).generate(prompt, seed, guidance, on_step=on_step)
        return draw(self.run, self.model.tokenizer, self.settings, prompt, seed, guidance, on_step)
