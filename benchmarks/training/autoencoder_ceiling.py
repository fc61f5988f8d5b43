"""How often does the retrieval network find the caption of a picture that an autoencoder has drawn again?

    python -m benchmarks.training.autoencoder_ceiling runs/autoencoder --data data/emoji

The pictures belong to captions that the emoji model was trained on.  No model that draws in the latents of an
autoencoder can be found more often than these; the first line is the pictures themselves.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.measuring.command_line import Data, run_script
from benchmarks.paths import EMOJI
from mobile_diffusion.data import load_dataset
from mobile_diffusion.quality import open_retrieval
from mobile_diffusion.quality.evaluation import load_pictures
from mobile_diffusion.quality.prompts import prompt_sets, read_training
from mobile_diffusion.recipes.autoencoder import open_autoencoder

PART = 16
"""Pictures in one pass."""


@torch.inference_mode()
def drawn_again(run: Path, images: Tensor) -> Tensor:
    """Pictures (N, 3, H, W) in [0, 1] through the autoencoder of a run."""
    autoencoder = open_autoencoder(run).eval()
    parts = [autoencoder.decode(autoencoder.encode(part * 2 - 1)[0]) for part in images.split(PART)]
    return (torch.cat(parts).float() / 2 + 0.5).clamp(0, 1)


def main(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs of `train autoencoder`.")],
    data: Data = Path("data/emoji"),
    count: Annotated[int, typer.Option(help="Captions.", min=1)] = 96,
) -> None:
    """Print a line of JSON for the pictures, and one for each run."""
    settings, retrieval = read_training(EMOJI / "training" / "unet-settings.json"), open_retrieval()
    chosen = prompt_sets(load_dataset(data), settings, count)[0]
    images = load_pictures(chosen.samples)
    for name, pictures in [("pictures", images), *((str(run), drawn_again(run, images)) for run in runs)]:
        score = retrieval.score(pictures, chosen.captions)
        found = {"captions": len(images), "r1": str(score.recall_1), "r5": str(score.recall_5)}
        sys.stdout.write(json.dumps({"run": name, **found}) + "\n")


if __name__ == "__main__":
    run_script(main, __doc__)
