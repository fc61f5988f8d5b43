"""Draws one picture of SDXL with our pipeline and with diffusers' own, with the same noise."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.drawing import Start
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline
from tests.mobile_diffusion.formats.drawings import SEED, SHAPE, Drawing

PROMPT = "wow!!! a red apple on a table"
"""The tokenizers differ: "!" is the second's padding token."""


def ours(
    model: Model, guidance: float | None, negative: str = "", prompt: str = PROMPT, start: Start | None = None
) -> Drawing:
    """Our last latents, and the picture in 0..255."""
    seen: list[np.ndarray] = []
    keep = lambda _, latents: seen.append(latents)  # noqa: E731
    picture = Pipeline(model).generate(prompt, SEED, guidance, None, keep, negative, start)
    return seen[-1], picture.astype(np.float64)


def opened(folder: Path, steps: int, **options: Any) -> Model:
    """Our model, to draw with so many steps."""
    return open_checkpoint(folder, OpenOptions(steps=steps, **options))


def their_pipeline(folder: Path, kind: str = "StableDiffusionXLPipeline", **components: Any) -> Any:
    """diffusers' pipeline of a folder."""
    pipeline = getattr(diffusers, kind).from_pretrained(folder, add_watermarker=False, **components)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def theirs(pipeline: Any, guidance: float, negative: str | None = None, prompt: str = PROMPT, **given: Any) -> Drawing:
    """diffusers' last latents, and the picture in 0..255."""
    arguments = {"height": 64, "width": 64, "latents": torch.from_numpy(gaussian(SEED, SHAPE))} | given
    if "image" in given:
        arguments = given
    with _our_noise(0 if "image" in given else 1), torch.no_grad():
        drawn = pipeline(
            prompt, guidance_scale=guidance, negative_prompt=negative, output_type="latent", **arguments
        ).images
        image = pipeline.vae.decode(drawn / pipeline.vae.config.scaling_factor).sample
    return drawn.numpy(), (image / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).double().numpy() * 255


@contextlib.contextmanager
def _our_noise(first: int) -> Iterator[None]:
    """diffusers' noise is ours, from tensor `first` of the seed on, and its posteriors give their mean."""
    counter = itertools.count(first)

    def noise(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(gaussian(SEED, tuple(shape), tensor=next(counter)))

    pipelines = "diffusers.pipelines.stable_diffusion_xl.pipeline_stable_diffusion_xl"
    with contextlib.ExitStack() as stack:
        for module in ("diffusers.schedulers.scheduling_lcm", f"{pipelines}_img2img"):
            stack.enter_context(patch(f"{module}.randn_tensor", noise))
        mean = lambda self, generator=None: self.mode()  # noqa: E731
        stack.enter_context(patch.object(DiagonalGaussianDistribution, "sample", mean))
        yield
