"""Four latent channels or eight?  Trains the shipped autoencoder with each, alike and briefly; prints held-out PSNR.

    .venv/bin/python -m benchmarks.training.latent_channels --steps 600

Settings are those of assets/emoji/training/autoencoder.toml but for channels and steps (both phases shortened alike).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path

from benchmarks.paths import EMOJI
from mobile_diffusion.recipes.autoencoder import AutoencoderSettings, train_autoencoder
from mobile_diffusion.training.settings import read_settings

SETTINGS = EMOJI / "training" / "autoencoder.toml"


def shortened(channels: int, steps: int) -> AutoencoderSettings:
    """The shipped settings with `channels` latent channels and `steps` steps."""
    settings = read_settings(SETTINGS, AutoencoderSettings)
    share = steps / settings.loop.steps
    return dataclasses.replace(
        settings,
        autoencoder=dataclasses.replace(settings.autoencoder, latent_channels=channels),
        loop=dataclasses.replace(settings.loop, steps=steps),
        whole_steps=round(settings.whole_steps * share),
        perceptual_steps=round(settings.perceptual_steps * share),
    )


def main() -> None:
    """Train both and print one JSON line a number of channels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--data", type=Path, default=Path("data/emoji"))
    parser.add_argument("--weights", type=Path, default=Path("data/weights"))
    arguments = parser.parse_args()
    for channels in (4, 8):
        run = Path("runs") / f"latent-channels-{channels}-{arguments.steps}"
        settings = shortened(channels, arguments.steps)
        quality = train_autoencoder(settings, arguments.data, arguments.weights, run)
        row = {"latent_channels": channels, "steps": arguments.steps, "held_out_psnr_db": round(quality, 2)}
        print(json.dumps(row))


if __name__ == "__main__":
    main()
