"""Four latent channels or eight?  Trains the emoji model's autoencoder with each, briefly; prints held-out PSNR.

    .venv/bin/python -m benchmarks.training.latent_channels --steps 600

Settings are those of assets/emoji/training/autoencoder.toml but for channels and steps (both phases shortened alike).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.measuring.command_line import Data, run_script
from benchmarks.paths import EMOJI
from mobile_diffusion.recipes.autoencoder import AutoencoderSettings, train_autoencoder
from mobile_diffusion.training.settings import read_settings

SETTINGS = EMOJI / "training" / "autoencoder.toml"


def shortened(channels: int, steps: int) -> AutoencoderSettings:
    """The emoji model's settings with `channels` latent channels and `steps` steps."""
    settings = read_settings(SETTINGS, AutoencoderSettings)
    share = steps / settings.loop.steps
    return dataclasses.replace(
        settings,
        autoencoder=dataclasses.replace(settings.autoencoder, latent_channels=channels),
        loop=dataclasses.replace(settings.loop, steps=steps),
        whole_steps=round(settings.whole_steps * share),
        perceptual_steps=round(settings.perceptual_steps * share),
    )


def main(
    steps: Annotated[int, typer.Option(min=1, help="Of each training.")] = 600,
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder of LPIPS's weights.")] = Path("data/weights"),
) -> None:
    """Train both, and print a line of JSON for each number of channels."""
    for channels in (4, 8):
        settings = shortened(channels, steps)
        quality = train_autoencoder(settings, data, weights, Path("runs") / f"latent-channels-{channels}-{steps}")
        row = {"latent_channels": channels, "steps": steps, "held_out_psnr_db": round(quality, 2)}
        typer.echo(json.dumps(row))


if __name__ == "__main__":
    run_script(main, __doc__)
