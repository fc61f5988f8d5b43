"""Where do the words count?  Loss by time step with the right label, no label and another picture's label.

    .venv/bin/python -m benchmarks.training.timestep_losses --data data/emoji

One noise per picture, every eighth picture of each split, the time steps of the model's own schedule.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from benchmarks.measuring.command_line import Data, run_script
from benchmarks.paths import EMOJI
from mobile_diffusion.checkpoint import Model, open_checkpoint
from mobile_diffusion.data import captions
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.schedule import add_noise, alphas_sigmas, timesteps, velocity
from mobile_diffusion.training.images import choose_groups, choose_samples, stack_images
from mobile_diffusion.training.latents import encode_captions, encode_images
from mobile_diffusion.training.settings import read_settings

STRIDE = 8


@torch.no_grad()
def losses(model: Model, latents: Tensor, noise: Tensor, timestep: int, contexts: list[Tensor]) -> list[float]:
    """Mean squared error of v for each of `contexts` (B, L, D)."""
    alpha, sigma = (float(table[timestep]) for table in alphas_sigmas(model.config.schedule))
    noisy, target = add_noise(latents, noise, alpha, sigma), velocity(latents, noise, alpha, sigma)
    steps = torch.full((len(latents),), timestep)
    return [float((model.unet(noisy, steps, context) - target).square().mean()) for context in contexts]


def main(
    data: Data = Path("data/emoji"),
    checkpoint: Annotated[Path, typer.Option("--model", help="Checkpoint.")] = EMOJI,
) -> None:
    """Print a table for each split."""
    model = open_checkpoint(checkpoint)
    settings = read_settings(EMOJI / "training" / "unet-2.toml", UNetSettings)
    for split in ("train", "held-out"):
        chosen = choose_groups(choose_samples(data, settings.styles, split), settings.groups)[::STRIDE]
        latents = encode_images(model.autoencoder, stack_images(chosen)) * model.config.autoencoder.scaling_factor
        texts = ["", *(captions(sample)[0] for sample in chosen)]
        contexts = encode_captions(model.tokenizer, model.text_encoder, texts).float()
        label, null = contexts[1:], contexts[:1].expand(len(chosen), -1, -1)
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(0))
        table = Table("time step", "label", "no label", "other label", title=f"{split}, {len(chosen)} pictures")
        for timestep in timesteps(model.config.schedule):
            found = losses(model, latents, noise, timestep, [label, null, label.roll(1, 0)])
            table.add_row(str(timestep), *(f"{value:.3f}" for value in found))
        Console().print(table)


if __name__ == "__main__":
    run_script(main, __doc__)
