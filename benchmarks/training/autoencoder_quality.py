"""How well do autoencoders draw held-out pictures?  PSNR and LPIPS of finished runs, by style and in all.

.venv/bin/python -m benchmarks.training.autoencoder_quality runs/autoencoder --data data/emoji --style 3d --style flat
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor

from benchmarks.measuring.command_line import Data, chosen, run_script
from mobile_diffusion.autoencoder import Autoencoder
from mobile_diffusion.data import STYLES
from mobile_diffusion.recipes.autoencoder import open_autoencoder
from mobile_diffusion.training.images import choose_samples, psnr, stack_images, to_signed
from mobile_diffusion.training.lpips import Lpips, load_lpips
from mobile_diffusion.training.workers import choose_device


@torch.inference_mode()
def distances(autoencoder: Autoencoder, lpips: Lpips, images: Tensor) -> Iterator[tuple[float, float]]:
    """PSNR in dB and LPIPS of each picture of uint8 (N, 3, H, W)."""
    device = next(autoencoder.parameters()).device
    for part in to_signed(images).split(16):
        placed = part.to(device)
        drawn = autoencoder.decode(autoencoder.encode(placed)[0]).float().clamp(-1, 1)
        yield from zip(psnr(drawn, placed).tolist(), lpips(drawn, placed).tolist(), strict=True)


def main(
    runs: Annotated[list[Path], typer.Argument(help="Finished runs of `train autoencoder`.")],
    data: Data = Path("data/emoji"),
    weights: Annotated[Path, typer.Option(help="Folder of LPIPS's weights; downloaded if missing.")] = Path(
        "data/weights"
    ),
    style: Annotated[list[str] | None, typer.Option(help="Style of pictures; repeatable; default: all.")] = None,
    every: Annotated[int, typer.Option(help="Take every n-th picture of a style.", min=1)] = 1,
) -> None:
    """Print a line of JSON for each run."""
    device = choose_device()
    lpips = load_lpips(weights).to(device)
    for run in runs:
        autoencoder, found = open_autoencoder(run).to(device).eval(), dict[str, list[tuple[float, float]]]()
        for name in chosen(style, STYLES, "style"):
            images = stack_images(choose_samples(data, (name,), "held-out")[::every])
            found[name] = list(distances(autoencoder, lpips, images))
        found["all"] = [value for values in found.values() for value in values]
        rows = {
            name: {
                "pictures": len(values),
                "psnr_db": round(sum(first for first, _ in values) / len(values), 2),
                "lpips": round(sum(second for _, second in values) / len(values), 4),
            }
            for name, values in found.items()
        }
        sys.stdout.write(json.dumps({"run": str(run), **rows}) + "\n")


if __name__ == "__main__":
    run_script(main, __doc__)
