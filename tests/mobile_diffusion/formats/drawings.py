"""Draws one picture with our pipeline and with diffusers' own, from one folder, and compares latents and pixels."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from unittest.mock import patch

import diffusers
import numpy as np
import torch

from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.formats.open_options import OpenOptions
from mobile_diffusion.noise import gaussian
from mobile_diffusion.pipeline import Pipeline

SEED, GUIDANCE, NEGATIVE = 2**40 + 7, 5.0, "blurred"
PROMPT = "a red apple on a table, studio light"
SHAPE = (1, 4, 8, 8)
PIXELS = 64

Drawing = tuple[np.ndarray, np.ndarray]
"""The last latents (1, 4, 8, 8), and the picture (64, 64, 3) in 0..255."""


def our_drawing(folder: Path, steps: int, prompt: str = PROMPT, **options: Any) -> Drawing:
    """Draw with our pipeline; `options` are those of `OpenOptions`."""
    pipeline = Pipeline(open_checkpoint(folder, OpenOptions(steps=steps, height=PIXELS, width=PIXELS, **options)))
    seen: list[np.ndarray] = []
    picture = pipeline.generate(prompt, SEED, GUIDANCE, None, lambda _, latents: seen.append(latents), NEGATIVE)
    return seen[-1], picture.astype(np.float64)


def their_drawing(pipeline: Any, steps: int, prompt: str = PROMPT, **arguments: Any) -> Drawing:
    """Draw with a diffusers pipeline and our noise."""
    pipeline.set_progress_bar_config(disable=True)
    counter = itertools.count(1)

    def noise(shape: Any, **_: Any) -> torch.Tensor:
        return torch.from_numpy(gaussian(SEED, tuple(shape), tensor=next(counter)))

    start = torch.from_numpy(gaussian(SEED, SHAPE))
    given = {"guidance_scale": GUIDANCE, "negative_prompt": NEGATIVE, "height": PIXELS, "width": PIXELS}
    with patch("diffusers.schedulers.scheduling_lcm.randn_tensor", noise), torch.no_grad():
        drawn = pipeline(
            prompt, num_inference_steps=steps, latents=start, output_type="latent", **given, **arguments
        ).images
        image = pipeline.vae.decode(drawn / pipeline.vae.config.scaling_factor).sample
    return drawn.numpy(), (image / 2 + 0.5).clamp(0, 1)[0].permute(1, 2, 0).double().numpy() * 255


def open_theirs(folder: Path, **options: Any) -> Any:
    """Open a folder as a StableDiffusionPipeline."""
    return diffusers.StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, **options)


def assert_equal(ours: Drawing, theirs: Drawing) -> None:
    """Latents within 1e-4 of their largest value, pixels within half a level; ours are rounded to whole levels."""
    assert np.abs(ours[0] - theirs[0]).max() <= 1e-4 * np.abs(theirs[0]).max()
    assert np.abs(ours[1] - theirs[1]).max() <= 0.5 + 1e-2
    assert theirs[1].std() > 1  # an empty picture would compare well
