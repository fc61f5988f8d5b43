"""What decoding by tiles changes in a picture, and which part of it GroupNorm's statistics are.

    python -m benchmarks.quality.tile_statistics

The shipped model draws PROMPTS with PyTorch; its last latents are decoded whole and by tiles.  The decoder's norms use
the statistics of the tile ("own", what the programs do), those of the whole picture, which an exact second pass would
give ("whole"), or those of latents of half the sides ("half").  Per size of tiles: PSNR from the picture decoded
whole, its largest difference, and the largest jump of that difference, averaged down a column of pixels, from one
column to the next, which is where a seam would show.  Results go to benchmarks/results/tile_statistics.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.measuring.command_line import run_script
from benchmarks.measuring.results import PRESENT, conditions, write_result
from benchmarks.paths import EMOJI, RESULTS
from mobile_diffusion import Pipeline, open_checkpoint
from mobile_diffusion.decibels import psnr_db
from mobile_diffusion.drawing import DrawSettings
from mobile_diffusion.tiles import decode_picture

RESULT = RESULTS / "tile_statistics.json"
PROMPTS = (
    *(("a red apple, 3d", 7), ("a smiling cat face, flat", 2**32)),
    *(("a slice of pizza with cheese", 3), ("a green tree, 3d", 5)),
)
TILES = (64, 96)
"""Of a picture of 128 pixels."""
KINDS = ("own", "whole", "half")

Statistics = dict[str, tuple[Tensor, Tensor]]
"""Mean and variance (1, groups, 1) by the name of a norm."""


@contextmanager
def recorded(decoder: nn.Module) -> Iterator[Statistics]:
    """Statistics of every norm in the last call."""
    found: Statistics = {}

    def keeper(name: str) -> Callable[[nn.GroupNorm, tuple[Tensor]], None]:
        def keep(norm: nn.GroupNorm, inputs: tuple[Tensor]) -> None:
            grouped = inputs[0].reshape(1, norm.num_groups, -1)
            found[name] = (grouped.mean(-1, keepdim=True), grouped.var(-1, unbiased=False, keepdim=True))

        return keep

    handles = [norm.register_forward_pre_hook(keeper(name)) for name, norm in norms(decoder)]
    yield found
    for handle in handles:
        handle.remove()


@contextmanager
def fixed(decoder: nn.Module, statistics: Statistics) -> Iterator[None]:
    """Norms with these statistics instead of their input's."""

    def setter(name: str) -> Callable[[nn.GroupNorm, tuple[Tensor], Tensor], Tensor]:
        def normalised(norm: nn.GroupNorm, inputs: tuple[Tensor], _: Tensor) -> Tensor:
            (values,), (mean, variance) = inputs, statistics[name]
            grouped = values.reshape(1, norm.num_groups, -1)  # (1, groups, C / groups * h * w)
            shape = (1, -1, *[1] * (values.ndim - 2))
            scaled = ((grouped - mean) / (variance + norm.eps).sqrt()).reshape(values.shape)
            return scaled * norm.weight.reshape(shape) + norm.bias.reshape(shape)

        return normalised

    handles = [norm.register_forward_hook(setter(name)) for name, norm in norms(decoder)]
    yield
    for handle in handles:
        handle.remove()


def norms(decoder: nn.Module) -> list[tuple[str, nn.GroupNorm]]:
    """All norms by name."""
    return [(name, each) for name, each in decoder.named_modules() if isinstance(each, nn.GroupNorm)]


def main() -> None:
    """Draw, decode in every way, and write."""
    pipeline = Pipeline(open_checkpoint(EMOJI))
    decoder = pipeline.model.autoencoder
    found: dict[tuple[int, str], list[tuple[float, float, float]]] = {}
    for prompt, seed in PROMPTS:
        states: list[np.ndarray] = []
        pipeline.generate(prompt, seed, on_step=lambda _, latents, kept=states: kept.append(latents))  # type: ignore[misc]
        latents = states[-1]
        half = F.interpolate(torch.from_numpy(latents), scale_factor=0.5, mode="area").numpy()
        with recorded(decoder) as statistics:
            whole = pipeline.run("decode_image", latents=latents)["image"]
            of_whole = dict(statistics)
            pipeline.run("decode_image", latents=half)
            of_half = dict(statistics)
        for tile in TILES:
            settings = DrawSettings.of(dataclasses.replace(pipeline.model.config, tile=tile))
            own = decode_picture(pipeline.run, settings, latents)
            pictures = [own]
            for given in (of_whole, of_half):
                with fixed(decoder, given):
                    pictures.append(decode_picture(pipeline.run, settings, latents))
            for kind, picture in zip(KINDS, pictures, strict=True):
                found.setdefault((tile, kind), []).append(distance(whole, picture))
    rows = [summary(tile, kind, values) for (tile, kind), values in found.items()]
    for row in rows:
        print(row)
    write_result(RESULT, {"rows": rows, "conditions": conditions(None)})


def distance(whole: np.ndarray, picture: np.ndarray) -> tuple[float, float, float]:
    """PSNR, largest difference, and largest jump of it between columns, of images (1, 3, H, W) in [0, 1]."""
    error = picture.astype(np.float64) - whole
    jumps = np.diff(error.mean(axis=2), axis=-1)
    return psnr_db(whole, picture), float(np.abs(error).max()), float(np.abs(jumps).max())


def summary(tile: int, kind: str, values: list[tuple[float, float, float]]) -> dict[str, object]:
    """A row: means of the PSNR, the worst of everything."""
    psnr, largest, jumps = (np.array(column) for column in zip(*values, strict=True))
    return {
        "model": PRESENT,
        "tile": tile,
        "statistics": kind,
        "psnr_db": round(float(psnr.mean()), 1),
        "worst_psnr_db": round(float(psnr.min()), 1),
        "largest": round(float(largest.max()), 3),
        "jump": round(float(jumps.max()), 4),
    }


if __name__ == "__main__":
    run_script(main, __doc__)
