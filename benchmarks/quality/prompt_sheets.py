"""Draws prompts that the emoji model was trained on, and concepts that it has never seen.

    .venv/bin/python -m benchmarks.quality.prompt_sheets --data data/emoji

Writes assets/emoji/training/prompts-train.png and prompts-held-out.png: evenly spaced concepts of each split in the
data set's order, one seed, the model's own 8 steps and guidance.
"""

from __future__ import annotations

from pathlib import Path

from benchmarks.measuring.command_line import Data, run_script
from benchmarks.paths import EMOJI
from mobile_diffusion.checkpoint import open_checkpoint
from mobile_diffusion.cli.progress_bar import draw_progress
from mobile_diffusion.data import captions
from mobile_diffusion.pipeline import Pipeline
from mobile_diffusion.progress import tracked
from mobile_diffusion.recipes.unet import UNetSettings
from mobile_diffusion.training.images import choose_groups, choose_samples
from mobile_diffusion.training.settings import read_settings
from mobile_diffusion.training.sheets import contact_sheet, write_png

MODEL = EMOJI
COUNT, COLUMNS, SEED = 32, 8, 7


def main(data: Data = Path("data/emoji")) -> None:
    """Draw both sheets."""
    pipeline = Pipeline.from_model(open_checkpoint(MODEL))
    settings = read_settings(MODEL / "training" / "unet-2.toml", UNetSettings)
    for split in ("train", "held-out"):
        chosen = choose_groups(choose_samples(data, settings.styles, split), settings.groups)
        prompts = [captions(sample)[0] for sample in chosen[:: len(chosen) // COUNT]][:COUNT]
        with draw_progress(steady=True) as progress:
            pictures = [pipeline.generate(prompt, seed=SEED) for prompt in tracked(prompts, split, progress)]
        write_png(contact_sheet(pictures, prompts, COLUMNS), MODEL / "training" / f"prompts-{split}.png")


if __name__ == "__main__":
    run_script(main, __doc__)
